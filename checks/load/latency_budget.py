from collections.abc import Iterator
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.benchmark import judged_stage
from inferaudit.benchmark_series import series_section
from inferaudit.latency_budget import PATH, budget_section
from inferaudit.load_readings import answered
from inferaudit.load_stages import endpoint_subject
from inferaudit.units import plain

_CLIENT_PATH = frozenset(("dns", "connect", "connect_tls", "client", "end"))
_ADVICE = {
    "dns": "cache the name or use a shorter search path",
    "connect": "keep connections open",
    "connect_tls": "keep connections open, and resume TLS sessions",
    "client": "use more workers: the load client itself took this time",
    "wait": "queue and prefill: shorten prompts, cache prefixes, add replicas",
    "stream": "decoding: shorten answers, quantise, lower the batch, or take a faster GPU",
    "end": "look at what the server or a proxy does after the last token",
    "receive": "the body takes its time: make answers smaller, or look at the network",
}


def _joined(subject: str, joined: dict[str, Any]) -> Judgement:
    """The verdict on a budget that the server's own times are part of."""
    largest, whole = joined["largest"], joined["whole_ms"]
    known = {p["part"]: round(p["per_request_ms"], 3) for p in joined["parts"] if p["per_request_ms"] is not None}
    seen = Evidence("benchmark.latency_budget", known, f"adds up to {plain(whole)} ms; a part of the model the largest")
    took = known.get(largest, joined["unexplained_ms"])
    lost = [p["part"] for p in joined["parts"] if p["per_request_ms"] is None and p["part"] not in ("tcp", "tls")]
    said = f"the largest part of {plain(whole)} ms is {largest} ({plain(took)} ms): {joined['advice']}"
    if largest == "unexplained":
        return unknown(subject, f"{said}; not known: {', '.join(lost)}", seen)
    return (failed if largest in PATH else passed)(subject, said, seen)


@check(
    title="The model, not the path to it, takes the time of a request",
    severity=Severity.LOW,
    needs=("load.result", "load.records"),
    remediation="Mend the part that is named: connections that stay open, fewer hops, more workers of the client.",
    references=("https://sre.google/sre-book/monitoring-distributed-systems/",),
)
def latency_budget(snapshot: Snapshot, *, min_samples: int = 20) -> Iterator[Judgement]:
    """Tuning begins at the largest part: a faster GPU does not help a service that waits for connections.

    Where the server's metrics were read before and after the stage, its queue, preprocessing, prefill, decode and
    postprocessing are joined with our stamps, and the parts' sum is held against the whole. Else the parts are those
    the client saw (connect, sending, wait for the first token, stream, end): the wait holds queue and prefill.
    """
    result, records = snapshot.fact("load.result"), snapshot.fact("load.records")
    stage, subject = judged_stage(result), endpoint_subject(result)
    joined = budget_section(result, records, stage)
    if joined and joined["server"] is None and len(answered(records, stage) if stage else ()) >= min_samples:
        yield _joined(subject, joined)
        return
    budget = series_section(result, records, stage)["budget"] if stage else []
    parts = {row["part"]: row for row in budget if row["count"]}
    samples = parts.get("wait", {}).get("count", 0)
    if samples < min_samples:
        said = f"{samples} requests of a stage that stands for the whole are too few for a budget"
        yield unknown(subject, said, Evidence("benchmark.series.budget", samples, f">= {min_samples}"))
        return
    # A connection is opened once and used many times: it belongs to a request as often as it was opened for one.
    weights = {name: min(1.0, row["count"] / samples) for name, row in parts.items()}
    times = {name: row["p50_ms"] * weights[name] for name, row in parts.items()}
    largest = max(times, key=lambda name: times[name])
    share = times[largest] / sum(times.values()) if any(times.values()) else 0.0
    seen = Evidence(
        "benchmark.series.budget",
        {name: {"p50_ms": round(row["p50_ms"], 2), "p99_ms": round(row["p99_ms"], 2)} for name, row in parts.items()},
        "wait, stream or receive the largest",
    )
    said = f"the largest part is {largest} ({parts[largest]['p50_ms']:.0f} ms at P50, {share:.0%}): {_ADVICE[largest]}"
    yield (failed if largest in _CLIENT_PATH else passed)(subject, said, seen)
