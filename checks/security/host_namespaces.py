from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="Pods do not share the host's processes or memory",
    severity=Severity.HIGH,
    needs=("workload",),
    remediation="Remove hostPID and hostIPC; for shared memory mount an `emptyDir: {medium: Memory}` at /dev/shm.",
    references=("https://kubernetes.io/docs/concepts/security/pod-security-standards/",),
)
def host_namespaces(snapshot: Snapshot) -> Iterator[Judgement]:
    """With hostPID a container reads the environment of every process on the node, secrets included.

    hostIPC is often taken for shared memory between GPU workers; a memory volume does the same without the host's.
    """
    workload = snapshot.fact("workload")
    spec = workload.template.get("spec") or {}
    used = [field for field in ("hostPID", "hostIPC") if spec.get(field)]
    seen = Evidence("spec.template.spec", {field: spec.get(field) for field in ("hostPID", "hostIPC")}, "false")
    if used:
        yield failed(workload.subject, f"{' and '.join(used)}: the pod is not walled off from its node", seen)
    else:
        yield passed(workload.subject, "own process and IPC namespaces", seen)
