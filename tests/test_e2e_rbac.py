"""Least privilege, proven by the API server's own audit log: what `generate rbac` grants is what an audit uses.

None refused, none unused, nothing else asked for, and no Secret read but as a Table without its object.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from support.cluster import ControlPlane

pytestmark = [pytest.mark.controlplane, pytest.mark.xdist_group("controlplane"), pytest.mark.timeout(300)]

WORKLOAD = ("-n", "llm-prod", "--workload", "deployment/chat")
# What a complete service may name and the example does not: a ClusterRole that is bound in the namespace, and the
# StorageClass of a StatefulSet's claims.
ALSO = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: chat-config}
rules: [{apiGroups: [""], resources: [configmaps], resourceNames: [chat-config], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: chat-config, namespace: llm-prod}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: chat-config}
subjects: [{kind: ServiceAccount, name: chat, namespace: llm-prod}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: idle, namespace: llm-prod}
spec:
  replicas: 0
  serviceName: idle
  selector: {matchLabels: {app: idle}}
  template:
    metadata: {labels: {app: idle}}
    spec:
      containers:
      - {name: server, image: "vllm/vllm-openai:v0.11.0", volumeMounts: [{name: models, mountPath: /m}]}
  volumeClaimTemplates:
  - metadata: {name: models}
    spec: {storageClassName: model-cache, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""
Permission = tuple[str, str, str]  # verb, group, resource[/subresource]


def inferaudit(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "inferaudit.cli.app", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=dict(os.environ))
    assert "Traceback" not in done.stderr
    return done


def granted(documents: list[dict[str, Any]], *, bound: bool = True) -> set[Permission]:
    """Every permission of the Roles; only of the bound ones unless told otherwise."""
    refs = {(d["roleRef"]["kind"], d["roleRef"]["name"]) for d in documents if d["kind"].endswith("Binding")}
    return {
        (verb, group, resource)
        for document in documents
        if document["kind"] in ("Role", "ClusterRole")
        and ((document["kind"], document["metadata"]["name"]) in refs or not bound)
        for rule in document["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def requests_of(plane: ControlPlane, user: str) -> list[dict[str, Any]]:
    events = [json.loads(line) for line in plane.audit_log.read_text().splitlines()]
    return [e for e in events if e["user"].get("username") == user and "objectRef" in e]


@pytest.fixture(scope="module")
def account(gpu_service: ControlPlane) -> Iterator[tuple[ControlPlane, str, list[dict[str, Any]]]]:
    """A service account with exactly what `generate rbac` prints for this cluster and this service."""
    name = "auditor-least"
    flags = ("--kubeconfig", gpu_service.kubeconfig, "--service-account", f"audit/{name}", "--with", "logs")
    done = inferaudit("generate", "rbac", *WORKLOAD, *flags)
    assert done.returncode == 0, done.stderr
    documents = [each for each in yaml.safe_load_all(done.stdout) if each]
    gpu_service.apply(done.stdout)
    gpu_service.apply(ALSO)
    yield gpu_service, name, documents
    for text in (done.stdout, ALSO):
        gpu_service.kubectl("delete", "-f", "-", "--wait=false", input=text)


@pytest.fixture(scope="module")
def audited(
    account: tuple[ControlPlane, str, list[dict[str, Any]]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The report of a full audit with that account, and every request that it made."""
    plane, name, _ = account
    out = tmp_path_factory.mktemp("least") / "report.json"
    config = plane.kubeconfig_for(name, "audit")
    flags = ("--kubeconfig", config, "--scope", "cluster", "--no-progress", "-o")
    done = inferaudit("run", *WORKLOAD, *flags, f"json={out}")
    assert out.exists(), done.stderr
    inferaudit("run", "-n", "llm-prod", "--workload", "statefulset/idle", *flags, f"json={out.with_name('idle.json')}")
    return json.loads(out.read_text()), requests_of(plane, f"system:serviceaccount:audit:{name}")


def test_nothing_is_refused(audited: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    report, requests = audited
    refused = [(r["verb"], r["requestURI"]) for r in requests if r["responseStatus"]["code"] == 403]
    assert refused == []
    assert report["coverage"]["denied"] == []
    assert [f["message"] for f in report["findings"] if f["check"] == "audit-collection" and f["gates"]] == []


def test_what_is_granted_is_used_and_nothing_else(
    account: tuple[ControlPlane, str, list[dict[str, Any]]], audited: tuple[dict[str, Any], list[dict[str, Any]]]
) -> None:
    documents = account[2]
    used = {
        (
            r["verb"],
            r["objectRef"].get("apiGroup", ""),
            "/".join(filter(None, (r["objectRef"]["resource"], r["objectRef"].get("subresource")))),
        )
        for r in audited[1]
    }
    assert used - granted(documents) == set()
    assert granted(documents) - used == set()


def test_secrets_are_read_one_by_one_and_without_their_data(
    audited: tuple[dict[str, Any], list[dict[str, Any]]],
) -> None:
    reads = [r for r in audited[1] if r["objectRef"]["resource"] == "secrets"]
    assert {r["objectRef"].get("name") for r in reads} == {"hf-token", "chat-api-key", "chat-tls", "registry-pull"}
    assert {r["verb"] for r in reads} == {"get"}
    for each in reads:
        assert parse_qs(urlsplit(each["requestURI"]).query)["includeObject"] == ["None"], each["requestURI"]


def test_only_reading_verbs_and_secrets_by_name(account: tuple[ControlPlane, str, list[dict[str, Any]]]) -> None:
    documents = account[2]
    assert {verb for verb, _, _ in granted(documents)} == {"get", "list"}
    rules = [rule for d in documents if d["kind"] in ("Role", "ClusterRole") for rule in d["rules"]]
    secret = [rule for rule in rules if "secrets" in rule["resources"]]
    assert [(rule["verbs"], rule["resources"]) for rule in secret] == [(["get"], ["secrets"])]
    assert sorted(secret[0]["resourceNames"]) == ["chat-api-key", "chat-tls", "hf-token", "registry-pull"]


def test_optional_roles_grant_nothing_until_bound(account: tuple[ControlPlane, str, list[dict[str, Any]]]) -> None:
    documents = account[2]
    unbound = granted(documents, bound=False) - granted(documents)
    assert unbound == {
        ("create", "", "pods/portforward"),
        ("get", "", "pods/portforward"),
        ("get", "", "pods/proxy"),
        ("delete", "", "pods"),
    }


def test_rules_for_kinds_that_are_not_served_are_left_out(
    account: tuple[ControlPlane, str, list[dict[str, Any]]],
) -> None:
    groups = {group for _, group, _ in granted(account[2], bound=False)}
    assert "gateway.networking.k8s.io" in groups
    assert "security.istio.io" not in groups
    without_cluster = inferaudit("generate", "rbac", "-n", "llm-prod")
    documents = [each for each in yaml.safe_load_all(without_cluster.stdout) if each]
    assert "security.istio.io" in {group for _, group, _ in granted(documents)}


def test_manifests_name_the_secrets(tmp_path: Path) -> None:
    service = Path(__file__).parent / "fixtures" / "service"
    done = inferaudit("generate", "rbac", *WORKLOAD, "--manifests", service)
    assert done.returncode == 0, done.stderr
    rules = [r for d in yaml.safe_load_all(done.stdout) if d and d["kind"] == "Role" for r in d["rules"]]
    assert [r["resourceNames"] for r in rules if "secrets" in r["resources"]] == [
        ["chat-api-key", "chat-tls", "hf-token", "registry-pull"]
    ]


def test_an_audit_that_needs_no_list_of_the_whole_cluster_makes_none(gpu_service: ControlPlane, tmp_path: Path) -> None:
    config = gpu_service.kubeconfig_for("auditor-full", "audit")
    since = gpu_service.audit_log.stat().st_size
    chosen = "probes,engine,network,availability-replicas,rollout-strategy"  # the others need nodes or rules
    out = tmp_path / "report.json"
    flags = ("--kubeconfig", config, "--scope", "cluster", "--select", chosen, "--no-progress", "-o", f"json={out}")
    done = inferaudit("run", *WORKLOAD, *flags)
    assert out.exists(), done.stderr
    lines = gpu_service.audit_log.read_bytes()[since:].decode().splitlines()
    events = [json.loads(line) for line in lines if line.endswith("}")]
    mine = [e for e in events if e["user"].get("username") == "system:serviceaccount:audit:auditor-full"]
    lists = [e["objectRef"] for e in mine if e["verb"] == "list" and "objectRef" in e]
    assert lists
    assert [ref["resource"] for ref in lists if ref.get("namespace") != "llm-prod"] == []
