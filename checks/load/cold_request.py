from collections.abc import Iterator, Sequence

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.exposition import MetricFamily, total
from inferaudit.facts.endpoint import Concept
from inferaudit.latency import NS_PER_MS
from inferaudit.load_readings import stage_percentile
from inferaudit.load_stages import COLD, endpoint_subject, not_run, stage_named, steady_stage


@check(
    title="The first request after a start is no slower than the steady tail allows",
    severity=Severity.MEDIUM,
    needs=("load.result", "load.records"),
    optional=("endpoint.metrics", "endpoint.concepts", "endpoint.plain", "endpoint.stream"),
    remediation="Warm the model up before readiness: the runtime's own warm-up, or a startup probe that sends one "
    "real request; readiness that comes first lets a user pay for compilation and caches.",
    references=(
        "https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/"
        "model_configuration.html#model-warmup",
    ),
)
def cold_request(snapshot: Snapshot, *, factor: float = 2.0, min_samples: int = 20) -> Iterator[Judgement]:
    """Kernels are compiled, caches and pools filled by the first request; whoever sends it waits for all of that.

    A request counts as first only when the server's own counters show none before it, which takes an audit soon after
    a start: otherwise the answer stays open.
    """
    result, records = snapshot.fact("load.result"), snapshot.fact("load.records")
    subject, steady = endpoint_subject(result), steady_stage(result)
    if stage_named(result, COLD) is None:
        yield not_applicable(None, not_run(COLD))
        return
    tail, samples = (None, 0) if steady is None else stage_percentile(result, records, steady, "e2e", 99)
    if tail is None or samples < min_samples:
        said = f"{samples} steady requests are too few for a P99 to hold the first one against"
        yield unknown(subject, said, Evidence("load.records.e2e", samples, f">= {min_samples}"))
        return
    before, own = _served(snapshot), _own_requests(snapshot)
    counted = Evidence("endpoint.metrics", {"counted": before, "sent by the audit": own}, "none before the first one")
    if before is None:
        shown = "" if result.first_request_ms is None else f" (the load's first took {result.first_request_ms:.0f} ms)"
        yield unknown(subject, f"no counter of the server shows whether requests came before{shown}", counted)
        return
    if before > own:
        said = f"the server had answered {before - own:g} requests before the audit: its first one was not seen"
        yield unknown(subject, f"{said}; run the audit right after a start", counted)
        return
    first = snapshot.fact("endpoint.plain").latency_ms if own else result.first_request_ms
    if first is None:
        yield unknown(subject, "the first request was not answered", counted)
        return
    limit = factor * tail / NS_PER_MS
    seen = Evidence("first request, ms", round(first, 1), f"<= {limit:.0f} ms, {factor:g} × the steady P99")
    said = f"the first request took {first:.0f} ms, {first * NS_PER_MS / tail:.1f} × the steady P99"
    yield (failed if first > limit else passed)(subject, said, seen, counted)


def _served(snapshot: Snapshot) -> float | None:
    """Requests the server had counted when its page was read; the largest figure where several count them."""
    if snapshot.error("endpoint.metrics") or snapshot.error("endpoint.concepts"):
        return None
    families: Sequence[MetricFamily] = snapshot.fact("endpoint.metrics")
    concepts: Sequence[Concept] = snapshot.fact("endpoint.concepts")
    names = {c.concept: c.name for c in concepts if c.name}
    found = [
        total(families, names["requests"]) if "requests" in names else None,
        total(families, f"{names['request_duration']}_count") if "request_duration" in names else None,
    ]
    return max((value for value in found if value is not None), default=None)


def _own_requests(snapshot: Snapshot) -> int:
    """The audit's own requests that the page had counted by then."""
    asked = [None if snapshot.error(name) else snapshot.fact(name) for name in ("endpoint.plain", "endpoint.stream")]
    return sum(answer is not None and answer.status is not None for answer in asked)
