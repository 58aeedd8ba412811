from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="A seccomp profile is in force",
    severity=Severity.LOW,
    needs=("workload", "workload.containers"),
    remediation="Set `securityContext.seccompProfile` to `{type: RuntimeDefault}` on the pod.",
    references=("https://kubernetes.io/docs/tutorials/security/seccomp/",),
)
def seccomp(snapshot: Snapshot) -> Iterator[Judgement]:
    """The runtime's default profile blocks some fifty system calls that no server needs and exploits do.

    Without the setting a pod runs unconfined unless its node was set up otherwise.
    """
    pod = ((snapshot.fact("workload").template.get("spec") or {}).get("securityContext") or {}).get(
        "seccompProfile"
    ) or {}
    for container in snapshot.fact("workload.containers"):
        profile = ((container.get("securityContext") or {}).get("seccompProfile") or pod).get("type")
        seen = Evidence("securityContext.seccompProfile.type", profile, "RuntimeDefault or Localhost")
        if profile in ("RuntimeDefault", "Localhost"):
            yield passed(container["subject"], f"seccomp: {profile}", seen)
        else:
            yield failed(container["subject"], f"seccomp: {profile or 'not set'}", seen)
