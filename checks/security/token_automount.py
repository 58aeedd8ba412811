from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="The pods hold no API token that they do not need",
    severity=Severity.LOW,
    needs=("workload",),
    optional=("service.serviceaccount", "service.roles"),
    remediation="Set `automountServiceAccountToken` to false on the pod or its ServiceAccount.",
    references=("https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/",),
)
def token_automount(snapshot: Snapshot) -> Iterator[Judgement]:
    """A model server rarely talks to the Kubernetes API; its token is a gift to whoever breaks in.

    A ServiceAccount that has a role bound to it is taken as one that needs its token.
    """
    workload = snapshot.fact("workload")
    own = (workload.template.get("spec") or {}).get("automountServiceAccountToken")
    account = snapshot.fact_or("service.serviceaccount", None)
    effective = own if own is not None else (account or {}).get("automountServiceAccountToken")
    roles = snapshot.fact_or("service.roles", [])
    seen = Evidence("spec.template.spec.automountServiceAccountToken", effective, "false")
    if effective is False:
        yield passed(workload.subject, "no API token is mounted", seen)
    elif roles:
        yield passed(workload.subject, "a token is mounted, and a role is bound that needs it", seen)
    else:
        snapshot.require_read("service.serviceaccount", "service.roles")
        yield failed(workload.subject, "an API token is mounted and no role says what for", seen)
