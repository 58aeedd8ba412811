from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from inferaudit.api import (
    Evidence,
    FactErrorKind,
    Judgement,
    Outcome,
    Severity,
    Snapshot,
    check,
    failed,
    passed,
    unknown,
)
from inferaudit.kube.selectors import selects
from inferaudit.kube.view import name_of, namespace_of
from inferaudit.kube.workloads import template_labels
from inferaudit.subjects import object_subject

Host = tuple[str, str]  # name and namespace
_ARGO = "rollouts-pod-template-hash"  # Argo Rollouts writes it into subsets, and on pods alone


@check(
    title="The mesh's subsets exist, and its TLS is what the pods ask for",
    severity=Severity.HIGH,
    needs=("workload", "service.routes", "service.rollouts"),
    optional=("service.trafficpolicies", "service.services"),
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

    Judged are the subsets of the service's own hosts. Where no DestinationRule for such a host is in view, one of
    another namespace or of a wildcard may define them: unknown.
    """
    workload = snapshot.fact("workload")
    rules = [obj for obj in snapshot.fact("service.rollouts") if obj.get("kind") == "DestinationRule"]
    labels = template_labels(workload.template)
    subsets: dict[Host, dict[str, Mapping[str, Any]]] = {}
    for rule in rules:
        spec = rule.get("spec") or {}
        defined = subsets.setdefault(_host(spec.get("host"), rule), {})
        defined |= {str(each.get("name")): each for each in spec.get("subsets") or ()}
    services = None
    if snapshot.error("service.services") is None:
        services = {(name_of(obj), namespace_of(obj)) for obj in snapshot.fact("service.services")}
    said = []
    for route in snapshot.fact("service.routes"):
        if route.get("kind") == "VirtualService":
            said += _route(route, subsets, services, labels)
    said += _tls(snapshot, rules, labels, decided=any(each.outcome is Outcome.FAIL for each in said))
    yield from said


def _route(
    route: Mapping[str, Any],
    subsets: Mapping[Host, Mapping[str, Mapping[str, Any]]],
    services: set[Host] | None,
    labels: Mapping[str, str],
) -> Iterator[Judgement]:
    used = _destinations(route)
    named = [name for _, name in used if name]
    known = [(host, name) for host, name in used if host in subsets]
    lost = [name for host, name in known if name and name not in subsets[host]]
    # A host that is not one of the service's own has its rule elsewhere, and its pods too.
    others = [name for host, name in used if host not in subsets and (services is None or host in services)]
    unseen = [name for name in others if name]
    reached = "" in others or any(not name or _holds(subsets[host].get(name), labels) for host, name in known)
    seen = Evidence("spec.http[].route[].destination.subset", named, "defined, and not empty")
    subject = object_subject(route)
    if lost:
        yield failed(subject, f"leads to the subset {lost[0]}, which no DestinationRule defines", seen)
    elif known and not reached and not unseen:
        yield failed(subject, f"leads all to the subset {known[0][1]}, whose labels the pods do not carry", seen)
    elif unseen:
        yield unknown(subject, f"no DestinationRule in view defines the subset {unseen[0]} for its host", seen)
    elif any(name for _, name in known):
        yield passed(subject, "its subsets exist", seen)


def _tls(
    snapshot: Snapshot, rules: Sequence[Mapping[str, Any]], labels: Mapping[str, str], *, decided: bool
) -> Iterator[Judgement]:
    modes = [(((rule.get("spec") or {}).get("trafficPolicy") or {}).get("tls") or {}).get("mode") for rule in rules]
    error = snapshot.error("service.trafficpolicies")
    plain = any(mode in ("DISABLE", "SIMPLE") for mode in modes)
    if error is not None and (decided or not plain or error.kind is FactErrorKind.OUT_OF_VIEW):
        return  # nothing hangs on it, or no mesh is in view that could ask for TLS
    strict = _strict(snapshot.fact("service.trafficpolicies"), labels) if rules else None
    for rule, mode in zip(rules, modes, strict=True):
        shown = Evidence("spec.trafficPolicy.tls.mode", mode, "ISTIO_MUTUAL, or unset")
        if strict and mode in ("DISABLE", "SIMPLE"):
            yield failed(object_subject(rule), f"{mode} to pods that {strict} makes refuse it", shown, key="tls")
        elif strict:
            yield passed(object_subject(rule), "speaks the mutual TLS that the pods ask for", shown, key="tls")


def _destinations(route: Mapping[str, Any]) -> list[tuple[Host, str]]:
    """Hosts that traffic is sent to, each with its subset; an empty one are all pods behind the host."""
    return [
        (_host(destination.get("host"), route), str(destination.get("subset") or ""))
        for http in (route.get("spec") or {}).get("http") or ()
        for each in http.get("route") or ()
        if each.get("weight", 100)
        for destination in (each.get("destination") or {},)
    ]


def _host(host: Any, obj: Mapping[str, Any]) -> Host:
    """``chat``, ``chat.ns`` and ``chat.ns.svc.cluster.local`` are one Service; another name is itself."""
    name, _, rest = str(host or "").partition(".")
    namespace, _, suffix = rest.partition(".")
    if suffix and suffix.partition(".")[0] != "svc":
        return str(host), ""
    return name, namespace or namespace_of(obj)


def _holds(subset: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    wanted = {name: value for name, value in ((subset or {}).get("labels") or {}).items() if name != _ARGO}
    return selects({"matchLabels": wanted}, labels)


def _strict(policies: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> str:
    """The PeerAuthentication by which the pods refuse plain text on every port; empty where none does.

    One for these pods overrides the namespace's: https://istio.io/latest/docs/reference/config/security/peer_authentication/
    """
    found = [p for p in policies if p.get("kind") == "PeerAuthentication" and _mode(p) not in (None, "UNSET")]
    narrow = [p for p in found if _selector(p) and selects(_selector(p), labels)]
    for policy in narrow or [p for p in found if not _selector(p)]:
        ports = ((policy.get("spec") or {}).get("portLevelMtls") or {}).values()
        if _mode(policy) == "STRICT" and all(port.get("mode") == "STRICT" for port in ports):
            return object_subject(policy)
    return ""


def _mode(policy: Mapping[str, Any]) -> Any:
    return ((policy.get("spec") or {}).get("mtls") or {}).get("mode")


def _selector(policy: Mapping[str, Any]) -> Any:
    return (policy.get("spec") or {}).get("selector")
