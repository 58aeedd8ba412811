"""The real node: containers run, are probed, killed and reached, and nothing stays behind."""

import http.client
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cluster import ClusterError, ControlPlane
from support.images import interpreter
from support.llama import LLAMA_IMAGE
from support.node import NODE_DEVICE, REAL, Node, start_node

# One machine holds one real node.
pytestmark = [pytest.mark.node, pytest.mark.timeout(300), pytest.mark.xdist_group("node")]


def pod(name: str, env: dict[str, str] | None = None, **container: object) -> str:
    """A llama.cpp pod on the real node; `container` adds to or replaces what its container says."""
    server = {
        "name": "server",
        "image": LLAMA_IMAGE,
        "imagePullPolicy": "Never",
        "env": [{"name": key, "value": value} for key, value in (env or {}).items()],
        "ports": [{"name": "http", "containerPort": 8080}],
        **container,
    }
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
            "spec": {
                "nodeSelector": {REAL: "true"},
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 5,
                "containers": [server],
            },
        }
    )


@pytest.fixture(scope="module")
def node(real_node: Node) -> Iterator[Node]:
    yield real_node
    for what in (("pods", "--all", "--grace-period=1"), ("service", "serves"), ("node", "fake-0")):
        real_node.plane.kubectl("delete", *what, "-n", "default", "--ignore-not-found", "--timeout=60s")


def state(plane: ControlPlane, name: str) -> dict:
    """The first container's status, or nothing yet."""
    found = plane.get("pod", name)["status"].get("containerStatuses")
    return found[0] if found else {}


def why_waiting(plane: ControlPlane, name: str) -> str | None:
    return state(plane, name).get("state", {}).get("waiting", {}).get("reason")


def test_a_model_serves_behind_a_nodeport(node: Node) -> None:
    plane = node.plane
    probe = {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 1}
    plane.apply(pod("serves", readinessProbe=probe))
    service = {"type": "NodePort", "selector": {"app": "serves"}, "ports": [{"port": 80, "targetPort": "http"}]}
    metadata = {"name": "serves", "namespace": "default"}
    plane.apply(json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service}))
    plane.kubectl("wait", "--for=condition=Ready", "pod/serves", "--timeout=60s")
    assert "model loaded" in plane.kubectl("logs", "serves")

    port = plane.get("service", "serves")["spec"]["ports"][0]["nodePort"]
    body = json.dumps({"messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}).encode()

    def answered() -> dict | None:  # kube-proxy writes its rules shortly after the endpoint is ready
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
            return json.load(connection.getresponse())
        except OSError:
            return None
        finally:
            connection.close()

    assert plane.wait("an answer through the NodePort", answered)["usage"]["completion_tokens"] == 4

    forward = ["kubectl", f"--kubeconfig={plane.kubeconfig}", "port-forward", "pod/serves", ":8080"]
    with subprocess.Popen(forward, stdout=subprocess.PIPE, text=True) as forwarding:
        assert forwarding.stdout is not None
        port = int(forwarding.stdout.readline().split()[2].rpartition(":")[2])  # Forwarding from 127.0.0.1:40000 -> …
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/health")
        assert connection.getresponse().status == 200
        connection.close()
        forwarding.terminate()


def test_a_slow_start_is_killed_by_its_liveness_probe(node: Node) -> None:
    plane = node.plane
    probe = {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 1, "failureThreshold": 2}
    plane.apply(pod("slow", {"START_DELAY_S": "600"}, livenessProbe=probe))
    plane.wait("the first restart", lambda: state(plane, "slow").get("restartCount", 0) > 0, timeout_s=90)
    killed = plane.get("events", "--field-selector=involvedObject.name=slow,reason=Killing")["items"]
    assert any("failed liveness probe" in event["message"] for event in killed)


def test_too_much_memory_is_an_oom_kill(node: Node) -> None:
    plane = node.plane
    plane.apply(pod("big", {"EAT_MIB": "512"}, resources={"limits": {"memory": "128Mi"}}))

    def reason() -> str | None:
        status = state(plane, "big")
        for each in (status.get("state", {}), status.get("lastState", {})):
            if "terminated" in each:
                return each["terminated"]["reason"]
        return None

    assert plane.wait("the kill", reason, timeout_s=60) == "OOMKilled"


def test_a_crash_loop_keeps_its_log(node: Node) -> None:
    plane = node.plane
    plane.apply(pod("crash", {"CRASH": "torch.OutOfMemoryError: CUDA out of memory"}))
    plane.wait("the back-off", lambda: why_waiting(plane, "crash") == "CrashLoopBackOff", timeout_s=60)
    assert "CUDA out of memory" in plane.kubectl("logs", "crash", "--previous")


def test_an_image_nobody_has_is_a_pull_error(node: Node) -> None:
    plane = node.plane
    plane.apply(pod("pull", image="127.0.0.1:1/no/such:1", imagePullPolicy="Always"))
    reasons = {"ErrImagePull", "ImagePullBackOff"}
    plane.wait("the error", lambda: why_waiting(plane, "pull") in reasons)


def test_gpus_are_given_out_until_there_are_none(node: Node) -> None:
    plane = node.plane
    node.set_gpus(1)
    for name in ("first", "second"):
        plane.apply(pod(name, resources={"limits": {"nvidia.com/gpu": 1}}))
        if name == "first":
            plane.kubectl("wait", "--for=condition=Ready", "pod/first", "--timeout=60s")

    def refused() -> str | None:
        for each in plane.get("pod", "second")["status"].get("conditions", ()):
            if each["type"] == "PodScheduled" and each["status"] == "False":
                return each["message"]
        return None

    assert "Insufficient nvidia.com/gpu" in plane.wait("the scheduler's answer", refused)


def test_it_stands_beside_nodes_without_a_machine(node: Node) -> None:
    plane = node.plane
    fake = """
        apiVersion: v1
        kind: Node
        metadata: {name: fake-0, annotations: {kwok.x-k8s.io/node: fake}}
        status: {capacity: {cpu: "4", memory: 8Gi, pods: "10"}, allocatable: {cpu: "4", memory: 8Gi, pods: "10"}}
    """
    plane.apply(fake)
    plane.kubectl("wait", "--for=condition=Ready", "node/fake-0", "--timeout=30s")
    plane.apply(pod("here"))
    there = json.loads(pod("there"))
    there["spec"]["nodeSelector"] = {"kubernetes.io/hostname": "fake-0"}
    plane.kubectl("label", "node", "fake-0", "kubernetes.io/hostname=fake-0")
    plane.apply(json.dumps(there))
    plane.kubectl("wait", "--for=condition=Ready", "pod/here", "pod/there", "--timeout=60s")
    seen = plane.kubectl("exec", "here", "--", str(interpreter()), "-c", "import os; print(os.environ['HOSTNAME'])")
    assert seen.strip() == "here"


def test_two_nodes_cannot_share_a_machine(node: Node, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="a real node runs here"), start_node(node.plane, tmp_path / "second"):
        pytest.fail("it cannot have started")
    assert Path("/sys/class/net", NODE_DEVICE).exists()
