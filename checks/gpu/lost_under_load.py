from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.gpu_load import answered, sampled_gpus


@check(
    title="No GPU is lost while load is on",
    severity=Severity.CRITICAL,
    needs=("load.result", "load.gpu_samples", "nvml.gpus"),
    remediation="Cordon the node and look at power and cooling: a GPU that is lost under load is lost in production.",
)
def lost_under_load(snapshot: Snapshot, *, max_silent: int = 4) -> Iterator[Judgement]:
    """A GPU that is sound at rest may still fall off the bus when it draws its full power.

    One that no longer gives any reading at the end of the load, `max_silent` times and more, is as good as lost.
    """
    samples = snapshot.fact("load.gpu_samples")
    for each in sampled_gpus(samples, snapshot.fact("nvml.gpus")):
        if each.rows is None:
            yield unknown(each.subject, each.why, Evidence(each.path, None), cause=each.gpu.silence)
            continue
        uuid, count = each.gpu.uuid or "", len(each.rows)
        good = [row for row in each.rows if answered(samples, row)]
        silent = sum(row > good[-1] for row in each.rows) if good else 0
        seen = Evidence(each.path, len(good), count)
        if uuid in samples.ended:
            yield failed(each.subject, f"answered {count} times and then no more: {samples.ended[uuid]}", seen)
        elif not good:
            yield unknown(each.subject, f"gave no reading in {count} attempts", seen)
        elif silent > max_silent:
            said = f"gave no reading in the last {silent} of {count} attempts, and did before"
            yield failed(each.subject, said, seen)
        elif len(good) < count:
            yield passed(
                each.subject, f"answered {len(good)} of the {count} times it was asked, the last as well", seen
            )
        else:
            yield passed(each.subject, f"answered all {count} times it was asked", seen)
