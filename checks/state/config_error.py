from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.pod_state import Waiting, is_current, waiting


@check(
    title="Every container can be created",
    severity=Severity.CRITICAL,
    needs=("workload", "workload.pods"),
    optional=("service.references",),
    remediation="Create the Secret, ConfigMap or entry that the message names, or correct the pod template.",
    references=("https://kubernetes.io/docs/tasks/debug/debug-application/debug-pods/",),
)
def config_error(snapshot: Snapshot) -> Iterator[Judgement]:
    """A container whose configuration does not exist waits for ever, without ever having a log.

    Mostly it is an entry of a Secret that was renamed.
    """
    workload = snapshot.fact("workload")
    pods = [pod for pod in snapshot.fact("workload.pods") if is_current(pod)]
    stuck = waiting(pods, "CreateContainerConfigError", "CreateContainerError", "RunContainerError")
    if not stuck and pods:
        yield passed(
            workload.subject, f"the containers of {len(pods)} pods were created", Evidence("waiting", 0, "none")
        )
    refs = snapshot.fact_or("service.references", [])
    lost = [r for r in refs if not r.optional and (r.found is False or r.key_found is False)]
    by_container: dict[str, list[Waiting]] = {}
    for each in stuck:
        by_container.setdefault(each.container, []).append(each)
    for name, found in by_container.items():
        seen = Evidence("state.waiting", [f"{w.pod}: {w.reason}: {w.message}" for w in found[:3]], "created")
        cause = ("workload-references", workload.subject) if any(r.name in found[0].message for r in lost) else None
        text = f"{found[0].reason}: {found[0].message or 'no message'}"
        yield failed(f"{workload.subject}/{name}", text, seen, cause=cause)
