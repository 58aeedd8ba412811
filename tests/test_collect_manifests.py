"""Files become facts: what is in them, what their silence means, and how bad ones are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inferaudit.collect.manifests import collect_manifests, load_manifests, manifest_workloads
from inferaudit.errors import UsageError
from inferaudit.facts import fact_specs
from inferaudit.facts.kubernetes import FACTS
from inferaudit.kube.discovery import SeveralWorkloads
from inferaudit.kube.manifest_text import read_manifests
from inferaudit.model import Fact, FactErrorKind
from inferaudit.plan import ManifestsPlan
from inferaudit.snapshot import decode_fact

SERVICE = Path(__file__).parent / "fixtures" / "service"

CHART = """\
# Rendered
apiVersion: apps/v1
kind: Deployment
metadata: {name: chat, namespace: ml}
spec:
  selector: {matchLabels: {app: chat}}
  template:
    metadata: {labels: {app: chat}}
    spec:
      serviceAccountName: runner
      imagePullSecrets: [{name: pull}]
      containers:
      - name: server
        image: vllm/vllm-openai:v0.10.0
        env:
        - {name: HF_TOKEN, valueFrom: {secretKeyRef: {name: hf, key: token}}}
        - {name: API_KEY, valueFrom: {secretKeyRef: {name: own, key: absent}}}
        envFrom: [{configMapRef: {name: here}}, {configMapRef: {name: elsewhere}}]
        resources: {limits: {nvidia.com/gpu: 2}}
---
apiVersion: v1
kind: Service
metadata: {name: chat, namespace: ml}
spec: {selector: {app: chat}}
---
apiVersion: v1
kind: Service
metadata: {name: other, namespace: ml}
spec: {selector: {app: other}}
---
apiVersion: v1
kind: Service
metadata: {name: headless-for-nobody, namespace: ml}
spec: {ports: [{port: 1}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: here, namespace: ml}
data: {MODEL: tiny, api_key: planted-password-1}
---
apiVersion: v1
kind: Secret
metadata: {name: own, namespace: ml}
stringData: {key: planted-password-2}
---
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: from-vault, namespace: ml}
spec: {target: {name: hf}}
"""


def collect(*paths: str, stdin: str | None = None, **more: str) -> dict[str, Fact]:
    return collect_manifests(ManifestsPlan(paths=paths, stdin=stdin, **more))


def chart(text: str = CHART, **more: str) -> dict[str, Fact]:
    return collect("-", stdin=text, **more)


def names(fact: Fact) -> list[str]:
    assert fact.error is None, fact.error
    return [obj["metadata"]["name"] for obj in fact.value]


def test_every_declared_fact_is_answered() -> None:
    assert set(chart()) == {spec.name for spec in FACTS}


def test_values_are_of_the_declared_types() -> None:
    for name, fact in {**chart(), **collect(str(SERVICE))}.items():
        if fact.error is None:
            plain = json.loads(msgspec.json.encode(fact.value))
            assert decode_fact(name, plain) == fact.value, name


def test_the_workload_and_its_source() -> None:
    facts = chart()
    found = facts["workload"].value
    assert (found.subject, found.gpus_per_pod, found.uses_gpu, found.source) == (
        "deployment/ml/chat",
        2,
        True,
        "stdin:2",
    )
    (server,) = facts["workload.containers"].value
    assert (server["subject"], server["role"], server["serving"]) == ("deployment/ml/chat/server", "server", True)
    assert server["gpus"] == 2
    assert facts["manifests.locations"].value["service/ml/chat"] == "stdin:21"


def test_what_selects_the_pods() -> None:
    assert names(chart()["service.services"]) == ["chat"]


def test_silence_about_what_ships_with_a_workload_is_a_fact() -> None:
    facts = chart()
    for name in ("autoscalers", "pdbs", "networkpolicies", "monitors", "rules"):
        assert facts[f"service.{name}"].value == []


def test_silence_about_the_rest_is_unknown() -> None:
    facts = chart()
    for name in ("ingresses", "routes", "gateways", "serviceaccount", "roles", "namespace", "quotas", "rollouts"):
        error = facts[f"service.{name}"].error
        assert error is not None, name
        assert error.kind is FactErrorKind.OUT_OF_VIEW
        assert "--context" in error.remedy


def test_live_facts_name_the_flag() -> None:
    for name, fact in chart().items():
        if fact_specs()[name].live:
            assert fact.error is not None
            assert (fact.error.kind, fact.error.remedy) == (FactErrorKind.NO_TARGET, "give --context")
            assert fact.error.reason.startswith("only a live cluster shows")


def test_references_have_three_answers() -> None:
    found = {(r.kind, r.name): r for r in chart()["service.references"].value}
    assert found["ConfigMap", "here"].found is True
    assert found["ConfigMap", "elsewhere"].found is None
    assert "not in the manifests" in found["ConfigMap", "elsewhere"].reason
    assert found["Secret", "pull"].found is None
    assert (found["Secret", "hf"].found, found["Secret", "hf"].reason) == (True, "made by externalsecret/from-vault")
    assert (found["Secret", "own"].found, found["Secret", "own"].key_found) == (True, False)
    assert found["ServiceAccount", "runner"].found is None


def test_secrets_are_names_alone() -> None:
    secrets = {secret.name: secret for secret in chart()["service.secrets"].value}
    assert secrets["own"].key_names == ["key"]
    assert (secrets["hf"].found, secrets["hf"].made_by) == (True, "externalsecret/from-vault")
    assert secrets["pull"].found is None


def test_nothing_planted_leaves_the_collector() -> None:
    written = msgspec.json.encode({name: fact.value for name, fact in chart().items()})
    assert b"planted" not in written
    assert b"<redacted kind=secret_value" in written


def test_one_way_in_answers_for_the_others() -> None:
    ingress = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "in", "namespace": "ml"},
        "spec": {"rules": [{"http": {"paths": [{"backend": {"service": {"name": "chat"}}}]}}]},
    }
    facts = chart(CHART + "---\n" + json.dumps(ingress))
    assert names(facts["service.ingresses"]) == ["in"]
    assert facts["service.routes"].value == []
    assert facts["service.gateways"].value == []


def test_the_complete_service() -> None:
    facts = collect(str(SERVICE))
    assert facts["workload"].value.subject == "deployment/llm-prod/chat"
    for name in ("services", "routes", "gateways", "autoscalers", "pdbs", "monitors", "rules", "quotas", "claims"):
        assert facts[f"service.{name}"].value, name
    assert all(r.found for r in facts["service.references"].value)
    assert b"invented" not in msgspec.json.encode({n: f.value for n, f in facts.items() if n.startswith("service.s")})


def dump(*extra: dict[str, Any]) -> str:
    def pod(name: str, labels: dict[str, str], node: str, **more: Any) -> dict[str, Any]:
        meta = {"name": name, "namespace": "ml", "labels": labels, **more}
        spec = {"nodeName": node, "containers": [{"name": "c", "resources": {"limits": {"nvidia.com/gpu": "1"}}}]}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": {"phase": "Running"}}

    def owner(kind: str, name: str) -> dict[str, Any]:
        return {"ownerReferences": [{"apiVersion": "apps/v1", "kind": kind, "name": name, "controller": True}]}

    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "gpu-0", "labels": {"a": "b"}},
        "spec": {"taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]},
        "status": {"allocatable": {"nvidia.com/gpu": "8"}, "nodeInfo": {"kubeletVersion": "v1.35.0"}},
    }
    replica_set = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": "chat-1", "namespace": "ml", **owner("Deployment", "chat")},
    }
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "e", "namespace": "ml"},
        "involvedObject": {"kind": "Pod", "name": "chat-1-x"},
        "message": "Bearer planted0planted",
    }
    items = [
        *(obj for obj in yaml.safe_load_all(CHART)),
        node,
        replica_set,
        event,
        pod("chat-1-x", {"app": "chat"}, "gpu-0", **owner("ReplicaSet", "chat-1")),
        pod("impostor", {"app": "chat"}, "gpu-0", **owner("ReplicaSet", "other-1")),
        pod("batch", {"app": "batch"}, "gpu-0", **owner("Job", "batch")),
        pod("far", {"app": "far"}, "cpu-0", **owner("Job", "far")),
        *extra,
    ]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=1)


def test_a_dump_answers_for_everything() -> None:
    facts = chart(dump())
    assert names(facts["workload.pods"]) == ["chat-1-x"]
    assert names(facts["workload.replicasets"]) == ["chat-1"]
    assert [e["message"] for e in facts["workload.events"].value] == ["Bearer <redacted kind=authorization length=15>"]
    (node,) = facts["cluster.nodes"].value
    assert (node.name, node.allocatable, node.kubelet_version) == ("gpu-0", {"nvidia.com/gpu": "8"}, "v1.35.0")
    assert sorted(p.name for p in facts["cluster.node_pods"].value) == ["batch", "chat-1-x", "impostor"]
    assert facts["service.ingresses"].value == []
    assert facts["service.serviceaccount"].value is None
    missing = {r.name for r in facts["service.references"].value if r.found is False}
    assert missing == {"runner", "pull", "elsewhere", "hf"}  # what an ExternalSecret should have made is not there


def test_lists_keep_the_lines_of_their_items() -> None:
    as_json = dump()
    located = read_manifests(as_json, "dump.json")
    lines = as_json.splitlines()
    for each in located:
        line = int(each.source.rpartition(":")[2])
        assert lines[line - 1].strip() == "{"
    first = read_manifests(
        "kind: List\napiVersion: v1\nitems:\n- kind: A\n  apiVersion: v1\n  metadata: {name: a}\n", "l"
    )
    assert [each.source for each in first] == ["l:4"]


def test_typed_lists_lend_their_kind() -> None:
    text = json.dumps({"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {"name": "a"}}]})
    (found,) = read_manifests(text, "x")
    assert (found.object["kind"], found.object["apiVersion"]) == ("Pod", "v1")


def test_several_workloads_are_listed() -> None:
    second = CHART.split("---")[0].replace("name: chat,", "name: chat2,")
    with pytest.raises(SeveralWorkloads) as caught:
        chart(CHART + "---\n" + second)
    assert caught.value.choices == [("ml", "deployment/chat"), ("ml", "deployment/chat2")]
    facts = chart(CHART + "---\n" + second, workload="deployment/chat2")
    assert facts["workload"].value.name == "chat2"
    assert [n.name for n in facts["service.workloads"].value] == ["chat"]


def test_objects_without_a_namespace_get_the_asked_one() -> None:
    text = CHART.replace(", namespace: ml", "")
    assert chart(text)["workload"].value.subject == "deployment/default/chat"
    assert chart(text, namespace="prod")["workload"].value.subject == "deployment/prod/chat"
    with pytest.raises(UsageError, match="namespace prod"):
        chart(namespace="prod")


def test_the_later_of_two_objects_wins() -> None:
    later = CHART.split("---")[0].replace("spec:\n  selector", "spec:\n  replicas: 5\n  selector", 1)
    assert chart(CHART + "---\n" + later)["workload"].value.replicas == 5


def test_folders_globs_and_many_paths(tmp_path: Path) -> None:
    deployment, rest = CHART.split("---", 1)
    (tmp_path / "a.yaml").write_text(deployment)
    (tmp_path / "b.yml").write_text(rest)
    (tmp_path / "values.yaml").write_text("replicas: 3\n")
    (tmp_path / "kustomization.yaml").write_text("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n")
    (tmp_path / "notes.txt").write_text("<html>")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "c.yaml").write_text("not: [valid")
    said: list[str] = []
    plan = ManifestsPlan(paths=(str(tmp_path),))
    assert names(collect_manifests(plan, said.append)["service.services"]) == ["chat"]
    assert any("values.yaml" in line for line in said)
    assert names(collect(str(tmp_path / "[ab].y*ml"))["service.services"]) == ["chat"]
    both = collect(str(tmp_path / "a.yaml"), str(tmp_path / "b.yml"))
    assert both["workload"].value.source == f"{tmp_path / 'a.yaml'}:2"
    assert manifest_workloads(load_manifests(plan)) == [("ml", "deployment/chat")]


PART = "apiVersion: v1\nkind: {}\nmetadata: {{name: x}}\nspec: {}\n"
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{c}: &{c} [{','.join(['*' + p] * 9)}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("apiVersion: v1\nkind: [unclosed\n", r"f\.yaml:3: not valid YAML"),
        ("a: b\n c: d\n", r"f\.yaml:2: not valid YAML"),
        ("kind: Deployment\nmetadata: {{ .Values.x }}\n{{- if }}\n", "render it with `helm template`"),
        ("<!doctype html><html></html>", "looks like HTML"),
        ("just words", "nothing in it has apiVersion and kind"),
        ("", "nothing in it has apiVersion and kind"),
        ("42", "nothing in it has apiVersion and kind"),
        ("[1, 2]", "nothing in it has apiVersion and kind"),
        ('{"schema": "inferaudit.report/v1"}', "nothing in it has apiVersion and kind"),
        ("apiVersion: v1\nkind: Service\n", r"f\.yaml:1: Service has no metadata"),
        ("apiVersion: v1\nkind: Service\nmetadata: x\n", "has no metadata"),
        ("apiVersion: v1\nkind: {a: b}\nmetadata: {name: x}\n", "must be text"),
        (PART.format("Service", "{ports: [null]}"), r"f\.yaml:1: service/x: spec\.ports\[0\] is no map"),
        (PART.format("Service", "x"), "service/x: spec is no map"),
        (PART.format("Service", "{selector: app=chat}"), "spec.selector is no map"),
        ("x: !!python/object/apply:os.system [id]\n", r"f\.yaml:1: not valid YAML"),
        ("x: !!int many\n", "f.yaml"),
        ("a: &a [*a]\n", "contains itself"),
        (BOMB, "aliases expand to"),
        ("x: " + "[" * 5000, "nested too deeply|not valid YAML"),
        ("\x00\x01", "not valid YAML"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=said) as caught:
        collect(str(file))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x80")
    (tmp_path / "empty").mkdir()
    for path in ("nowhere.yaml", "empty", "*.json", "binary.yaml"):
        with pytest.raises(UsageError, match=path.replace("*", r"\*")):
            collect(str(tmp_path / path))
    with pytest.raises(UsageError, match="standard input"):
        collect("-")


def test_yaml_says_what_json_can() -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {true: 2026-01-01, 2: .inf, b: !!binary aGk=}\n"
    (found,) = read_manifests(text, "x")
    assert found.object["data"] == {"true": "2026-01-01", "2": "inf", "b": "hi"}


def complaint(work: Any) -> str:
    """What a UsageError says; empty where there is none. Anything else fails the test."""
    try:
        work()
    except UsageError as error:
        return str(error)
    return ""


@given(st.text(max_size=300))
def test_any_text_is_objects_or_a_usage_error(text: str) -> None:
    said = complaint(lambda: read_manifests(text, "x"))
    assert not said or said.startswith("x")


FIELDS = ["spec", "template", "containers", "env", "resources", "limits", "name", "metadata", "labels", "selector",
          "rules", "volumes", "secret", "ports", "matchLabels", "nvidia.com/gpu"]  # fmt: skip
JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=12,
)
HOSTILE = {
    "Deployment": "apps/v1",
    "Service": "v1",
    "Secret": "v1",
    "Pod": "v1",
    "Ingress": "networking.k8s.io/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "InferenceService": "serving.kserve.io/v1beta1",
    "LeaderWorkerSet": "leaderworkerset.x-k8s.io/v1",
    "RayService": "ray.io/v1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
    "ResourceClaimTemplate": "resource.k8s.io/v1",
    "HTTPRoute": "gateway.networking.k8s.io/v1",
}


@given(st.sampled_from(sorted(HOSTILE)), JSONISH)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_hostile_objects_never_break_the_collector(kind: str, spec: Any) -> None:
    evil = {"apiVersion": HOSTILE[kind], "kind": kind, "metadata": {"name": "evil", "namespace": "ml"}, "spec": spec}
    text = CHART + "---\n" + json.dumps(evil, ensure_ascii=False)
    said = complaint(lambda: chart(text, workload="deployment/chat"))
    assert not said or "evil" in said or "not valid YAML" in said


def test_lists_within_lists(tmp_path: Path) -> None:
    inner = {"apiVersion": "apps/v1", "kind": "DeploymentList", "items": [yaml.safe_load(NESTED)]}
    inner["items"][0].pop("kind")
    file = tmp_path / "f.yaml"
    file.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [inner]}))
    assert collect(str(file))["workload"].value.subject == "deployment/a/chat"


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("image: 5", "container server is malformed"),
        ("resources: {limits: [1]}", "container server is malformed"),
        ("ports: [{containerPort: '8000'}]", "container server: containerPort '8000' is no number"),
    ],
)
def test_containers_that_are_none(tmp_path: Path, part: str, said: str) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(NESTED.replace("image: vllm/vllm-openai:v1", part))
    with pytest.raises(UsageError, match=said):
        collect(str(file))


NESTED = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: chat, namespace: a}
spec:
  selector: {matchLabels: {app: chat}}
  template:
    metadata: {labels: {app: chat}}
    spec:
      containers:
      - name: server
        image: vllm/vllm-openai:v1
"""
