import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.kube.selectors import matches_labels, selects
from inferaudit.kube.types import Workload
from inferaudit.kube.workloads import template_labels, worker_templates
from inferaudit.network_peers import about_egress
from inferaudit.subjects import object_subject

_NAME = "kubernetes.io/metadata.name"
_UNPRIVILEGED, _LAST_PORT = 1024, 65535


@check(
    title="The pods of a group reach each other, and clients reach the leader alone",
    severity=Severity.HIGH,
    needs=("workload", "service.services", "service.networkpolicies"),
    optional=("service.namespace",),
    remediation=(
        "Add the label `leaderworkerset.sigs.k8s.io/worker-index` with the value 0, or one of the leader's own, to the "
        "Service's selector; let the NetworkPolicy admit the group's own pods on every port."
    ),
    references=("https://lws.sigs.k8s.io/docs/concepts/",),
)
def group_traffic(snapshot: Snapshot) -> Iterator[Judgement]:
    """Only the leader of a group answers requests: a Service that selects its workers too loses every second one.

    The ranks speak over ports that nobody declares. A NetworkPolicy that admits the gateway alone stops the model from
    starting. Pods of a StatefulSet that call each other by name have those names from the headless Service alone.
    """
    workload = snapshot.fact("workload")
    if workload.kind == "StatefulSet":
        yield from _named_peers(workload, snapshot.fact("service.services"))
    workers = worker_templates(workload.object)
    if workload.kind != "LeaderWorkerSet" or workload.pods_per_replica < 2:
        return
    own = {"leaderworkerset.sigs.k8s.io/name": workload.name}
    leader = {**template_labels(workload.template), **own, "leaderworkerset.sigs.k8s.io/worker-index": "0"}
    worker = {**template_labels(workers[0] if workers else workload.template), **own}
    for service in snapshot.fact("service.services"):
        spec = service.get("spec") or {}
        if spec.get("clusterIP") == "None":
            continue  # the headless Service by which the ranks find each other
        seen = Evidence("spec.selector", spec.get("selector"), "labels of the leader alone")
        if matches_labels(spec.get("selector"), worker):
            yield failed(object_subject(service), "selects the workers too, which answer no request", seen)
        else:
            yield passed(object_subject(service), "selects the leaders alone", seen)
    policies = snapshot.fact("service.networkpolicies")
    yield from _between(snapshot, workload, [p for p in policies if _inward(p)], "ingress", "from", leader, worker)
    yield from _between(snapshot, workload, [p for p in policies if about_egress(p)], "egress", "to", leader, worker)


def _between(
    snapshot: Snapshot,
    workload: Workload,
    policies: list[Mapping[str, Any]],
    side: str,
    peers: str,
    leader: Mapping[str, str],
    worker: Mapping[str, str],
) -> Iterator[Judgement]:
    """Whether policies of ingress, or of egress, let the pods of the group through to each other."""
    if not policies:
        return
    key = "" if side == "ingress" else side
    rules = [rule for p in policies for rule in (p.get("spec") or {}).get(side) or ()]
    subject = object_subject(policies[0])
    seen = Evidence(f"spec.{side}[].{peers}", [rule.get(peers) for rule in rules], "the group's own pods, on any port")
    space = _labels(snapshot, workload.namespace)
    verdicts = [_any(_admits(rule, peers, labels, space) for rule in rules) for labels in (leader, worker)]
    workers = worker_templates(workload.object)
    if any((template.get("spec") or {}).get("hostNetwork") for template in (workload.template, *workers)):
        yield not_applicable(subject, "pods on the network of their node are not subject to it", seen, key=key)
    elif all(verdicts):
        yield passed(subject, "admits the group's own pods", seen, key=key)
    elif False in verdicts:
        way = f" by its rules of {side}" if key else ""
        yield failed(subject, f"does not let the pods of a group reach each other{way}", seen, key=key)
    elif key:
        yield not_applicable(subject, "whether its rules admit the group hangs on addresses or labels", seen, key=key)
    else:
        error = snapshot.error("service.namespace")
        why = error.reason if error else "they were not read"
        yield unknown(subject, f"its namespaceSelector asks for labels of the namespace: {why}", seen)


def _named_peers(workload: Workload, services: list[Mapping[str, Any]]) -> Iterator[Judgement]:
    """Whether ``chat-0.peers`` in the pods' own words is a name that Kubernetes gives."""
    governing = (workload.object.get("spec") or {}).get("serviceName")
    called = _peers_called(workload, governing)
    if not called:
        return
    own = next((s for s in services if (s.get("metadata") or {}).get("name") == governing), None)
    headless = own is not None and (own.get("spec") or {}).get("clusterIP") == "None"
    host = f"{workload.name}-0.{called}"
    seen = Evidence("spec.serviceName", governing, f"{called}: a headless Service over the pods")
    if governing != called:
        yield failed(workload.subject, f"its pods call {host}, a name that spec.serviceName does not give them", seen)
    elif own is None:
        yield failed(workload.subject, f"its pods call {host}, and no Service {called} selects them", seen)
    elif not headless:
        yield failed(workload.subject, f"its pods call {host}, and the Service {called} is not headless", seen)
    else:
        yield passed(workload.subject, f"{called} gives its pods their names", seen)


def _peers_called(workload: Workload, governing: str | None) -> str | None:
    """The Service in the first peer's host name that a container is given; None where none is."""
    # A port or the namespace behind it tells a host from a file such as model-0.bin.
    host = re.compile(
        rf"(?<![\w-]){re.escape(workload.name)}-\d+\.([a-z0-9-]+)(:\d|\.svc\b|\.{re.escape(workload.namespace)}\b)?"
    )
    for container in (workload.template.get("spec") or {}).get("containers") or ():
        values = [each.get("value") for each in container.get("env") or ()]
        for text in (*(container.get("command") or ()), *(container.get("args") or ()), *values):
            for found in host.finditer(str(text)):
                if found[2] or found[1] == governing:
                    return found[1]
    return None


def _inward(policy: Mapping[str, Any]) -> bool:
    return "Ingress" in ((policy.get("spec") or {}).get("policyTypes") or ["Ingress"])


def _labels(snapshot: Snapshot, namespace: str) -> tuple[Mapping[str, str], bool]:
    """The labels of the workload's namespace, and whether those are all of them."""
    if snapshot.error("service.namespace") is not None:
        return {_NAME: namespace}, False
    found = snapshot.fact("service.namespace") or {}
    return {**((found.get("metadata") or {}).get("labels") or {}), _NAME: namespace}, True


def _any(verdicts: Iterable[bool | None]) -> bool | None:
    """True where one is, else None where one is not known, else False."""
    said = list(verdicts)
    return True if True in said else None if None in said else False


def _admits(
    rule: Mapping[str, Any], side: str, labels: Mapping[str, str], space: tuple[Mapping[str, str], bool]
) -> bool | None:
    """Whether a rule is for pods with these labels in the same namespace, on all ports that ranks may choose.

    Addresses may be those of pods; who is let in is never told by them here.
    """
    if rule.get("ports") and not _all_ports(rule["ports"]):
        return False
    peers = rule.get(side)
    if not peers:
        return True
    if side == "to" and any(peer.get("ipBlock") for peer in peers):
        return None
    return _any(
        _here(peer, space)
        for peer in peers
        if not peer.get("ipBlock") and selects(peer.get("podSelector") or {}, labels)
    )


def _here(peer: Mapping[str, Any], space: tuple[Mapping[str, str], bool]) -> bool | None:
    """Whether a peer is about the workload's namespace; None where that hangs on labels that were not read."""
    if "namespaceSelector" not in peer:
        return True
    selector, (known, whole) = peer["namespaceSelector"] or {}, space
    pairs = {name: value for name, value in (selector.get("matchLabels") or {}).items() if whole or name in known}
    terms = [t for t in selector.get("matchExpressions") or () if whole or t.get("key") in known]
    if not selects({"matchLabels": pairs, "matchExpressions": terms}, known):
        return False
    left = len(pairs) < len(selector.get("matchLabels") or {}) or len(terms) < len(
        selector.get("matchExpressions") or ()
    )
    return None if left else True


def _all_ports(ports: Iterable[Mapping[str, Any]]) -> bool:
    """Whether ranges of TCP ports hold all those that a process without privileges may open."""
    ranges = []
    for each in ports:
        if (each.get("protocol") or "TCP") == "TCP":
            first = each.get("port")
            if first is None:
                return True
            if isinstance(first, int):
                ranges.append((first, each.get("endPort") or first))
    end = _UNPRIVILEGED - 1
    for first, last in sorted(ranges):
        if first <= end + 1:
            end = max(end, last)
    return end >= _LAST_PORT
