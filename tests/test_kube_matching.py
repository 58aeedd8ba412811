"""Selectors, affinity, tolerations and quantities: the API's semantics, case by case."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferaudit.kube.quantity import gpu_quantities, millis, parse_quantity, whole
from inferaudit.kube.selectors import (
    matches_labels,
    node_admits,
    node_is_wanted,
    selects,
    tolerates,
    untolerated,
)
from inferaudit.kube.types import Node, Taint

LABELS = {"app": "chat", "tier": "gpu", "count": "4"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("1", 1),
        (2, 2),
        (0.5, Fraction(1, 2)),
        ("250m", Fraction(1, 4)),
        ("1k", 1000),
        ("1Ki", 1024),
        ("1.5Gi", 3 * 2**29),
        ("1e3", 1000),
        ("1E3", 1000),
        ("12E", 12 * 10**18),
        ("5e-1", Fraction(1, 2)),
        (".5", Fraction(1, 2)),
        ("1.", 1),
        ("100n", Fraction(1, 10**7)),
        ("-3", -3),
        ("", None),
        ("1 Gi", None),
        ("Gi", None),
        ("1KB", None),
        ("١", None),
        (None, None),
        (True, None),
        ("1e99999", None),
    ],
)
def test_quantity(text: Any, value: Any) -> None:
    assert parse_quantity(text) == value


@given(st.integers(0, 10**12), st.sampled_from(["n", "u", "m", "", "k", "M", "Ki", "Mi", "Gi"]))
def test_quantities_round_up_and_never_lose(number: int, suffix: str) -> None:
    exact = parse_quantity(f"{number}{suffix}")
    rounded, thousandths = whole(f"{number}{suffix}"), millis(f"{number}{suffix}")
    assert exact is not None
    assert rounded is not None
    assert thousandths is not None
    assert 0 <= rounded - exact < 1
    assert 0 <= thousandths - exact * 1000 < 1


@given(st.text(max_size=20))
def test_any_text_is_a_quantity_or_none(text: str) -> None:
    assert parse_quantity(text) is None or isinstance(parse_quantity(text), Fraction)


def test_gpus_of_every_vendor_and_share() -> None:
    asked = {"nvidia.com/gpu": "2", "nvidia.com/mig-1g.10gb": 1, "amd.com/gpu": "1", "cpu": "8", "google.com/tpu": "0"}
    assert gpu_quantities(asked) == {"nvidia.com/gpu": 2, "nvidia.com/mig-1g.10gb": 1, "amd.com/gpu": 1}
    assert gpu_quantities(None) == {}


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, **({"values": list(values)} if values else {})}]}


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"app": "chat"}}, True),
        ({"matchLabels": {"app": "chat", "x": "y"}}, False),
        (expression("app", "In", "chat", "other"), True),
        (expression("app", "In", "other"), False),
        (expression("gone", "In", "chat"), False),
        (expression("app", "NotIn", "chat"), False),
        (expression("gone", "NotIn", "chat"), True),
        (expression("app", "Exists"), True),
        (expression("gone", "Exists"), False),
        (expression("gone", "DoesNotExist"), True),
        (expression("app", "DoesNotExist"), False),
        (expression("app", "Unheard"), False),
        ({"matchLabels": {"app": "chat"}, **expression("tier", "In", "cpu")}, False),
    ],
)
def test_label_selector(selector: Any, selected: bool) -> None:
    assert selects(selector, LABELS) is selected


def test_a_selector_of_pods_without_labels() -> None:
    assert selects({}, None)
    assert not selects({"matchLabels": {"a": "b"}}, None)
    assert matches_labels(None, None)


def node(**fields: Any) -> Node:
    return Node(name="gpu-0", labels=LABELS, **fields)


def affinity(*terms: Any) -> dict[str, Any]:
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
    return {"affinity": {"nodeAffinity": required}}


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, True),
        ({"nodeName": "gpu-0"}, True),
        ({"nodeName": "gpu-1"}, False),
        ({"nodeSelector": {"tier": "gpu"}}, True),
        ({"nodeSelector": {"tier": "cpu"}}, False),
        (affinity(expression("tier", "In", "gpu")), True),
        (affinity(expression("tier", "In", "cpu")), False),
        (affinity(expression("tier", "In", "cpu"), expression("app", "Exists")), True),  # terms are alternatives
        (affinity({"matchExpressions": [*expression("tier", "In", "gpu")["matchExpressions"],
                                        *expression("app", "DoesNotExist")["matchExpressions"]]}), False),
        (affinity({}), False),  # an empty term matches no node
        (affinity(), False),
        (affinity(expression("count", "Gt", "3")), True),
        (affinity(expression("count", "Gt", "4")), False),
        (affinity(expression("count", "Lt", "10")), True),
        (affinity(expression("app", "Gt", "3")), False),  # not a number
        (affinity({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["gpu-0"]}]}), True),
        (affinity({"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["gpu-0"]}]}), False),
        ({**affinity(expression("tier", "In", "gpu")), "nodeSelector": {"app": "other"}}, False),  # both must hold
    ],
)  # fmt: skip
def test_node_selection(spec: Any, wanted: bool) -> None:
    assert node_is_wanted(spec, node()) is wanted


GPU_TAINT = Taint(key="nvidia.com/gpu", value="present", effect="NoSchedule")


@pytest.mark.parametrize(
    ("toleration", "holds"),
    [
        ({"key": "nvidia.com/gpu", "operator": "Exists"}, True),
        ({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}, True),
        ({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "nvidia.com/gpu", "operator": "Equal", "value": "present"}, True),
        ({"key": "nvidia.com/gpu", "value": "present"}, True),  # Equal is the default
        ({"key": "nvidia.com/gpu", "value": "true"}, False),
        ({"key": "nvidia.com/gpu"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({"operator": "Exists"}, True),  # tolerates everything
        ({"operator": "Exists", "effect": "NoExecute"}, False),
        ({}, False),
        ({"key": "nvidia.com/gpu", "operator": "Unheard"}, False),
    ],
)
def test_toleration(toleration: Any, holds: bool) -> None:
    assert tolerates(toleration, GPU_TAINT) is holds


def test_preferred_taints_keep_nobody_away() -> None:
    soft = Taint(key="a", effect="PreferNoSchedule")
    hard = Taint(key="b", effect="NoExecute")
    assert untolerated(None, [soft, hard]) == [hard]
    assert untolerated([{"key": "b", "operator": "Exists"}], [soft, hard]) == []


def test_a_cordoned_node_admits_only_who_tolerates_it() -> None:
    assert node_admits({}, node())
    assert not node_admits({}, node(unschedulable=True))
    assert not node_admits({}, node(taints=[GPU_TAINT]))
    cordon = {"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}
    assert node_admits({"tolerations": [cordon]}, node(unschedulable=True))
