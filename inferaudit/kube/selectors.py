"""Kubernetes matching: label selectors, node selectors and affinity, taints and tolerations. Full API semantics.

Everything takes the API's own dicts. A selector that the API server would refuse matches nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from inferaudit.kube.types import Node, Taint

_INTEGER = re.compile(r"[+-]?[0-9]+")


def matches_labels(wanted: Mapping[str, Any] | None, labels: Mapping[str, str] | None) -> bool:
    """True when every wanted pair is among `labels`: a Service's ``selector``, a pod's ``nodeSelector``."""
    have = labels or {}
    return all(key in have and have[key] == value for key, value in (wanted or {}).items())


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str] | None) -> bool:
    """A LabelSelector (``matchLabels`` and ``matchExpressions``): None selects nothing, an empty one everything."""
    if selector is None:
        return False
    return matches_labels(selector.get("matchLabels"), labels) and all(
        _requirement(term, labels or {}) for term in selector.get("matchExpressions") or ()
    )


def _requirement(term: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """One requirement of a label or node selector. `NotIn` and `DoesNotExist` hold where the key is absent."""
    key, operator, values = str(term.get("key", "")), term.get("operator"), list(term.get("values") or ())
    present = key in labels
    if operator == "In":
        return present and labels[key] in values
    if operator == "NotIn":
        return not present or labels[key] not in values
    if operator == "Exists":
        return present
    if operator == "DoesNotExist":
        return not present
    if operator in ("Gt", "Lt"):
        if not present or len(values) != 1 or not (_is_int(labels[key]) and _is_int(values[0])):
            return False
        return int(labels[key]) > int(values[0]) if operator == "Gt" else int(labels[key]) < int(values[0])
    return False


def _is_int(text: Any) -> bool:
    return _INTEGER.fullmatch(str(text)) is not None


def node_term_matches(term: Mapping[str, Any], node: Node) -> bool:
    """A NodeSelectorTerm: all of its expressions and fields; an empty term matches no node."""
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    return all(_requirement(each, node.labels) for each in expressions) and all(
        _requirement(each, {"metadata.name": node.name}) for each in fields
    )


def required_node_terms(pod_spec: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
    """The terms of ``requiredDuringSchedulingIgnoredDuringExecution``, of which one must match; None = not asked."""
    affinity = (pod_spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return None if required is None else list(required.get("nodeSelectorTerms") or ())


def node_is_wanted(pod_spec: Mapping[str, Any], node: Node) -> bool:
    """True when ``nodeName``, ``nodeSelector`` and required node affinity admit the node. Taints are not looked at."""
    if pod_spec.get("nodeName") and pod_spec["nodeName"] != node.name:
        return False
    if not matches_labels(pod_spec.get("nodeSelector"), node.labels):
        return False
    terms = required_node_terms(pod_spec)
    return terms is None or any(node_term_matches(term, node) for term in terms)


def tolerates(toleration: Mapping[str, Any], taint: Taint) -> bool:
    """One toleration against one taint. An empty key with ``Exists`` tolerates all; an empty effect, every effect."""
    if toleration.get("effect") and toleration["effect"] != taint.effect:
        return False
    key, operator = toleration.get("key") or "", toleration.get("operator") or "Equal"
    if key and key != taint.key:
        return False
    value = str(toleration.get("value") or "")
    if operator == "Exists":
        return not value
    if not key:
        return False
    if operator == "Equal":
        return value == taint.value
    if operator in ("Gt", "Lt") and _is_int(value) and _is_int(taint.value):
        return int(taint.value) > int(value) if operator == "Gt" else int(taint.value) < int(value)
    return False


def untolerated(tolerations: Iterable[Mapping[str, Any]] | None, taints: Iterable[Taint]) -> list[Taint]:
    """The taints that keep a pod away: ``NoSchedule`` and ``NoExecute`` that nothing tolerates."""
    given = list(tolerations or ())
    return [
        taint
        for taint in taints
        if taint.effect in ("NoSchedule", "NoExecute") and not any(tolerates(each, taint) for each in given)
    ]


def node_admits(pod_spec: Mapping[str, Any], node: Node) -> bool:
    """True when a pod of this spec may be scheduled there, resources aside: selector, affinity, taints, cordon."""
    unschedulable = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")
    taints = [*node.taints, unschedulable] if node.unschedulable else node.taints
    return node_is_wanted(pod_spec, node) and not untolerated(pod_spec.get("tolerations"), taints)
