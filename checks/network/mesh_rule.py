from collections.abc import Iterator
from difflib import get_close_matches

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.kube.view import name_of
from inferaudit.subjects import object_subject

_LIKE = 0.75  # of the letters of two names in common


@check(
    title="Rules of the mesh and policies of the gateway are for what exists",
    severity=Severity.MEDIUM,
    needs=("workload", "service.services"),
    optional=("service.rollouts", "service.routes", "service.lostrules"),
    remediation=(
        "Set `spec.host` to the Service's name, or to `NAME.NAMESPACE.svc.cluster.local`; `targetRefs` to the kind and "
        "the name of the route."
    ),
    references=(
        "https://istio.io/latest/docs/reference/config/networking/destination-rule/",
        "https://gateway-api.sigs.k8s.io/reference/policy-attachment/",
    ),
)
def mesh_rule(snapshot: Snapshot) -> Iterator[Judgement]:
    """A DestinationRule for a host that nobody has is accepted and does nothing: no connection limit, no ejection of
    broken pods, no subset. So is a gateway's policy whose target is not there: no time limit, no rate limit, no key.

    One of the namespace is taken for the service's where its name, or that of what it is for, is like one of ours.
    """
    workload, services = snapshot.fact("workload"), snapshot.fact("service.services")
    ours = [workload.name, *(name_of(obj) for obj in (*services, *snapshot.fact_or("service.routes", ())))]
    rules = [obj for obj in snapshot.fact_or("service.rollouts", ()) if obj.get("kind") == "DestinationRule"]
    for rule in rules:
        host = (rule.get("spec") or {}).get("host")
        yield passed(object_subject(rule), f"is for {host}", Evidence("spec.host", host, "a Service over the pods"))
    for lost in snapshot.fact_or("service.lostrules", []):
        names = (lost.subject.rpartition("/")[2], lost.name.partition(".")[0])
        seen = Evidence(lost.path, lost.name, f"a {lost.kind} that exists")
        if not services or not any(get_close_matches(name, ours, 1, _LIKE) for name in names):
            continue
        if lost.found is False:
            yield failed(lost.subject, f"there is no {lost.kind} {lost.name}: it applies to nothing", seen)
        else:
            yield not_applicable(lost.subject, f"is for {lost.name}: {lost.reason}", seen)
    if not rules:
        snapshot.require_read("service.lostrules")
