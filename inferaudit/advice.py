"""Advice with the numbers behind it: runtime, batch or real-time, transport, batching, cold start, quantisation. Pure.

Nothing is advised that does not follow from a figure in `basis`; without the figure it is ``unknown`` and says what
would give it. Where a rule needs a limit, the limit is one of the figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inferaudit.advice_basis import Advice, Case, Figure, stage_in_flight, unknown
from inferaudit.advice_capacity import cold_start, quantisation
from inferaudit.model import Snapshot
from inferaudit.policy import Policy
from inferaudit.units import plain

BATCH_FROM_MS = 60_000.0  # an answer that may take a minute can wait in a queue
STREAM_FROM_MS = 1_000.0  # a longer silence is felt by the person who waits
CONNECT_SHARE = 0.1
PARALLEL = 1.5  # requests in flight on average from which the server has something to batch
NO_GAIN = 1.2
AT_PEAK = 0.95

_STREAMING = ("openai-chat", "openai-completions", "tgi", "ollama", "llama.cpp")
_UNBATCHED = ("none", "static")


def advice_section(
    snapshot: Snapshot, policy: Policy, target: Mapping[str, Any], benchmark: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """The report's ``advice``: every piece in the same order, whether it can be given or not."""
    case = Case(snapshot, policy, target, benchmark or {})
    rules = (runtime_fit, batch_or_real_time, transport, batching, cold_start, quantisation)
    return [rule(case).row() for rule in rules]


def runtime_fit(case: Case) -> Advice:
    """Does the runtime suit what it serves: how many models, of which kind, how many requests at once?"""
    id, title = "runtime", "Does the runtime suit the load?"
    found = _runtime(case)
    if found is None:
        return unknown(id, title, "the runtime is not recognised", "an endpoint (--url) or a workload to recognise it")
    name, kind, batching, suits, unfit, production, where = found
    models = case.fact("endpoint.models")
    roots = None if models is None else len({m.root or m.id for m in models if not m.parent})
    at_once = case.in_flight()
    basis = [Figure("runtime", name, None, where), Figure("batching", batching, None, where)]
    if roots is not None:
        basis.append(Figure("models served", roots, None, "endpoint.models"))
    if at_once is not None:
        basis.append(Figure("requests in flight", at_once, None, "benchmark.stages[].in_flight"))
    if not production:
        why = unfit.removeprefix("production: ")
        text = f"{name} is not made for production: {why}. For text, an engine with continuous batching (vLLM, SGLang)"
        return Advice(id, title, "change", f"{text}; for several models or frameworks, Triton.", tuple(basis))
    if kind == "llm" and roots is not None and roots > 1:
        text = (
            f"{roots} models stand behind one LLM server; Triton, or one deployment a model, gives each its own limits."
        )
        return Advice(id, title, "change", text, tuple(basis))
    if batching in _UNBATCHED and at_once is None:
        why = f"{name} does not batch by itself; how many requests come at once was not measured"
        return unknown(id, title, why, "load (--load sla)", basis)
    if batching in _UNBATCHED and at_once is not None and at_once >= PARALLEL:
        basis.append(Figure("limit", PARALLEL, "requests in flight", "rule"))
        text = (
            f"{name} has {batching} batching, and {plain(at_once, 3)} requests were in flight on average: "
            f"{unfit or suits}."
        )
        return Advice(id, title, "change", f"{text} An engine that batches serves them together.",
                      tuple(basis))  # fmt: skip
    return Advice(id, title, "keep", f"{name} suits {suits or 'what it serves'}.", tuple(basis))


def _runtime(case: Case) -> tuple[str, str, str, str, str, bool, str] | None:
    """Title, kind, batching, suits, unfit, made for production, source; the endpoint's answer before the image."""
    fact = case.fact("endpoint.runtime")
    if fact is not None and fact.name != "unknown":
        alive = fact.production and fact.status != "archived"
        unfit = fact.unfit or fact.status_note
        return fact.title, fact.kind, fact.batching, fact.suits, unfit, alive, "endpoint.runtime"
    for _, engine in case.engines():
        if engine.known:
            fit, profile = engine.profile.fit, engine.profile
            return (engine.title, profile.kind, profile.batching, fit.suits, fit.unfit, fit.production,
                    "workload.containers")  # fmt: skip
    return None


def batch_or_real_time(case: Case) -> Advice:
    """What do the objectives allow, and what would a batch gain on the same GPUs?"""
    id, title = "batch-or-real-time", "Real-time or batch?"
    latencies = [o for o in case.policy.objectives if o.unit == "ms"]
    if not latencies:
        why = "no objective says how long an answer may take"
        return unknown(id, title, why, "a latency objective (--slo e2e_p99=…, or slo: in the policy)")
    tightest = min(latencies, key=lambda o: o.target)
    basis = [Figure(f"objective {tightest.dimension}", tightest.target, "ms", "policy slo"),
             Figure("limit", BATCH_FROM_MS, "ms", "rule")]  # fmt: skip
    knee = case.benchmark.get("knee") or {}
    reached = [p["achieved"] for p in knee.get("probes") or () if p.get("achieved") is not None]
    gain = ""
    if knee.get("rate") and reached:
        most = max(reached)
        basis += [Figure("rate within objectives", knee["rate"], "1/s", "benchmark.knee.rate"),
                  Figure("highest rate reached", most, "1/s", "benchmark.knee.probes[].achieved")]  # fmt: skip
        share = knee["rate"] / max(most, knee["rate"])
        rates = f"{plain(most, 3)} instead of {plain(knee['rate'], 3)} requests/s"
        gain = f" Without objectives the same GPUs reach {rates}: "
        gain += f"an answer of a batch would cost {share:.0%} of one in real time."
    else:
        gain = " What a batch would gain is not known: no knee was measured (--load full)."
    if tightest.target >= BATCH_FROM_MS:
        text = (
            f"Every answer may take {plain(tightest.target / 1000, 3)} s: a queue and a batch job suit, off the peak."
        )
        return Advice(id, title, "change", text + gain, tuple(basis))
    allowed = f"{tightest.dimension} allows {plain(tightest.target)} ms"
    text = f"{allowed}: somebody waits for the answer, so serve in real time."
    return Advice(id, title, "keep", text + gain, tuple(basis))


def transport(case: Case) -> Advice:
    """HTTP, server-sent events or gRPC: what of an answer's time goes to the way it takes?"""
    id, title = "transport", "HTTP, SSE or gRPC?"
    whole = case.percentile("latency_ms", "p50")
    if whole is None:
        return unknown(id, title, "how long answers take was not measured", "load (--load sla)")
    basis = [Figure("answer, P50", whole, "ms", "benchmark.latency_ms.p50")]
    api, streamed = str(case.target.get("api") or ""), case.benchmark.get("stream")
    first = case.percentile("ttft_ms", "p50")
    if streamed and first is not None:
        basis.append(Figure("first token, P50", first, "ms", "benchmark.ttft_ms.p50"))
        text = (
            f"Streaming over SSE shows the first token after {plain(first)} ms instead of the answer after "
            f"{plain(whole)} ms."
        )
        return Advice(id, title, "keep", text, tuple(basis))
    if api in _STREAMING:
        basis.append(Figure("limit", STREAM_FROM_MS, "ms", "rule"))
        if whole >= STREAM_FROM_MS:
            wait = f"Users wait {plain(whole)} ms in silence"
            text = f"{wait}; the API can stream (SSE), which shows the first token at once."
            return Advice(id, title, "change", text, tuple(basis))
        text = f"A whole answer takes {plain(whole)} ms: plain HTTP does, a stream would gain little."
        return Advice(id, title, "keep", text, tuple(basis))
    return _connections(case, id, title, whole, basis)


def _connections(case: Case, id: str, title: str, whole: float, basis: list[Figure]) -> Advice:
    """For short answers the connection is what the transport can save."""
    parts = (case.benchmark.get("series") or {}).get("budget") or ()
    connect = next((p.get("p50_ms") for p in parts if p.get("part") in ("connect", "connect_tls")), None)
    opened = (case.benchmark.get("client") or {}).get("connections_opened")
    sent = (case.benchmark.get("requests") or {}).get("sent")
    if connect is None or opened is None or not sent:
        return unknown(
            id, title, "what connecting takes was not measured", "load over new connections (--load sla)", basis
        )
    share = connect / (connect + whole)
    basis += [Figure("connecting, P50", connect, "ms", "benchmark.series.budget[]"),
              Figure("requests that connected", opened / sent, "ratio", "benchmark.client.connections_opened"),
              Figure("limit", CONNECT_SHARE, "ratio", "rule")]  # fmt: skip
    if share > CONNECT_SHARE and opened / sent > CONNECT_SHARE:
        text = (
            f"{opened / sent:.0%} of the requests connect anew, which is {share:.0%} of their time: keep connections "
        )
        return Advice(id, title, "change", f"{text}open, or use gRPC, which sends all requests over one.", tuple(basis))
    text = f"Connecting takes {share:.0%} of a first request and {opened / sent:.0%} of the requests do it: "
    return Advice(id, title, "keep", f"{text}HTTP with kept connections does; gRPC could save no more than that.",
                  tuple(basis))  # fmt: skip


def batching(case: Case) -> Advice:
    """Does throughput rise with the requests in flight? It is what batching is for."""
    id, title = "batching", "Does batching pay?"
    points = sorted(
        (held, stage["request_rate"])
        for stage in case.stages()
        if (held := stage_in_flight(stage)) and stage.get("request_rate")
    )
    if len(points) < 2 or points[-1][0] < PARALLEL * points[0][0]:
        why = "throughput was not measured at several concurrencies"
        return unknown(id, title, why, "load in steps (--load full, or stages of different concurrency)")
    few, slow = points[0]
    # Beyond the peak requests only queue: of the loads that reach it, the least one tells what batching gives.
    more = [point for point in points if point[0] >= PARALLEL * few]
    peak = max(rate for _, rate in more)
    many, fast = next(point for point in more if point[1] >= AT_PEAK * peak)
    gain, steps = fast / slow, many / few
    basis = [Figure("requests in flight, least", few, None, "benchmark.stages[].in_flight"),
             Figure("rate there", slow, "1/s", "benchmark.stages[].request_rate"),
             Figure("requests in flight, most", many, None, "benchmark.stages[].in_flight"),
             Figure("rate there", fast, "1/s", "benchmark.stages[].request_rate"),
             Figure("limit", NO_GAIN, None, "rule")]  # fmt: skip
    for container, engine in case.engines():
        if (size := engine.number("batch_size")) is not None:
            basis.append(Figure("configured batch", size, None, str(container.get("subject") or "workload.containers")))
    said = (
        f"From {plain(few, 3)} to {plain(many, 3)} requests in flight the rate rises {plain(gain, 3)}-fold "
        f"({plain(slow, 3)} to {plain(fast, 3)}/s)"
    )
    if gain < NO_GAIN:
        text = f"{said}: nothing is served together. Switch batching on, or raise its limit."
        return Advice(id, title, "change", text, tuple(basis))
    return Advice(id, title, "keep", f"{said}, {gain / steps:.0%} of what perfect batching would give.", tuple(basis))
