"""The GPU probe on a node that really runs it: our own program in the image, the NVML stand-in where a driver's is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.cluster import ControlPlane
from support.images import docker_archive, interpreter, python_files
from support.node import REAL, Node
from support.nvml import build, gpu, script

from inferaudit.snapshot import load

pytestmark = [pytest.mark.node, pytest.mark.timeout(300), pytest.mark.xdist_group("node")]

IMAGE, BARE = "test.inferaudit.dev/probe:1", "test.inferaudit.dev/probe-without-library:1"
PACKAGES = (
    "annotated_doc", "annotated_types", "click", "msgspec", "pydantic", "pydantic_core", "pynvml.py", "rich",
    "shellingham", "typer", "typing_extensions.py", "typing_inspection", "yaml", "pygments", "markdown_it", "mdurl",
)  # fmt: skip
SERVICE = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: probed, labels: {{pod-security.kubernetes.io/enforce: restricted}}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: chat, namespace: probed}}
spec:
  replicas: 0
  selector: {{matchLabels: {{app: chat}}}}
  template:
    metadata: {{labels: {{app: chat}}}}
    spec:
      nodeSelector: {{{REAL}: "true"}}
      tolerations: [{{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}}]
      containers:
      - {{name: server, image: vllm/vllm-openai, resources: {{limits: {{nvidia.com/gpu: 1}}}}}}
"""


def images(folder: Path) -> list[Path]:
    """The probe's image with the stand-in library, and one without."""
    site, own = Path(sysconfig.get_path("purelib")), Path(__file__).parent.parent / "inferaudit"
    present = [site / name for name in PACKAGES if (site / name).exists()]
    files = python_files(own, *present)
    entrypoint = [str(interpreter()), "-m", "inferaudit.cli.app"]
    bare = folder / "bare.tar"
    docker_archive(bare, BARE, files, entrypoint=entrypoint)
    files |= {"/nvml/libnvidia-ml.so.1": build(), "/nvml/script": script(gpu(0), gpu(1))}
    env = {"LD_LIBRARY_PATH": "/nvml", "INFERAUDIT_NVML_SCRIPT": "/nvml/script"}
    docker_archive(folder / "probe.tar", IMAGE, files, entrypoint=entrypoint, env=env)
    return [bare, folder / "probe.tar"]


@pytest.fixture(scope="module")
def node(real_node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    plane = real_node.plane
    for archive in images(tmp_path_factory.mktemp("probe-images")):
        real_node.load_image(archive)
    real_node.set_gpus(2)
    plane.kubectl("taint", "node", real_node.name, "nvidia.com/gpu=present:NoSchedule")
    plane.apply(SERVICE)
    yield real_node
    plane.kubectl("delete", "namespace", "probed", "--timeout=60s")
    plane.kubectl("taint", "node", real_node.name, "nvidia.com/gpu-")


def start(plane: ControlPlane, snapshot: Path, image: str) -> subprocess.Popen[str]:
    target = ["--kubeconfig", str(plane.kubeconfig), "-n", "probed", "--workload", "deployment/chat"]
    command = [sys.executable, "-m", "inferaudit.cli.app", "collect", *target, "--gpus", "pods", "--yes"]
    command += ["--probe-image", image, "--snapshot", str(snapshot)]
    env = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    )


def probes(plane: ControlPlane) -> list[dict[str, Any]]:
    found = plane.get("pods", "-n", "probed")["items"]
    assert isinstance(found, list)
    return found


def test_the_nodes_gpus_come_through_the_pods_log(node: Node, tmp_path: Path) -> None:
    run = start(node.plane, tmp_path / "s", IMAGE)
    _, said = run.communicate(timeout=120)
    assert run.returncode == 0, said
    facts = load(tmp_path / "s").facts
    assert facts["nvml.gpus"].error is None, facts["nvml.gpus"].error
    assert [(each.node, each.product) for each in facts["nvml.gpus"].value] == [
        (node.name, "NVIDIA H100 80GB HBM3")
    ] * 2
    assert facts["nvml.driver"].value.node == node.name
    assert facts["nvml.xid_events"].value.gpus == 2
    assert probes(node.plane) == []


def test_a_pod_without_the_library_says_what_to_do(node: Node, tmp_path: Path) -> None:
    run = start(node.plane, tmp_path / "s", BARE)
    _, said = run.communicate(timeout=120)
    assert run.returncode == 0, said
    error = load(tmp_path / "s").facts["nvml.gpus"].error
    assert error is not None
    assert "no GPU library" in error.reason
    assert "NVIDIA_DRIVER_CAPABILITIES=utility" in error.remedy
    assert probes(node.plane) == []


def test_ctrl_c_while_the_probe_runs_leaves_nothing(node: Node, tmp_path: Path) -> None:
    run = start(node.plane, tmp_path / "s", IMAGE)
    node.plane.wait(
        "the probe to run", lambda: any(p["status"].get("phase") == "Running" for p in probes(node.plane)), timeout_s=60
    )
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 130, said
    assert probes(node.plane) == []
    assert load(tmp_path / "s").interrupted


def test_an_image_that_is_not_there_is_the_reason(node: Node, tmp_path: Path) -> None:
    run = start(node.plane, tmp_path / "s", "127.0.0.1:1/absent:1")
    _, said = run.communicate(timeout=120)
    assert run.returncode == 0, said
    error = load(tmp_path / "s").facts["nvml.gpus"].error
    assert error is not None
    assert "cannot start" in error.reason
    assert "Image" in error.reason
    assert probes(node.plane) == []
