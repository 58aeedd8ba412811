"""An audit of what really happens: llama.cpp in real containers on a real node, right and under load, then gone wrong.

Every fault here is caused, not written into a status: the kubelet kills, the scheduler refuses, the load breaks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from corpus import patches
from support.cluster import ClusterError, ControlPlane
from support.images import interpreter
from support.node import Node

pytestmark = [pytest.mark.node, pytest.mark.timeout(300), pytest.mark.xdist_group("node")]

SERVICE = Path(__file__).parent / "fixtures" / "node"
KEY = "sk-invented-for-tests"
GPUS = 2
Finding = dict[str, Any]


@pytest.fixture(scope="module")
def node(real_node: Node) -> Node:
    real_node.set_gpus(GPUS)
    return real_node


def install(plane: ControlPlane, namespace: str, *changes: dict[str, Any], replicas: int = 1) -> None:
    """The right service in a namespace of its own, small, with the changes put into it."""
    objects = [each for each in yaml.safe_load_all((SERVICE / "chat.yaml").read_text()) if each]
    small = {"set": {"resources": {"requests": {"cpu": "10m"}}}}
    scaled = {"target": "deployment/llm/chat", "merge": {"spec": {"replicas": replicas}}, "container": small}
    objects = patches.apply(objects, [scaled, *changes])
    text = yaml.safe_dump_all(objects).replace("namespace: llm", f"namespace: {namespace}")
    plane.apply(text.replace("name: llm\n", f"name: {namespace}\n"))


def audit(plane: ControlPlane, folder: Path, namespace: str, *flags: object) -> tuple[int, dict[str, Any]]:
    """Exit code and report of `inferaudit run` as a process."""
    run = start_audit(plane, folder, namespace, *flags)
    _, errors = run.communicate(timeout=200)
    assert "Traceback" not in errors
    assert (folder / "report.json").exists(), errors
    return run.returncode, json.loads((folder / "report.json").read_text())


def start_audit(plane: ControlPlane, folder: Path, namespace: str, *flags: object) -> subprocess.Popen[str]:
    """`inferaudit run`, started."""
    command = [
        sys.executable,
        "-m",
        "inferaudit.cli.app",
        "run",
        "--kubeconfig",
        str(plane.kubeconfig),
        "-n",
        namespace,
    ]
    command += ["--workload", "deployment/chat", "--no-progress", "-o", f"json={folder / 'report.json'}"]
    return subprocess.Popen(
        [*command, *map(str, flags)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CHAT_KEY": KEY},
    )


def url_of(plane: ControlPlane, namespace: str) -> str:
    """The Service through its node port, on this machine alone."""
    return f"http://127.0.0.1:{plane.get('service', 'chat', '-n', namespace)['spec']['ports'][0]['nodePort']}"


def found(report: dict[str, Any], check: str, subject: str) -> Finding:
    """The failed finding, which must come with evidence and a remedy, and be explained by one that gates or gate."""
    failed = [f for f in report["findings"] if f["outcome"] == "fail"]
    mine = [f for f in failed if (f["check"], f["subject"]) == (check, subject)]
    assert mine, [(f["check"], f["subject"], f["message"]) for f in failed if f["gates"]]
    assert mine[0]["evidence"]
    assert mine[0]["remediation"]
    return mine[0]


def gating(report: dict[str, Any]) -> set[str]:
    return {f["check"] for f in report["findings"] if f["gates"]}


def statuses(plane: ControlPlane, namespace: str) -> list[dict[str, Any]]:
    pods = plane.get("pods", "-n", namespace)["items"]
    return [status for pod in pods for status in pod["status"].get("containerStatuses", ())]


def waits_for(plane: ControlPlane, namespace: str, *reasons: str) -> Callable[[], bool]:
    def asked() -> bool:
        states = [status["state"].get("waiting", {}) for status in statuses(plane, namespace)]
        return any(state.get("reason") in reasons for state in states)

    return asked


def unschedulable(plane: ControlPlane, namespace: str) -> bool:
    pods = plane.get("pods", "-n", namespace)["items"]
    conditions = [each for pod in pods for each in pod["status"].get("conditions", ())]
    return any(c["type"] == "PodScheduled" and c["status"] == "False" for c in conditions)


@pytest.fixture
def fault(node: Node, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace for one fault, gone afterwards."""
    namespace = request.node.name.removeprefix("test_").replace("_", "-")[:40].rstrip("-")
    yield namespace
    node.plane.kubectl("delete", "namespace", namespace, "--ignore-not-found", "--wait=false")
    # A server that ignores its end would hold memory and GPUs for the rest of its grace.
    node.plane.kubectl("delete", "pods", "--all", "-n", namespace, "--grace-period=1", "--timeout=60s")


def container(**changes: Any) -> dict[str, Any]:
    return {"target": "deployment/llm/chat", "container": {"set": changes}}


def env(**values: str) -> dict[str, Any]:
    return container(env=[{"name": name, "value": value} for name, value in values.items()])


def spec(**changes: Any) -> dict[str, Any]:
    return {"target": "deployment/llm/chat", "merge": {"spec": {"template": {"spec": changes}}}}


def test_a_right_service_under_load_is_go(node: Node, fault: str, tmp_path: Path) -> None:
    plane = node.plane
    install(plane, fault, replicas=2)
    plane.kubectl("rollout", "status", "deployment/chat", "-n", fault, "--timeout=90s")
    policy = tmp_path / "inferaudit.yaml"
    policy.write_text((SERVICE / "inferaudit.yaml").read_text().replace("service/llm/", f"service/{fault}/"))
    flags = ("-f", policy, "--url", url_of(plane, fault), "--api-key-env", "CHAT_KEY")
    code, report = audit(plane, tmp_path, fault, *flags)
    assert gating(report) == set()
    assert (code, report["verdict"]) == (0, "GO")
    assert report["scope"] == ["cluster", "endpoint", "load"]
    assert report["reasons"][0] == "This verdict covers cluster, endpoint, load; it does not cover gpu, metrics."
    assert report["benchmark"]["requests"]["ok"] > 0
    assert report["target"]["runtime"]["name"] == "llamacpp"
    passed = {f["check"] for f in report["findings"] if f["outcome"] == "pass"}
    assert {"state-ready", "network-endpoints", "endpoint-ready", "sla-ttft", "sla-error-rate"} <= passed


def test_a_model_killed_while_loading(node: Node, fault: str, tmp_path: Path) -> None:
    plane = node.plane
    probe = {"periodSeconds": 1, "failureThreshold": 2}
    install(
        plane,
        fault,
        env(START_DELAY_S="600"),
        container(startupProbe=None, lifecycle=None, livenessProbe=probe),
        spec(terminationGracePeriodSeconds=1),
    )
    plane.wait("a restart", lambda: any(s["restartCount"] for s in statuses(plane, fault)), timeout_s=90)
    code, report = audit(plane, tmp_path, fault, "--scope", "cluster")
    said = found(report, "state-probe-kills", f"deployment/{fault}/chat/server")
    assert "liveness probe" in said["message"]
    assert "state-probe-kills" in gating(report)
    assert code == 1


def test_a_container_killed_for_its_memory(node: Node, fault: str, tmp_path: Path) -> None:
    plane = node.plane
    limits = {"requests": {"memory": "128Mi"}, "limits": {"memory": "128Mi"}}
    install(plane, fault, env(EAT_MIB="512"), container(resources=limits, lifecycle=None))

    def killed() -> bool:
        ends = [
            s.get(when, {}).get("terminated", {}) for s in statuses(plane, fault) for when in ("state", "lastState")
        ]
        return any(end.get("reason") == "OOMKilled" for end in ends)

    plane.wait("the kill", killed, timeout_s=60)
    code, report = audit(plane, tmp_path, fault, "--scope", "cluster")
    said = found(report, "state-oom-killed", f"deployment/{fault}/chat/server")
    assert "128Mi" in said["message"]
    assert "state-oom-killed" in gating(report)
    assert code == 1


def test_a_crash_loop_with_its_last_words(node: Node, fault: str, tmp_path: Path) -> None:
    plane = node.plane
    words = "ValueError: unknown model architecture: 'chta'"
    install(plane, fault, env(CRASH=words), container(lifecycle=None))
    plane.wait("the back-off", waits_for(plane, fault, "CrashLoopBackOff"), timeout_s=90)
    code, report = audit(plane, tmp_path, fault, "--scope", "cluster")
    said = found(report, "state-crash-loop", f"deployment/{fault}/chat/server")
    assert words in said["message"]
    assert words in [evidence["observed"] for evidence in said["evidence"]]
    assert "state-crash-loop" in gating(report)
    assert code == 1


def test_an_image_that_nobody_has(node: Node, fault: str, tmp_path: Path) -> None:
    plane = node.plane
    install(plane, fault, container(image="127.0.0.1:1/no/such:1", imagePullPolicy="Always"))
    plane.wait("the error", waits_for(plane, fault, "ErrImagePull", "ImagePullBackOff"), timeout_s=60)
    code, report = audit(plane, tmp_path, fault, "--scope", "cluster")
    said = found(report, "state-image-pull", f"deployment/{fault}/chat/server")
    assert "127.0.0.1:1/no/such:1" in json.dumps(said)
    assert "state-image-pull" in gating(report)
    assert code == 1


def test_a_key_that_the_secret_lacks(node: Node, fault: str, tmp_path: Path) -> None:
    plane = node.plane
    wrong = {"name": "LLAMA_API_KEY", "valueFrom": {"secretKeyRef": {"name": "chat-api-key", "key": "kye"}}}
    install(plane, fault, container(env=[wrong]))
    plane.wait("the error", waits_for(plane, fault, "CreateContainerConfigError"), timeout_s=60)
    code, report = audit(plane, tmp_path, fault, "--scope", "cluster")
    said = found(report, "state-config-error", f"deployment/{fault}/chat/server")
    assert "kye" in said["message"]
    assert "invented" not in json.dumps(report)
    assert "state-config-error" in gating(report)
    assert code == 1


def test_a_pod_that_waits_for_gpus(node: Node, fault: str, tmp_path: Path) -> None:
    plane = node.plane
    many = {"nvidia.com/gpu": str(GPUS + 1)}
    install(plane, fault, container(resources={"requests": many, "limits": many}))
    plane.wait("the scheduler's answer", lambda: unschedulable(plane, fault), timeout_s=30)
    code, report = audit(plane, tmp_path, fault, "--scope", "cluster")
    said = found(report, "state-pending", f"deployment/{fault}/chat")
    assert "nvidia.com/gpu" in json.dumps(said["evidence"])
    assert gating(report) & {"state-pending", "scheduling-fits-node"}
    assert code == 1


def test_a_pod_that_waits_for_a_taint(node: Node, fault: str, tmp_path: Path) -> None:
    plane = node.plane
    taint = {"key": "dedicated", "value": "training", "effect": "NoSchedule"}
    other = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": "tainted-0",
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {"pool": "tainted", "kubernetes.io/hostname": "tainted-0"},
        },
        "spec": {"taints": [taint]},
        "status": {
            each: {"cpu": "8", "memory": "16Gi", "pods": "10", "ephemeral-storage": "10Gi"}
            for each in ("capacity", "allocatable")
        },
    }
    plane.apply(json.dumps(other))
    install(plane, fault, spec(nodeSelector={"test.inferaudit.dev/real": None, "pool": "tainted"}))
    plane.wait("the scheduler's answer", lambda: unschedulable(plane, fault), timeout_s=30)
    code, report = audit(plane, tmp_path, fault, "--scope", "cluster")
    said = found(report, "scheduling-tolerations", f"deployment/{fault}/chat")
    assert "dedicated=training:NoSchedule" in said["message"]
    assert found(report, "state-pending", f"deployment/{fault}/chat")["cause"] == said["fingerprint"]
    assert code == 1


def test_pods_that_a_quota_refuses(node: Node, fault: str, tmp_path: Path) -> None:
    plane = node.plane
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small", "namespace": fault},
        "spec": {"hard": {"requests.memory": "64Mi"}},
    }
    plane.kubectl("create", "namespace", fault)
    plane.apply(json.dumps(quota))
    # It holds from the moment its controller has counted what is used, which is nothing.
    plane.wait("the quota to hold", lambda: plane.get("quota", "small", "-n", fault)["status"].get("used"))
    install(plane, fault)

    def refused() -> bool:
        events = plane.get("events", "-n", fault, "--field-selector=reason=FailedCreate")["items"]
        return any("exceeded quota" in event["message"] for event in events)

    plane.wait("the refusal", refused, timeout_s=60)
    code, report = audit(plane, tmp_path, fault, "--scope", "cluster")
    said = found(report, "state-creation", f"deployment/{fault}/chat")
    assert "exceeded quota: small" in said["message"]
    assert "state-creation" in gating(report)
    assert code == 1


def test_a_rollout_behind_a_full_gpu_pool(node: Node, fault: str, tmp_path: Path) -> None:
    plane = node.plane
    one = {"nvidia.com/gpu": "1"}
    deadline = {"target": "deployment/llm/chat", "merge": {"spec": {"progressDeadlineSeconds": 20}}}
    install(plane, fault, container(resources={"requests": one, "limits": one}), deadline, replicas=GPUS)
    plane.kubectl("rollout", "status", "deployment/chat", "-n", fault, "--timeout=90s")
    plane.kubectl("set", "env", "deployment/chat", "-n", fault, "RELEASE=2")

    def stuck() -> bool:
        conditions = plane.get("deployment", "chat", "-n", fault)["status"]["conditions"]
        return any(each["reason"] == "ProgressDeadlineExceeded" for each in conditions)

    plane.wait("the deadline", stuck, timeout_s=60)
    code, report = audit(plane, tmp_path, fault, "--scope", "cluster")
    subject = f"deployment/{fault}/chat"
    assert found(report, "rollout-surge-gpus", subject)["gates"]
    assert "deadline" in found(report, "state-rollout", subject)["message"]
    assert "nvidia.com/gpu" in json.dumps(found(report, "state-pending", subject)["evidence"])
    assert code == 1


def test_a_budget_that_blocks_a_drain(node: Node, fault: str, tmp_path: Path) -> None:
    plane = node.plane
    merged = {"spec": {"maxUnavailable": None, "minAvailable": 1}}
    install(plane, fault, {"target": "poddisruptionbudget/llm/chat", "merge": merged})
    plane.kubectl("rollout", "status", "deployment/chat", "-n", fault, "--timeout=90s")
    pod = plane.get("pods", "-n", fault)["items"][0]["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": fault}}
    path = f"/api/v1/namespaces/{fault}/pods/{pod}/eviction"
    with pytest.raises(ClusterError, match="429"):
        plane.request("POST", path, eviction)
    _, report = audit(plane, tmp_path, fault, "--scope", "cluster")
    said = found(report, "availability-disruption-allowed", f"poddisruptionbudget/{fault}/chat")
    assert "minAvailable" in json.dumps(said["evidence"])


def test_a_service_that_selects_nothing(node: Node, fault: str, tmp_path: Path) -> None:
    plane = node.plane
    selector = {"app.kubernetes.io/name": "chta"}
    install(plane, fault, {"target": "service/llm/chat", "merge": {"spec": {"selector": selector}}})
    plane.kubectl("rollout", "status", "deployment/chat", "-n", fault, "--timeout=90s")
    code, report = audit(plane, tmp_path, fault, "--scope", "cluster,endpoint", "--url", url_of(plane, fault))
    assert found(report, "network-service", f"deployment/{fault}/chat")["gates"]
    assert "endpoint" in {f["group"] for f in report["findings"] if f["outcome"] in ("fail", "unknown")}
    assert code == 1


def test_a_service_to_the_wrong_port(node: Node, fault: str, tmp_path: Path) -> None:
    plane = node.plane
    wrong = [{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 9090}]
    install(plane, fault, {"target": "service/llm/chat", "json": wrong})
    plane.kubectl("rollout", "status", "deployment/chat", "-n", fault, "--timeout=90s")
    code, report = audit(plane, tmp_path, fault, "--scope", "cluster,endpoint", "--url", url_of(plane, fault))
    said = found(report, "network-target-port", f"service/{fault}/chat")
    assert "9090" in said["message"]
    assert said["gates"]
    assert code == 1


def test_an_endpoint_that_goes_away_during_the_load(node: Node, fault: str, tmp_path: Path) -> None:
    plane = node.plane
    install(plane, fault, spec(terminationGracePeriodSeconds=1), container(lifecycle=None))
    plane.kubectl("rollout", "status", "deployment/chat", "-n", fault, "--timeout=90s")
    policy = tmp_path / "inferaudit.yaml"
    text = (SERVICE / "inferaudit.yaml").read_text().replace("requests: 600, duration: 90s", "duration: 20s")
    text = text.replace("error_rate: 20%", "error_rate: 0.01%")  # not decided while the endpoint is there
    policy.write_text(text.replace("service/llm/", f"service/{fault}/"))
    flags = ("-f", policy, "--url", url_of(plane, fault), "--api-key-env", "CHAT_KEY", "--scope", "endpoint,load")
    run = start_audit(plane, tmp_path, fault, *flags)

    def under_load() -> bool:
        assert run.poll() is None, "the load ended before the endpoint did"
        return loaded(plane, fault)

    plane.wait("requests to arrive", under_load, timeout_s=60)
    plane.kubectl("scale", "deployment/chat", "-n", fault, "--replicas=0")
    run.communicate(timeout=200)
    report = json.loads((tmp_path / "report.json").read_text())
    benchmark = report["benchmark"]
    assert benchmark["requests"]["ok"] > 0
    assert benchmark["requests"]["failed"] > 0
    assert report["verdict"] != "GO"
    assert set(benchmark["errors"]) & {
        "refused",
        "reset_before_headers",
        "reset_in_body",
        "truncated",
        "connect_timeout",
        "reset_before_send",
    }
    assert run.returncode in (1, 3)


def loaded(plane: ControlPlane, namespace: str) -> bool:
    """Whether the server has answered more than the audit's own questions and the warm-up, by its own counter."""
    reader = (
        "import urllib.request as u;"
        f"r=u.Request('http://127.0.0.1:8080/metrics',headers={{'Authorization':'Bearer {KEY}'}});"
        "print(u.urlopen(r,timeout=5).read().decode())"
    )
    page = plane.kubectl("exec", "deployment/chat", "-n", namespace, "--", str(interpreter()), "-c", reader)
    counts = [line.split()[1] for line in page.splitlines() if line.startswith("llamacpp:tokens_predicted_total")]
    return bool(counts) and float(counts[0]) > 600
