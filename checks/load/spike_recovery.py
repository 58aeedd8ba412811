from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.latency import NS_PER_S
from inferaudit.load_readings import (
    REFUSALS,
    burst_drains,
    client_limits,
    error_classes,
    stage_percentile,
    stage_rows,
)
from inferaudit.load_stages import BURST, endpoint_subject, not_run, stage_named, steady_stage


@check(
    title="After a burst the queue drains and latency is steady again",
    severity=Severity.MEDIUM,
    needs=("load.result", "load.records"),
    remediation="Bound the queue and refuse what exceeds it with 429 or 503, scale on queue depth, and keep headroom "
    "for the bursts that are expected.",
    references=("https://sre.google/sre-book/addressing-cascading-failures/",),
)
def spike_recovery(snapshot: Snapshot, *, max_seconds: float = 5.0, min_requests: int = 20) -> Iterator[Judgement]:
    """Traffic comes in bursts; a queue that outlives the burst makes later users pay for it.

    For each burst, the time from its arrival until the last of it was answered, beyond the steady P99. Requests that
    were refused with 429 or 503 are absorbed in another way and are not waited for.
    """
    result, records = snapshot.fact("load.result"), snapshot.fact("load.records")
    stage, steady, subject = stage_named(result, BURST), steady_stage(result), endpoint_subject(result)
    if stage is None:
        yield not_applicable(None, not_run(BURST))
        return
    drains, tail = burst_drains(records, stage), None
    waited = sum(drain.requests for drain in drains)
    classes = error_classes(records, stage_rows(records, stage))
    refused = sum(count for name, count in classes.items() if name in REFUSALS)
    if steady is not None:
        tail, _ = stage_percentile(result, records, steady, "e2e", 99)
    if tail is None or waited < min_requests:
        said = "no steady latency was measured beside it" if tail is None else f"only {waited} requests were let in"
        yield unknown(subject, said, Evidence("load.records[burst]", waited, f">= {min_requests}"))
        return
    why, advice = client_limits(result, records, stage, "latency_ms")
    if why:
        yield unknown(subject, f"the client was the limit: {why[0]}; {advice}", Evidence("load.result.client", why))
        return
    worst = max(drains, key=lambda drain: drain.drained_ns)
    beyond = max(0.0, (worst.drained_ns - tail) / NS_PER_S)
    numbers = {"bursts": len(drains), "slowest_s": round(worst.drained_ns / NS_PER_S, 2), "refused": refused}
    seen = Evidence("load.records[burst]", numbers, f"done within the steady P99 + {max_seconds:g} s")
    said = (
        f"the slowest of {len(drains)} bursts ({worst.requests} requests) was done {beyond:.1f} s past the steady P99"
    )
    said += f"; {refused} requests were refused" if refused else ""
    yield (failed if beyond > max_seconds else passed)(subject, said, seen)
