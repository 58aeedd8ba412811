from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, passed, unknown
from inferaudit.load_stages import BURST, COLD, MIXED, OVERLOAD, REPEAT, endpoint_subject, stage_named, step_stages

_WANTED = (COLD, BURST, MIXED, REPEAT, OVERLOAD)


@check(
    title="The load test held every stage that shows how the service behaves",
    severity=Severity.LOW,
    needs=("load.result",),
    remediation="Run the load profile full once before the launch (`--load full`); profiles of your own take part by "
    "using its stage names.",
    tags=("never-fails", "layer:outcome"),
)
def stages(snapshot: Snapshot) -> Iterator[Judgement]:
    """A steady load shows neither what a burst does nor what happens past the knee, and silence on both is no answer.

    Objectives need the sustained stage alone; cold start, steps of concurrency, burst, mixed lengths, repeats and
    overload are what the service's behaviour is judged by.
    """
    result = snapshot.fact("load.result")
    missing = [name for name in _WANTED if stage_named(result, name) is None]
    missing += ["steps of concurrency"] if len(step_stages(result)) < 2 else []
    ran = [stage.name for stage in result.stages]
    seen = Evidence("load.result.stages", ran, "cold, steps, burst, mixed, repeat, overload")
    if missing:
        said = f"profile {result.profile} ran no {', '.join(missing)}; the load profile full does"
        yield unknown(endpoint_subject(result), said, seen)
    else:
        yield passed(endpoint_subject(result), f"profile {result.profile} ran all of them", seen)
