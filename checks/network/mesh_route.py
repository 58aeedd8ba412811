from collections.abc import Iterator, Mapping
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.kube.selectors import selects
from inferaudit.kube.workloads import template_labels
from inferaudit.subjects import object_subject


@check(
    title="The mesh's subsets exist, and its TLS is what the pods ask for",
    severity=Severity.HIGH,
    needs=("workload", "service.routes", "service.rollouts"),
    optional=("service.trafficpolicies",),
    remediation=(
        "Define the subset in the DestinationRule with labels that the pods carry; use `tls: {mode: ISTIO_MUTUAL}` "
        "where PeerAuthentication is STRICT."
    ),
    references=(
        "https://istio.io/latest/docs/ops/common-problems/network-issues/",
        "https://istio.io/latest/docs/reference/config/networking/destination-rule/#Subset",
    ),
)
def mesh_route(snapshot: Snapshot) -> Iterator[Judgement]:
    """A subset that nobody defined, or that no pod is in, answers 503 to every request; so does plain text to a pod
    that asks for mutual TLS. Both objects are valid by themselves, and nothing warns.
    """
    workload = snapshot.fact("workload")
    rules = [obj for obj in snapshot.fact("service.rollouts") if obj.get("kind") == "DestinationRule"]
    policies = snapshot.fact("service.trafficpolicies") if snapshot.error("service.trafficpolicies") is None else []
    labels = template_labels(workload.template)
    subsets = {each.get("name"): each for rule in rules for each in (rule.get("spec") or {}).get("subsets") or ()}
    for route in snapshot.fact("service.routes"):
        if route.get("kind") != "VirtualService":
            continue
        used = _subsets(route)
        lost = [name for name, _ in used if name not in subsets]
        empty = [
            name
            for name, alone in used
            if alone and name in subsets and not selects({"matchLabels": subsets[name].get("labels") or {}}, labels)
        ]
        seen = Evidence("spec.http[].route[].destination.subset", [n for n, _ in used], "defined, and not empty")
        subject = object_subject(route)
        if lost:
            yield failed(subject, f"leads to the subset {lost[0]}, which no DestinationRule defines", seen)
        elif empty:
            yield failed(subject, f"leads all to the subset {empty[0]}, whose labels the pods do not carry", seen)
        elif used:
            yield passed(subject, "its subsets exist", seen)
    strict = [object_subject(p) for p in policies if _strict(p, labels)]
    for rule in rules:
        mode = (((rule.get("spec") or {}).get("trafficPolicy") or {}).get("tls") or {}).get("mode")
        shown = Evidence("spec.trafficPolicy.tls.mode", mode, "ISTIO_MUTUAL, or unset")
        if strict and mode in ("DISABLE", "SIMPLE"):
            yield failed(object_subject(rule), f"{mode} to pods that {strict[0]} makes refuse it", shown, key="tls")
        elif strict:
            yield passed(object_subject(rule), "speaks the mutual TLS that the pods ask for", shown, key="tls")


def _subsets(route: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """Subsets that traffic is sent to, and whether theirs is all of a rule's."""
    found = []
    for http in (route.get("spec") or {}).get("http") or ():
        live = [r for r in http.get("route") or () if r.get("weight", 100)]
        for each in live:
            name = (each.get("destination") or {}).get("subset")
            if name:
                found.append((str(name), len(live) == 1))
    return found


def _strict(policy: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    spec = policy.get("spec") or {}
    if policy.get("kind") != "PeerAuthentication" or (spec.get("mtls") or {}).get("mode") != "STRICT":
        return False
    return not spec.get("selector") or selects(spec["selector"], labels)
