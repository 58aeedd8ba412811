from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.probe_timing import startup_budget


@check(
    title="The rollout waits as long as the model loads",
    severity=Severity.MEDIUM,
    needs=("workload", "workload.containers"),
    remediation="Set `progressDeadlineSeconds` above the budget of the startup probe.",
    references=("https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#progress-deadline-seconds",),
)
def progress_deadline(snapshot: Snapshot) -> Iterator[Judgement]:
    """A deadline shorter than the start calls a healthy rollout failed, and tools that watch it undo it half-way.

    Ten minutes is the default; a model of a hundred gigabytes takes longer.
    """
    workload = snapshot.fact("workload")
    spec = workload.object.get("spec") or {}
    given = spec.get("progressDeadlineSeconds")
    deadline = given if isinstance(given, int) else 600
    budgets = [b for c in snapshot.fact("workload.containers") if c["serving"] and (b := startup_budget(c))]
    longest = max((seconds for probe, seconds in budgets if probe == "startupProbe"), default=None)
    seen = Evidence("spec.progressDeadlineSeconds", given, f">= {longest} (600 by default)")
    if workload.kind not in ("Deployment", "Rollout"):
        yield not_applicable(workload.subject, f"a {workload.kind} has no such deadline", seen)
    elif longest is None:
        yield not_applicable(workload.subject, "no startup probe states how long a start may take", seen)
    elif deadline < longest:
        yield failed(workload.subject, f"gives up after {deadline} s; a start may take {longest} s", seen)
    else:
        yield passed(workload.subject, f"waits {deadline} s for a start of up to {longest} s", seen)
