from collections.abc import Iterator, Mapping
from typing import Any

from inferaudit.api import Evidence, FactErrorKind, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.entrypoints import asks_callers
from inferaudit.subjects import object_subject


@check(
    title="Only the gateway and the scraper reach the pods",
    severity=Severity.MEDIUM,
    needs=("workload", "service.networkpolicies"),
    optional=("service.trafficpolicies",),
    remediation=(
        "Add a NetworkPolicy that selects the pods and lets in the gateway's and the monitoring's namespaces."
    ),
    references=("https://kubernetes.io/docs/concepts/services-networking/network-policies/",),
)
def network_policy(snapshot: Snapshot) -> Iterator[Judgement]:
    """Without a policy every pod of the cluster may send prompts to the engine, past gateway, key and rate limit.

    A mesh's AuthorizationPolicy does the same and counts.
    """
    workload = snapshot.fact("workload")
    policies = [p for p in snapshot.fact("service.networkpolicies") if _about_ingress(p)]
    name = "service.trafficpolicies"
    mesh = [p for p in snapshot.fact_or(name, ()) if asks_callers(p)]
    open_ones = [object_subject(p) for p in policies if _lets_all_in(p)]
    names = [object_subject(p) for p in (*policies, *mesh)]
    seen = Evidence("policies of ingress over the pods", names, "at least one, and none that lets all in")
    for subject in open_ones:
        yield failed(subject, "lets everyone in", seen)
    if open_ones:
        return
    if names:
        yield passed(workload.subject, f"{', '.join(names)} limit{'s' * (len(names) == 1)} who gets in", seen)
    else:
        error = snapshot.error(name)
        if error is not None and error.kind is not FactErrorKind.OUT_OF_VIEW:
            snapshot.fact(name)  # the mesh's policy may be among those that were not read
        yield failed(workload.subject, "every pod of the cluster reaches it", seen)


def _about_ingress(policy: Mapping[str, Any]) -> bool:
    return "Ingress" in ((policy.get("spec") or {}).get("policyTypes") or ["Ingress"])


def _lets_all_in(policy: Mapping[str, Any]) -> bool:
    """A rule without `from`, or one that names all namespaces and no pods, admits everyone."""
    rules = (policy.get("spec") or {}).get("ingress") or ()
    return any(not rule.get("from") or {"namespaceSelector": {}} in rule["from"] for rule in rules)
