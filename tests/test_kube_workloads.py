"""Workloads of every kind, brought to one shape; which container serves; which workload is meant."""

from __future__ import annotations

from typing import Any

import pytest

from inferaudit.errors import UsageError
from inferaudit.kube.discovery import (
    SeveralWorkloads,
    check_shape,
    choose,
    inference_workloads,
    label,
    neighbours,
    parse_name,
)
from inferaudit.kube.images import is_inference_image, platform_role, repository
from inferaudit.kube.references import walk
from inferaudit.kube.workloads import claim_devices, containers_of, normalise, pod_selector

VLLM = "vllm/vllm-openai:v0.10.0"


def container(name: str = "server", image: str = VLLM, gpus: int = 0, **more: Any) -> dict[str, Any]:
    limits = {"resources": {"limits": {"nvidia.com/gpu": gpus}}} if gpus else {}
    return {"name": name, "image": image, **limits, **more}


def workload(
    kind: str = "Deployment",
    api: str = "apps/v1",
    name: str = "chat",
    spec: dict[str, Any] | None = None,
    containers: list[dict[str, Any]] | None = None,
    **metadata: Any,
) -> dict[str, Any]:
    pod = {"containers": containers if containers is not None else [container(gpus=1)]}
    template = {"metadata": {"labels": {"app": name}}, "spec": pod}
    given = {"selector": {"matchLabels": {"app": name}}, "template": template, **(spec or {})}
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "ml", **metadata}, "spec": given}


def lws(worker_gpus: int = 8) -> dict[str, Any]:
    leader = {"spec": {"containers": [container("leader", gpus=8)]}}
    worker = {"spec": {"containers": [container("worker", gpus=worker_gpus)]}}
    both = {"size": 2, "leaderTemplate": leader, "workerTemplate": worker}
    return {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": "big", "namespace": "ml"},
        "spec": {"replicas": 3, "leaderWorkerTemplate": both},
    }


def inference_service() -> dict[str, Any]:
    model = {
        "modelFormat": {"name": "huggingface"},
        "storageUri": "hf://m",
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
    }
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "isvc", "namespace": "ml"},
        "spec": {"predictor": {"minReplicas": 2, "serviceAccountName": "sa", "model": model}},
    }


def ray_service() -> dict[str, Any]:
    cluster = {
        "headGroupSpec": {"template": {"spec": {"containers": [container("ray-head", "rayproject/ray:2.9")]}}},
        "workerGroupSpecs": [
            {"replicas": 2, "template": {"spec": {"containers": [container("ray-worker", "rayproject/ray:2.9", 4)]}}}
        ],
    }
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": "ray", "namespace": "ml"},
        "spec": {"rayClusterConfig": cluster},
    }


def pod(name: str = "alone", **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "ml", **metadata},
        "spec": {"containers": [container(gpus=1)]},
    }


@pytest.mark.parametrize(
    ("obj", "subject", "replicas", "gpus"),
    [
        (workload(), "deployment/ml/chat", 1, 1),
        (workload(spec={"replicas": 0}), "deployment/ml/chat", 0, 1),
        (workload("StatefulSet", spec={"replicas": 2}), "statefulset/ml/chat", 2, 1),
        (workload("DaemonSet"), "daemonset/ml/chat", None, 1),
        (workload("Rollout", "argoproj.io/v1alpha1"), "rollout.argoproj.io/ml/chat", 1, 1),
        (lws(), "leaderworkerset.leaderworkerset.x-k8s.io/ml/big", 3, 8),
        (inference_service(), "inferenceservice.serving.kserve.io/ml/isvc", 2, 1),
        (ray_service(), "rayservice.ray.io/ml/ray", 2, 4),
        (pod(), "pod/ml/alone", 1, 1),
    ],
)
def test_every_kind_has_the_one_shape(obj: dict[str, Any], subject: str, replicas: int | None, gpus: int) -> None:
    found = normalise(obj)
    assert (found.subject, found.replicas, found.gpus_per_pod) == (subject, replicas, gpus)
    assert found.uses_gpu
    servers = [c for c in containers_of(found) if c["serving"]]
    assert len(servers) == 1
    assert servers[0]["subject"] == f"{subject}/{servers[0]['name']}"


def test_a_group_of_pods_is_one_replica() -> None:
    big = normalise(lws())
    assert big.pods_per_replica == 2
    assert [(c["name"], c["role"]) for c in containers_of(big)] == [("leader", "server"), ("worker", "sidecar")]


def test_ray_serves_where_the_gpus_are_and_kuberay_adds_probes() -> None:
    serving = [c for c in containers_of(normalise(ray_service())) if c["serving"]]
    assert [(c["name"], c["gpus"]) for c in serving] == [("ray-worker", 4)]
    assert "livenessProbe" in serving[0]
    alone = ray_service()
    del alone["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    assert [c["name"] for c in containers_of(normalise(alone)) if c["serving"]] == ["ray-head"]


@pytest.mark.parametrize(
    ("containers", "serving"),
    [
        ([container("only", "example.com/own")], "only"),
        ([container("istio-proxy", "istio/proxyv2:1"), container("main", "example.com/own")], "main"),
        ([container("web", "example.com/web"), container("llm", "example.com/own", 1)], "llm"),
        ([container("web", "example.com/web"), container("x", VLLM)], "x"),
        ([container("web", "example.com/web"), container("kserve-container", "example.com/own")], "kserve-container"),
        ([container("a", "example.com/a"), container("b", "example.com/b")], "a"),
    ],
)
def test_which_container_serves(containers: list[dict[str, Any]], serving: str) -> None:
    found = containers_of(normalise(workload(containers=containers)))
    assert [c["name"] for c in found if c["serving"]] == [serving]


def test_a_leader_and_a_worker_may_call_their_containers_the_same() -> None:
    template = {"spec": {"containers": [{"name": "server", "image": "lmsysorg/sglang:v0.5.5"}]}}
    spec = {"leaderWorkerTemplate": {"size": 2, "leaderTemplate": template, "workerTemplate": template}}
    group = {"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", "spec": spec}
    found = containers_of(normalise({**group, "metadata": {"name": "big", "namespace": "ml"}}))
    whose = "leaderworkerset.leaderworkerset.x-k8s.io/ml/big/server"
    assert [each["subject"] for each in found] == [whose, f"{whose}@worker"]


def test_roles_of_init_containers() -> None:
    obj = workload()
    obj["spec"]["template"]["spec"]["initContainers"] = [
        container("fetch", "example.com/fetch", 2),
        container("proxy", "envoyproxy/envoy", restartPolicy="Always"),
    ]
    found = normalise(obj)
    assert {c["name"]: c["role"] for c in containers_of(found)} == {
        "server": "server",
        "fetch": "init",
        "proxy": "sidecar",
    }
    assert found.gpus_per_pod == 2  # the scheduler reserves the greatest init container


def test_gpus_of_claims() -> None:
    obj = workload(containers=[container(resources={"claims": [{"name": "gpus"}]})])
    obj["spec"]["template"]["spec"]["resourceClaims"] = [{"name": "gpus", "resourceClaimTemplateName": "two"}]
    assert normalise(obj).gpus_per_pod == 1  # the template is not in view: at least one
    assert normalise(obj, {"two": 2}).gpus_per_pod == 2
    assert normalise(obj, {"two": 0}).uses_gpu is False  # a claim for something else


@pytest.mark.parametrize(
    ("request_", "devices"),
    [
        ({"exactly": {"deviceClassName": "gpu.nvidia.com", "count": 4}}, 4),
        ({"deviceClassName": "mig.nvidia.com"}, 1),  # v1beta1 has no "exactly"
        ({"firstAvailable": [{"deviceClassName": "gpu.nvidia.com", "count": 2}, {"deviceClassName": "x"}]}, 2),
        ({"exactly": {"deviceClassName": "nic.example.com", "count": 4}}, 0),
    ],
)
def test_devices_behind_claims(request_: dict[str, Any], devices: int) -> None:
    template = {"metadata": {"name": "t"}, "spec": {"spec": {"devices": {"requests": [request_]}}}}
    claim = {"metadata": {"name": "c"}, "spec": {"devices": {"requests": [request_]}}}
    assert claim_devices([template, claim]) == {"t": devices, "c": devices}


def test_selectors_of_pods() -> None:
    assert pod_selector(workload()) == {"matchLabels": {"app": "chat"}}
    assert pod_selector(lws()) == {"matchLabels": {"leaderworkerset.sigs.k8s.io/name": "big"}}
    assert pod_selector(pod()) is None


@pytest.mark.parametrize(
    ("image", "inference"),
    [
        (VLLM, True),
        ("ghcr.io/huggingface/text-generation-inference:3", True),
        ("nvcr.io/nvidia/tritonserver:25.01-py3", True),
        ("lmsysorg/sglang:latest", True),
        ("ollama/ollama", True),
        ("ghcr.io/ggml-org/llama.cpp:server-cuda", True),
        ("pytorch/torchserve:0.12-gpu", True),
        ("tensorflow/serving:2.19", True),
        ("rayproject/ray-llm:2.50", True),
        ("nvcr.io/nim/meta/llama:1", True),
        ("kserve/huggingfaceserver:v0.15", True),
        ("kserve/kserve-controller:v0.15", False),
        ("ghcr.io/open-webui/open-webui:ollama", False),
        ("quay.io/kuberay/operator:1", False),
        ("nginx:1", False),
        ("", False),
    ],
)
def test_images_of_runtimes(image: str, inference: bool) -> None:
    assert is_inference_image(image) is inference


def test_repository_of_an_image() -> None:
    assert repository("localhost:5000/a/b:1@sha256:00") == "localhost:5000/a/b"
    assert repository("b") == "b"


@pytest.mark.parametrize(
    ("name", "image", "role"),
    [
        ("nvidia-device-plugin-daemonset", "nvcr.io/nvidia/k8s-device-plugin:v0.17", "device-plugin"),
        ("dcgm", "nvcr.io/nvidia/k8s/dcgm-exporter:4", "dcgm-exporter"),
        ("fluent-bit", "cr.fluentbit.io/fluent/fluent-bit:3", "log-collector"),
        ("kube-proxy", "registry.k8s.io/kube-proxy:v1.35", "network"),
        ("own", "example.com/own", "other"),
    ],
)
def test_roles_of_platform_daemon_sets(name: str, image: str, role: str) -> None:
    assert platform_role(name, [image]) == role


def test_the_only_inference_workload_is_the_one() -> None:
    web = workload(name="web", containers=[container("web", "nginx")])
    assert choose([web, workload()], "", "", "here")["metadata"]["name"] == "chat"


def test_owned_objects_are_their_owners() -> None:
    owned = pod(ownerReferences=[{"kind": "ReplicaSet", "name": "chat-1", "apiVersion": "apps/v1"}])
    assert inference_workloads([workload(), owned]) == [workload()]


def test_an_inference_service_stands_for_its_deployment() -> None:
    made = workload(name="isvc-predictor", labels={"serving.kserve.io/inferenceservice": "isvc"})
    made["spec"]["template"]["metadata"]["labels"]["serving.kserve.io/inferenceservice"] = "isvc"
    assert [label(o) for o in inference_workloads([inference_service(), made])] == ["inferenceservice/isvc"]
    assert label(choose([inference_service(), made], "", "", "here")) == "deployment/isvc-predictor"
    assert label(choose([inference_service()], "isvc/isvc", "", "here")) == "inferenceservice/isvc"


def test_several_are_listed() -> None:
    with pytest.raises(SeveralWorkloads) as caught:
        choose([workload(), workload(name="other"), lws()], "", "", "the manifests")
    assert caught.value.choices == [
        ("ml", "deployment/chat"),
        ("ml", "deployment/other"),
        ("ml", "leaderworkerset/big"),
    ]
    assert caught.value.exit_code == 2
    assert "--workload deployment/other -n ml" in str(caught.value)


def test_one_name_in_two_namespaces() -> None:
    there = workload(namespace="there")
    with pytest.raises(SeveralWorkloads):
        choose([workload(), there], "deployment/chat", "", "here")
    assert choose([workload(), there], "deployment/chat", "there", "here") is there


def test_none_says_what_was_looked_for() -> None:
    with pytest.raises(UsageError, match="request a GPU"):
        choose([workload(containers=[container("web", "nginx")])], "", "", "here")
    with pytest.raises(UsageError, match=r"no deployment/gone in here, namespace ml; .*deployment/chat"):
        choose([workload()], "deployment/gone", "ml", "here")


def test_names_of_workloads() -> None:
    for text in ("deployment/chat", "Deployment/chat", "deploy/chat", "deployments.apps/chat"):
        kind, name = parse_name(text)
        assert kind is not None
        assert (kind.name, name) == ("Deployment", "chat")
    assert parse_name("chat") == (None, "chat")
    for text in ("nonsense/chat", "deployment/"):
        with pytest.raises(UsageError, match="expected KIND/NAME"):
            parse_name(text)


def test_neighbours_are_the_other_inference_workloads() -> None:
    chosen = normalise(workload())
    old = workload(name="chat-old", spec={"replicas": 2})
    old["status"] = {"replicas": 2, "readyReplicas": 1}
    elsewhere = workload(name="far", namespace="far")
    web = workload(name="web", containers=[container("web", "nginx")])
    found = neighbours([workload(), old, elsewhere, web], chosen, {})
    assert [(n.name, n.replicas, n.ready, n.gpus_per_pod) for n in found] == [("chat-old", 2, 1, 1)]


@pytest.mark.parametrize(
    "spec",
    [
        {"template": None},
        {"template": {"spec": None}},
        {"template": {"spec": {"containers": "server"}}},
        {"template": {"spec": {"containers": ["server"]}}},
        {"template": {"spec": {"containers": [{"name": "a", "env": [None]}]}}},
        {"template": {"spec": {"containers": [{"name": "a", "resources": "many"}]}}},
        {"template": []},
    ],
)
def test_malformed_workloads_are_refused_in_one_line(spec: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"m\.yaml:1: deployment/chat"):
        check_shape({**workload(), "spec": spec}, "m.yaml:1")


def test_references_are_found_wherever_they_stand() -> None:
    obj = workload(
        containers=[
            container(
                env=[
                    {"name": "T", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}},
                    {"name": "O", "valueFrom": {"configMapKeyRef": {"name": "maybe", "key": "k", "optional": True}}},
                ],
                envFrom=[{"secretRef": {"name": "all"}}, {"configMapRef": {"name": "cm"}}],
            )
        ],
    )
    obj["spec"]["template"]["spec"] |= {
        "serviceAccountName": "runner",
        "priorityClassName": "high",
        "runtimeClassName": "nvidia",
        "imagePullSecrets": [{"name": "pull"}],
        "resourceClaims": [
            {"name": "g", "resourceClaimTemplateName": "gpus"},
            {"name": "h", "resourceClaimName": "one"},
        ],
        "volumes": [
            {"name": "a", "secret": {"secretName": "vol", "items": [{"key": "x", "path": "y"}]}},
            {"name": "b", "projected": {"sources": [{"configMap": {"name": "proj"}}, {"secret": {"name": "projs"}}]}},
            {"name": "c", "persistentVolumeClaim": {"claimName": "weights"}},
            {"name": "d", "csi": {"volumeAttributes": {"secretProviderClass": "vault"}}},
            {"name": "e", "emptyDir": {}},
        ],
    }
    found = {(n.kind.name, n.name): n for n in walk(normalise(obj))}
    assert set(found) == {
        ("ServiceAccount", "runner"),
        ("PriorityClass", "high"),
        ("RuntimeClass", "nvidia"),
        ("Secret", "pull"),
        ("ResourceClaimTemplate", "gpus"),
        ("ResourceClaim", "one"),
        ("Secret", "vol"),
        ("ConfigMap", "proj"),
        ("Secret", "projs"),
        ("PersistentVolumeClaim", "weights"),
        ("SecretProviderClass", "vault"),
        ("Secret", "hf"),
        ("ConfigMap", "maybe"),
        ("Secret", "all"),
        ("ConfigMap", "cm"),
    }
    assert found["Secret", "hf"].key == "token"
    assert found["Secret", "hf"].path == "spec.containers[0].env[0]"
    assert found["Secret", "vol"].key == "x"
    assert found["ConfigMap", "maybe"].optional


def test_a_stateful_set_needs_its_storage_class() -> None:
    claims = [{"metadata": {"name": "w"}, "spec": {"storageClassName": "fast"}}]
    found = walk(normalise(workload("StatefulSet", spec={"volumeClaimTemplates": claims})))
    assert ("StorageClass", "fast") in {(n.kind.name, n.name) for n in found}
