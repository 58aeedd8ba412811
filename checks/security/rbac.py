from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.subjects import object_subject

_RISKY = (
    ("secrets", {"get", "list", "watch"}, "reads Secrets"),
    ("pods/exec", {"create", "get"}, "runs commands in pods"),
    ("pods/attach", {"create", "get"}, "attaches to pods"),
    ("pods", {"create"}, "creates pods"),
    ("nodes/proxy", {"get", "create"}, "talks to kubelets"),
    ("serviceaccounts/token", {"create"}, "makes tokens"),
)
_ADMIN = "cluster-admin"
_WRITES = frozenset({"create", "update", "patch", "delete", "*"})


@check(
    title="The ServiceAccount may do no more than serving needs",
    severity=Severity.MEDIUM,
    needs=("workload", "service.roles"),
    remediation=(
        "Bind a Role with the verbs, resources and resourceNames that are used; never a wildcard or cluster-admin."
    ),
    references=("https://kubernetes.io/docs/concepts/security/rbac-good-practices/",),
)
def rbac(snapshot: Snapshot) -> Iterator[Judgement]:
    """Whoever breaks into the server may do what its ServiceAccount may do.

    Wildcards, reading all Secrets and starting pods turn one broken container into a broken cluster.
    """
    workload = snapshot.fact("workload")
    objects = snapshot.fact("service.roles")
    # Nobody mends cluster-admin itself: what is wrong there is the binding.
    roles = [o for o in objects if o.get("kind") in ("Role", "ClusterRole") and o["metadata"]["name"] != _ADMIN]
    for binding in objects:
        if (binding.get("roleRef") or {}).get("name") == _ADMIN:
            seen = Evidence("roleRef.name", _ADMIN, "a Role of its own")
            yield failed(object_subject(binding), f"makes the pods' ServiceAccount {_ADMIN}", seen)
    if not objects:
        yield passed(
            workload.subject, "nothing is granted to its ServiceAccount", Evidence("bindings", 0, "as few as can be")
        )
    for role in roles:
        found = sorted({why for rule in role.get("rules") or () for why in _faults(rule)})
        seen = Evidence("rules", found or len(role.get("rules") or ()), "no wildcards, no Secrets, no pods")
        subject = object_subject(role)
        if found:
            yield failed(subject, f"the pods' ServiceAccount {', '.join(found)}", seen)
        else:
            yield passed(subject, "grants nothing dangerous", seen)


def _faults(rule: dict[str, list[str]]) -> list[str]:
    verbs, resources = set(rule.get("verbs") or ()), set(rule.get("resources") or ())
    if "*" in resources and verbs & _WRITES:
        return ["may change everything"]
    found = ["has every verb on " + ", ".join(sorted(resources))] if "*" in verbs else []
    if rule.get("resourceNames"):
        return found
    return found + [why for name, bad, why in _RISKY if name in resources and verbs & (bad | {"*"})]
