"""Whom NetworkPolicies let in to a port of the pods, and whether they let the pods ask for names. Pure.

https://kubernetes.io/docs/concepts/services-networking/network-policies/: policies add up; what none admits is dropped.
Who a peer is stands in no policy: only one that plainly is another, by the words in its selectors, counts as that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from inferaudit.engine_args import engine_port, serving_engines
from inferaudit.kube.selectors import selects
from inferaudit.probe_timing import port_number

Object = Mapping[str, Any]

_AMBIENT = (
    15008  # what an ambient mesh carries all traffic over: https://istio.io/latest/docs/ambient/usage/networkpolicy/
)
_GATEWAY = re.compile(r"ingress|gateway|envoy|istio|nginx|traefik|kong|haproxy|contour|knative|router|proxy")
_SCRAPER = re.compile(
    r"monitor|prom|metric|observ|scrap|telemetry|victoria|vmagent|grafana|alloy|otel|collector|datadog"
)
_GROUP = "leaderworkerset.sigs.k8s.io/name"  # who has it takes part in the work, and calls nobody's API
# What CoreDNS listens on behind port 53 of its Service: policies are about the ports of pods.
_NAME_PORTS = (53, 1053, 5353, 8053)
_NAME_PORT = re.compile(r"dns|domain|53")
_NAME_SERVERS = ("kube-system", "openshift-dns")
_NAMESPACE = "kubernetes.io/metadata.name"


def about_ingress(policy: Object) -> bool:
    """Whether a policy limits who gets in: it does so unless its types say that it does not."""
    return "Ingress" in ((policy.get("spec") or {}).get("policyTypes") or ["Ingress"])


def rules_of(policy: Object) -> list[Object]:
    """Its rules of ingress."""
    return [rule or {} for rule in (policy.get("spec") or {}).get("ingress") or ()]


def policy_to_mend(policies: list[Object]) -> Object:
    """That to which a missing rule would be added: the first with rules, for one without is there to deny."""
    return next((policy for policy in policies if rules_of(policy)), policies[0])


def about_egress(policy: Object) -> bool:
    """Whether a policy limits whom the pods may call: by its types, else by having rules about it."""
    spec = policy.get("spec") or {}
    types = spec.get("policyTypes")
    return "Egress" in types if types else bool(spec.get("egress"))


def egress_of(policy: Object) -> list[Object]:
    """Its rules of egress."""
    return [rule or {} for rule in (policy.get("spec") or {}).get("egress") or ()]


def lets_names_be_asked(policies: Iterable[Object], namespace: str, protocol: str = "UDP") -> bool | None:
    """Whether some rule admits the cluster's name server; None where that hangs on addresses or labels not in view.

    A rule with the port of names and any peer that may be the server is meant for it. One for all ports must be about
    the server's namespace, or about all.
    """
    said: list[bool | None] = []
    for rule in (rule for policy in policies for rule in egress_of(policy)):
        about = _about_names(rule.get("ports"), protocol)
        if about is None:
            continue
        for peer in rule.get("to") or [{}]:
            found = _may_serve_names(peer, namespace)
            meant = about and (found is not False or "namespaceSelector" in peer)
            said.append(True if meant else found)
    return True if True in said else None if None in said else False


def _about_names(ports: Any, protocol: str) -> bool | None:
    """True for a rule about the port of names, False for one about every port, None for one about others."""
    for each in ports or ():
        number = each.get("port")
        if (each.get("protocol") or "TCP") != protocol:
            continue
        if number is None:
            return False
        last = each.get("endPort") or number
        if any(number <= port <= last for port in _NAME_PORTS) if isinstance(number, int) else _named(number):
            return True
    return None if ports else False


def _named(port: Any) -> bool:
    return _NAME_PORT.search(str(port)) is not None


def _may_serve_names(peer: Object, namespace: str) -> bool | None:
    """Whether a peer takes in the name server's pods; None where its labels or addresses are not known."""
    if not peer:
        return True
    if peer.get("ipBlock"):
        return None
    space = peer.get("namespaceSelector")
    if space is None:
        return None if namespace in _NAME_SERVERS else False
    keys = {*(space.get("matchLabels") or {}), *(each.get("key") for each in space.get("matchExpressions") or ())}
    known = {key: value for key, value in (space.get("matchLabels") or {}).items() if key == _NAMESPACE}
    terms = [each for each in space.get("matchExpressions") or () if each.get("key") == _NAMESPACE]
    asked = {"matchLabels": known, "matchExpressions": terms}
    if not any(selects(asked, {_NAMESPACE: name}) for name in _NAME_SERVERS):
        return False
    return None if keys - {_NAMESPACE} or peer.get("podSelector") else True


def opens(containers: Iterable[Object], port: int) -> bool:
    """Whether the pods may listen on a port: one that is declared, or that an engine was told. Others are no policy's
    fault."""
    own = list(containers)
    declared = {each.get("containerPort") for c in own for each in c.get("ports") or ()}
    found = set(declared)
    for _, engine in serving_engines(own):
        http = engine.profile.ports.get("http")
        told = engine_port(engine) or http
        found |= {told if number == http else number for number in engine.profile.ports.values()} | {told}
    return port in found or not declared


def lets_gateway_in(policies: Iterable[Object], port: int, containers: Iterable[Object]) -> bool:
    """False where nobody is let in to the port, or none but who fetches metrics."""
    return any(not _is(peer, _SCRAPER, _GATEWAY) for peer in _peers(policies, port, containers))


def lets_scraper_in(policies: Iterable[Object], port: int, containers: Iterable[Object]) -> bool:
    """False where nobody is let in to the port, or none but gateways."""
    return any(not _is(peer, _GATEWAY, _SCRAPER) for peer in _peers(policies, port, containers))


def _is(peer: Object, one: re.Pattern[str], other: re.Pattern[str]) -> bool:
    words = json.dumps(peer).lower()
    return bool(one.search(words)) and not other.search(words)


def _peers(policies: Iterable[Object], port: int, containers: Iterable[Object]) -> list[Object]:
    """The peers of all rules that are about the port, less the pods of a group; an empty one stands for everybody."""
    own = list(containers)
    rules = [rule for policy in policies for rule in rules_of(policy)]
    ports = (port, _AMBIENT)
    return [
        peer
        for rule in rules
        if any(_about(rule.get("ports"), each, own) for each in ports)
        for peer in rule.get("from") or [{}]
        if _GROUP not in ((peer.get("podSelector") or {}).get("matchLabels") or {})
    ]


def _about(ports: Any, wanted: int, containers: list[Object]) -> bool:
    for each in ports or [{}]:
        number = each.get("port")
        if (each.get("protocol") or "TCP") != "TCP":
            continue
        if number is None or any(port_number(c, number) == wanted for c in containers):
            return True
        if isinstance(number, int) and number <= wanted <= (each.get("endPort") or number):
            return True
    return False
