"""The Cluster Autoscaler's status, in both of its forms, and the nodes of its groups."""

from __future__ import annotations

import pytest

from inferaudit.kube.types import Node
from inferaudit.node_growth import NodeGroup, autoscaler_status, groups_of

YAML = """
time: 2026-11-22 11:59:00 +0000 UTC
autoscalerStatus: Running
clusterWide: {health: {status: Healthy}}
nodeGroups:
- name: aks-gpu-12345678-vmss
  health: {status: Unhealthy, nodeCounts: {registered: {total: 1}}, cloudProviderTarget: 1, minSize: 1, maxSize: 5}
  scaleUp: {status: Backoff, backoffInfo: {errorCode: QUOTA_EXCEEDED, errorMessage: no more}}
- name: aks-gpu2-12345678-vmss
  health: {status: Healthy, maxSize: 3}
  scaleUp: {status: NoActivity}
"""
TEXT = """Cluster-autoscaler status at 2023-01-01 00:00:00 +0000 UTC:
Cluster-wide:
  Health:      Healthy (ready=3 unready=0)
NodeGroups:
  Name:        eks-gpu-8ec1
  Health:      Healthy (ready=1 unready=0 cloudProviderTarget=2 (minSize=0, maxSize=6))
               LastProbeTime:      2023-01-01 00:00:00 +0000 UTC
  ScaleUp:     InProgress (ready=1 cloudProviderTarget=2)
"""


def status(text: str) -> list[NodeGroup]:
    found = autoscaler_status({"data": {"status": text}})
    assert found is not None
    return list(found.groups)


def test_yaml() -> None:
    first, second = status(YAML)
    assert first == NodeGroup("aks-gpu-12345678-vmss", False, 1, 5, "Backoff", "QUOTA_EXCEEDED: no more")
    assert first.spare == 4
    assert (second.target, second.spare, second.healthy) == (0, 3, True), "Go leaves a target of nothing out"


def test_text() -> None:
    assert status(TEXT) == [NodeGroup("eks-gpu-8ec1", True, 2, 6, "InProgress")]


@pytest.mark.parametrize("text", ["", "not: a status", "[1, 2", "- a", "1"])
def test_what_is_no_status(text: str) -> None:
    assert autoscaler_status({"data": {"status": text}}) is None
    assert autoscaler_status(None) is None


@pytest.mark.parametrize(
    ("group", "node", "labels"),
    [
        ("https://c/instanceGroups/gke-prod-gpu-ab12-grp", "gke-prod-gpu-ab12-x9z1", {}),
        ("aks-gpu-12345678-vmss", "aks-gpu-12345678-vmss000000", {}),
        ("eks-gpu-8ec1", "ip-10-0-0-1", {"eks.amazonaws.com/nodegroup": "gpu"}),
        ("eksctl-prod-nodegroup-gpu-NodeGroup-1X", "ip-10-0-0-1", {"alpha.eksctl.io/nodegroup-name": "gpu"}),
    ],
)
def test_a_node_is_of_a_group(group: str, node: str, labels: dict[str, str]) -> None:
    found = autoscaler_status({"data": {"status": f"nodeGroups: [{{name: '{group}', health: {{maxSize: 1}}}}]"}})
    assert list(groups_of([Node(name=node, labels=labels)], found)) == [group]


def test_a_node_is_of_no_group_that_is_only_called_alike() -> None:
    found = autoscaler_status({"data": {"status": YAML}})
    assert list(groups_of([Node(name="aks-gpu2-12345678-vmss000001")], found)) == ["aks-gpu2-12345678-vmss"]
    assert groups_of([Node(name="ip-1", labels={"agentpool": "gp"})], found) == {}
