from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="Containers do not run as root",
    severity=Severity.MEDIUM,
    needs=("workload", "workload.containers"),
    remediation="Set `securityContext.runAsNonRoot: true` and a `runAsUser` above 0 on the pod.",
    references=("https://kubernetes.io/docs/concepts/security/pod-security-standards/",),
)
def run_as_non_root(snapshot: Snapshot) -> Iterator[Judgement]:
    """A model server parses what strangers send and loads files that others made.

    When one of those breaks it, root in the container is the first half of the way to the node.
    """
    pod = (snapshot.fact("workload").template.get("spec") or {}).get("securityContext") or {}
    for container in snapshot.fact("workload.containers"):
        own = container.get("securityContext") or {}
        non_root = own.get("runAsNonRoot", pod.get("runAsNonRoot"))
        user = own.get("runAsUser", pod.get("runAsUser"))
        seen = Evidence(
            "securityContext", {"runAsNonRoot": non_root, "runAsUser": user}, "runAsNonRoot or a user above 0"
        )
        if user == 0:
            why = "asks for user 0 and for no root: the kubelet refuses to start it" if non_root else "runs as user 0"
            yield failed(container["subject"], why, seen)
        elif non_root or user:
            yield passed(container["subject"], f"runs as {f'user {user}' if user else 'a user other than root'}", seen)
        else:
            yield failed(container["subject"], "may run as root: the image decides", seen)
