from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.benchmark import judged_stage
from inferaudit.load_readings import stage_rows, streams_busy
from inferaudit.load_stages import endpoint_subject


@check(
    title="Concurrency, throughput and latency agree with Little's law",
    severity=Severity.LOW,
    needs=("load.result", "load.records"),
    remediation="Look at the client first: more workers, connections that stay open; a stream without a request in "
    "flight is load that was promised and not given.",
    references=("https://doi.org/10.1287/opre.9.3.383",),
    tags=("layer:outcome",),
)
def littles_law(snapshot: Snapshot, *, max_gap: float = 0.1, min_rounds: int = 3) -> Iterator[Judgement]:
    """Requests in flight = rate × latency, whatever the service: numbers that break this contradict each other.

    In a closed loop every stream has a request out all the time, so that the mean in flight equals the concurrency;
    what is missing went by between requests. The draining at the end is left out.
    """
    result, records = snapshot.fact("load.result"), snapshot.fact("load.records")
    stage, subject = judged_stage(result), endpoint_subject(result)
    if stage is None or stage.concurrency is None:
        yield not_applicable(None, "no closed-loop stage stands for the whole: in an open loop it holds by definition")
        return
    busy, requests = streams_busy(records, stage), len(stage_rows(records, stage))
    if busy is None or requests < min_rounds * stage.concurrency:
        said = f"{requests} requests on {stage.concurrency} streams are too few to tell"
        yield unknown(subject, said, Evidence("load.records", requests, f">= {min_rounds * stage.concurrency}"))
        return
    gap = 1 - busy / stage.concurrency
    seen = Evidence("load.records.in_flight", round(busy, 2), f"{stage.concurrency}, within {max_gap:.0%}")
    said = f"{busy:.2f} requests in flight on average on {stage.concurrency} streams"
    if gap > max_gap:
        yield failed(subject, f"{said}: {gap:.0%} of the load went missing between requests", seen)
    elif gap < -max_gap:
        yield failed(subject, f"{said}: more than there were streams, so that a clock or a record is wrong", seen)
    else:
        yield passed(subject, said, seen)
