from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed

_LEVEL = "pod-security.kubernetes.io/enforce"


@check(
    title="The service has a namespace of its own with a security level",
    severity=Severity.LOW,
    needs=("workload",),
    optional=("service.namespace",),
    remediation=(
        "Move the service out of `default`, and label its namespace `pod-security.kubernetes.io/enforce: restricted`."
    ),
    references=("https://kubernetes.io/docs/concepts/security/pod-security-admission/",),
)
def namespace(snapshot: Snapshot) -> Iterator[Judgement]:
    """Quotas, network policies and rights hold for a namespace; in `default` they hold for everybody's.

    The pod security level keeps the next change from asking for the host.
    """
    workload = snapshot.fact("workload")
    name = workload.namespace
    if name == "default":
        seen = Evidence("metadata.namespace", name, "a namespace of its own")
        yield failed(workload.subject, "runs in the default namespace", seen, key="default")
        return
    found = snapshot.fact_or("service.namespace", None)
    if found is None:
        snapshot.require_read("service.namespace")
        seen = Evidence("metadata.namespace", name, "a namespace of its own")
        yield passed(workload.subject, f"runs in {name}; its labels are not in view", seen, key="default")
        return
    level = ((found.get("metadata") or {}).get("labels") or {}).get(_LEVEL)
    seen = Evidence(f"metadata.labels.{_LEVEL}", level, "baseline or restricted")
    if level in ("baseline", "restricted"):
        yield passed(f"namespace/{name}", f"pods are held to the level {level}", seen)
    else:
        yield failed(f"namespace/{name}", f"pods are held to {level or 'no level'}", seen)
