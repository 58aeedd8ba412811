from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, passed, unknown
from inferaudit.benchmark import judged_stage
from inferaudit.load_readings import client_limits, stage_rows
from inferaudit.load_stages import endpoint_subject


@check(
    title="The load client was not the bottleneck",
    severity=Severity.MEDIUM,
    needs=("load.result", "load.records"),
    remediation="Run the load with more workers (`--workers auto`), on a machine with free cores, or from several "
    "machines; figures that the client limited say nothing about the service.",
    references=("https://www.usenix.org/legacy/event/nsdi06/tech/full_papers/schroeder/schroeder.pdf",),
    tags=("never-fails", "layer:outcome"),
)
def client(snapshot: Snapshot, *, min_requests: int = 20) -> Iterator[Judgement]:
    """A client that cannot keep up measures itself, and the numbers look like a slow service.

    Every measured stage is judged by what the client recorded of itself: how late it sent, how late it read, how long
    a stream waited for its next request. A limited stage is unknown, never passed and never failed.
    """
    result, records = snapshot.fact("load.result"), snapshot.fact("load.records")
    subject, judged = endpoint_subject(result), judged_stage(result)
    measured = [stage for stage in result.stages if stage.measured]
    enough = [stage for stage in measured if len(stage_rows(records, stage)) >= min_requests]
    if not enough or (judged is not None and judged not in enough):
        said = f"fewer than {min_requests} requests: the client cannot be judged"
        yield unknown(subject, said, Evidence("load.result.stages", len(enough), "enough requests"))
        return
    limits = {stage.name: client_limits(result, records, stage) for stage in enough}
    found = {name: why for name, (why, _) in limits.items() if why}
    seen = Evidence("load.result.stages.client", found, "no figure limited by the client")
    if not found:
        yield passed(subject, f"sent and read in time in all of {len(enough)} measured stages", seen)
        return
    first = next(iter(found))
    more = f" (and {len(found) - 1} more stages)" if len(found) > 1 else ""
    yield unknown(subject, f"stage {first}{more}: {'; '.join(found[first])}; {limits[first][1]}", seen)
