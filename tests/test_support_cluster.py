"""The control plane the other tests stand on: is it real, whole, and gone afterwards?"""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from datetime import datetime
from pathlib import Path

import pytest
from support.cluster import BUILD, SERVICE, TESTS, ClusterError, ControlPlane, documents, start_control_plane

POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: default, annotations: {{{annotation}}}}}
spec:
  containers:
  - {{name: server, image: example.com/server}}
"""


def conditions(thing: dict) -> dict[str, str]:
    return {each["type"]: each["status"] for each in thing["status"]["conditions"]}


def alive(pid: int) -> bool:
    """Running: a zombie that nobody has reaped yet has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def children_of(folder: Path) -> list[int]:
    """The processes whose working directory is the folder, by /proc."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").readlink() == folder and alive(int(entry.name)):
                found.append(int(entry.name))
        except OSError:  # it ended while we looked, or is not ours
            continue
    return found


@pytest.mark.controlplane
def test_nodes_are_ready_and_offer_their_gpus(gpu_service: ControlPlane) -> None:
    nodes = {node["metadata"]["name"]: node for node in gpu_service.get("nodes")["items"]}
    written = {each["metadata"]["name"] for each in documents(SERVICE) if each["kind"] == "Node"}
    assert written <= nodes.keys()
    for name in written:
        assert conditions(nodes[name])["Ready"] == "True"
        labels, offered = nodes[name]["metadata"]["labels"], nodes[name]["status"]["allocatable"]
        assert offered.get("nvidia.com/gpu") == labels.get("nvidia.com/gpu.count")


@pytest.mark.controlplane
def test_the_scheduler_bound_each_replica_to_a_gpu_in_another_zone(gpu_service: ControlPlane) -> None:
    pods = gpu_service.get("pods", "-n", "llm-prod", "-l", "app.kubernetes.io/name=chat")["items"]
    nodes = {node["metadata"]["name"]: node["metadata"]["labels"] for node in gpu_service.get("nodes")["items"]}
    assert [conditions(pod)["Ready"] for pod in pods] == ["True", "True"]
    assert {nodes[pod["spec"]["nodeName"]]["nvidia.com/gpu.product"] for pod in pods} == {"NVIDIA-A100-SXM4-80GB"}
    assert len({nodes[pod["spec"]["nodeName"]]["topology.kubernetes.io/zone"] for pod in pods}) == 2
    assert all(pod["status"]["podIP"] for pod in pods)
    # Other tests of the same cluster put faults in and take them out again; their events stay for an hour.
    names = {pod["metadata"]["name"] for pod in pods}
    warnings = gpu_service.get("events", "-n", "llm-prod", "--field-selector=type=Warning")["items"]
    assert [event["message"] for event in warnings if event["involvedObject"]["name"] in names] == []


@pytest.mark.controlplane
def test_controllers_we_do_not_run_have_spoken(gpu_service: ControlPlane) -> None:
    assert conditions(gpu_service.get("gateway", "chat", "-n", "llm-prod"))["Programmed"] == "True"
    assert conditions(gpu_service.get("hpa", "chat", "-n", "llm-prod"))["ScalingActive"] == "True"
    assert gpu_service.get("pdb", "chat", "-n", "llm-prod")["status"]["disruptionsAllowed"] == 1


@pytest.mark.controlplane
def test_half_an_auditor_is_refused_the_other_half(gpu_service: ControlPlane) -> None:
    half = gpu_service.kubeconfig_for("auditor-half", "audit")
    assert "chat" in gpu_service.kubectl("get", "deployments", "-n", "llm-prod", kubeconfig=half)
    for denied in ("nodes", "secrets", "hpa", "pdb"):
        with pytest.raises(ClusterError, match="forbidden"):
            gpu_service.kubectl("get", denied, "-n", "llm-prod", kubeconfig=half)
    seen = gpu_service.audited("system:serviceaccount:audit:auditor-half")
    assert {("list", "deployments", 200), ("list", "nodes", 403), ("list", "secrets", 403)} <= seen


@pytest.mark.controlplane
def test_a_full_auditor_reads_all_and_writes_nothing(gpu_service: ControlPlane) -> None:
    full = gpu_service.kubeconfig_for("auditor-full", "audit")
    for kind in {each["kind"] for each in documents(SERVICE)} - {"Secret"}:
        assert gpu_service.kubectl("get", kind, "-A", kubeconfig=full)
    assert gpu_service.kubectl("get", "secret", "hf-token", "-n", "llm-prod", kubeconfig=full)
    for denied in (["list", "secrets"], ["create", "pods"], ["delete", "deployments"], ["create", "pods/portforward"]):
        with pytest.raises(ClusterError):
            gpu_service.kubectl("auth", "can-i", *denied, "-n", "llm-prod", "--quiet", kubeconfig=full)


@pytest.mark.controlplane
def test_no_secret_lands_in_the_audit_log(gpu_service: ControlPlane) -> None:
    gpu_service.get("secret", "hf-token", "-n", "llm-prod")
    assert "hf_invented" not in gpu_service.audit_log.read_text()


@pytest.mark.controlplane
def test_a_pod_can_be_late_or_left_alone(gpu_service: ControlPlane) -> None:
    plane = gpu_service
    plane.apply(POD.format(name="late", annotation="test.inferaudit.dev/ready-after: 2s"))
    plane.apply(POD.format(name="mine", annotation='test.inferaudit.dev/hands-off: "true"'))
    try:
        plane.kubectl("wait", "--for=condition=Ready", "pod/late", "--timeout=30s")
        late = plane.get("pod", "late")["status"]
        (ready,) = (each for each in late["conditions"] if each["type"] == "Ready")
        began, turned = (datetime.fromisoformat(t) for t in (late["startTime"], ready["lastTransitionTime"]))
        assert (turned - began).total_seconds() >= 1
        assert late["containerStatuses"][0]["started"] is True

        assert plane.get("pod", "mine")["status"]["phase"] == "Pending"
        waiting = {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"}
        crashed = {"name": "server", "image": "x", "imageID": "", "ready": False, "restartCount": 7}
        crashing = {"containerStatuses": [{**crashed, "state": {"waiting": waiting}}]}
        plane.patch_status("pod", "mine", crashing, "default")
        assert "CrashLoopBackOff" in plane.kubectl("get", "pod", "mine")
    finally:
        plane.kubectl("delete", "pod", "late", "mine", "--timeout=30s")


@pytest.mark.controlplane
def test_a_custom_resource_with_a_wrong_field_is_refused(gpu_service: ControlPlane) -> None:
    route = json.dumps(
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": "wrong", "namespace": "default"},
            "spec": {"rules": [{"timeouts": {"request": "soon"}}]},
        }
    )
    with pytest.raises(ClusterError, match=r"spec\.rules\[0\]\.timeouts\.request"):
        gpu_service.apply(route)


@pytest.mark.controlplane
def test_nothing_is_left_after_the_end(tmp_path: Path) -> None:
    with start_control_plane(tmp_path, kwok=False) as plane:
        assert len(children_of(tmp_path)) == 4
        assert plane.request("GET", "/version")["gitVersion"].startswith("v1.")
        with pytest.raises(ClusterError, match="404"):
            plane.request("GET", "/api/v1/nodes/none")
    assert children_of(tmp_path) == []
    with pytest.raises(OSError, match="refused"):
        plane.request("GET", "/version")


@pytest.mark.controlplane
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends the children of a killed parent")
def test_nothing_is_left_when_the_tests_are_killed(tmp_path: Path) -> None:
    program = f"""
        import pathlib, time
        from support.cluster import start_control_plane
        with start_control_plane(pathlib.Path({str(tmp_path)!r}), kwok=False):
            print("up", flush=True)
            time.sleep(60)
    """
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "up\n"
        left = children_of(tmp_path)
        killed.send_signal(signal.SIGKILL)
    assert len(left) == 4
    for pid in left:
        for _ in range(100):
            if not alive(pid):
                break
            subprocess.run(["sleep", "0.05"], check=True, timeout=10)
        assert not alive(pid)


def test_a_start_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"):
        fake = tmp_path / name
        fake.write_text("#!/bin/sh\necho no space left on device\nexit 3\n")
        fake.chmod(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    with (
        pytest.raises(ClusterError, match=r"ended with 3(.|\n)*no space left on device"),
        start_control_plane(tmp_path / "run", kwok=False),
    ):
        pytest.fail("it cannot have started")


def test_a_control_plane_that_was_not_built_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ClusterError, match="make controlplane"), start_control_plane(tmp_path / "run"):
        pytest.fail("it cannot have started")


@pytest.mark.controlplane
def test_a_second_build_does_nothing() -> None:
    folder = subprocess.run([BUILD, "--folder"], capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    before = Path(folder, "etcd").stat()
    again = subprocess.run([BUILD], capture_output=True, text=True, check=True, timeout=30)
    assert (again.stdout.strip(), again.stderr) == (folder, "")
    assert Path(folder, "etcd").stat().st_mtime_ns == before.st_mtime_ns


def test_a_build_without_go_says_so_in_one_line(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("bash", "cat", "cut", "dirname", "sha256sum", "shasum", "mkdir", "sed"):
        if found := shutil.which(tool):
            (tools / tool).symlink_to(found)
    environment = {"PATH": str(tools), "HOME": str(tmp_path)}
    done = subprocess.run(["bash", BUILD], capture_output=True, text=True, env=environment, check=False, timeout=30)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "go is not on PATH" in done.stderr
