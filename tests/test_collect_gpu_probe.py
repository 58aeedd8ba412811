"""The GPU probe on a real API server: pods that meet its policies, come, are read, and go whatever happens.

KWOK runs no container, so the tests write the pods' ends, and the log, which a kubelet would hand out, is given.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.cluster import ControlPlane

from inferaudit.collect import gpu_probe
from inferaudit.collect.gpu_probe import ProbeProposal, propose_probe, run_probe
from inferaudit.collect.gpu_probe_pod import hopeless, last_words, probe_pod
from inferaudit.collect.kube_client import ApiClient, Asked, connect
from inferaudit.errors import SnapshotError, UsageError
from inferaudit.facts.gpu import Gpu, NvmlDriver, XidWatch
from inferaudit.kube.types import Node, Taint
from inferaudit.model import Fact, FactError, FactErrorKind, Snapshot, Target
from inferaudit.plan import GpuPlan, KubernetesPlan
from inferaudit.snapshot_line import from_log, to_line

IMAGE = "registry.test.inferaudit.dev/inferaudit:1"
NO_LIBRARY = FactError(FactErrorKind.FAILED, "no GPU library on n", "NVML on n", remedy="utility")


def told(**facts: Fact) -> str:
    """What a probe on a node with one GPU writes; `facts` replace some of it."""
    whole = {
        "nvml.gpus": Fact([Gpu(node="liar", index=0, uuid="GPU-a", product="NVIDIA A100-SXM4-80GB")]),
        "nvml.driver": Fact(NvmlDriver(host="pod", driver_version="580.95.05", gpu_count=1)),
        "nvml.xid_events": Fact(XidWatch(window_s=2.0, gpus=1)),
    }
    whole |= {name.replace("__", "."): fact for name, fact in facts.items()}
    snapshot = Snapshot(collected_at="2026-01-01T00:00:00Z", target=Target(), facts=whole)
    return f"inferaudit: some note\n{to_line(snapshot)}\n"


def test_the_line_of_facts_comes_back_and_a_damaged_one_is_refused() -> None:
    facts = from_log("noise\n" + told(nvml__gpus=Fact(error=NO_LIBRARY)) + "more noise\n")
    assert facts["nvml.gpus"].error == NO_LIBRARY
    assert facts["nvml.xid_events"].value == XidWatch(window_s=2.0, gpus=1)
    for broken in (
        "",
        "noise",
        told()[:-40],
        told().replace('"gpus":1', '"gpus":"x"'),
        '{"inferaudit_facts":1,"facts":3}',
    ):
        with pytest.raises(SnapshotError):
            from_log(broken)


def test_the_pod_claims_nothing_and_tolerates_its_nodes_taints_alone() -> None:
    taints = [
        Taint(key="nvidia.com/gpu", effect="NoSchedule", value="present"),
        Taint(key="spot", effect="PreferNoSchedule"),
    ]
    pod = probe_pod("p", "r", "ns", Node(name="n1", taints=taints), IMAGE, runtime_class=True)
    spec, (container,) = pod["spec"], pod["spec"]["containers"]
    assert spec["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert spec["runtimeClassName"] == "nvidia"
    assert not any("gpu" in name for name in container["resources"]["limits"])
    assert "hostPath" not in json.dumps(pod)
    assert "privileged" not in json.dumps(pod)
    assert container["args"][:5] == ["collect", "--gpus", "local", "--gpus-node", "n1"]
    assert {e["name"]: e["value"] for e in container["env"]} == {
        "NVIDIA_VISIBLE_DEVICES": "all",
        "NVIDIA_DRIVER_CAPABILITIES": "utility",
    }
    assert pod["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "inferaudit"
    cordoned = probe_pod("p", "r", "ns", Node(name="n1", unschedulable=True), IMAGE, runtime_class=False)
    assert cordoned["spec"]["tolerations"][0]["key"] == "node.kubernetes.io/unschedulable"
    assert "runtimeClassName" not in cordoned["spec"]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"phase": "Pending"}, ""),
        ({"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}, ""),
        (
            {"containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull", "message": "gone"}}}]},
            "ErrImagePull: gone",
        ),
        ({"conditions": [{"type": "PodScheduled", "reason": "Unschedulable", "message": "0/3"}]}, "not scheduled: 0/3"),
    ],
)
def test_what_is_hopeless_is_not_waited_for(status: dict[str, Any], words: str) -> None:
    assert hopeless({"status": status}) == words


def test_last_words() -> None:
    ended = {"containerStatuses": [{"state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]}
    assert last_words({"status": ended}) == "exit code 137, OOMKilled"
    assert last_words({"status": {"reason": "DeadlineExceeded"}}) == "DeadlineExceeded"
    assert last_words({}) == "it did not say why"


def test_without_cluster_or_image_nothing_is_proposed() -> None:
    with pytest.raises(UsageError, match="--context"):
        propose_probe(None, GpuPlan(mode="pods", probe_image=IMAGE))
    with pytest.raises(UsageError, match="--probe-image"):
        propose_probe(KubernetesPlan(), GpuPlan(mode="pods"))


pytestmark_cluster = [pytest.mark.controlplane, pytest.mark.xdist_group("controlplane")]


def cluster(test: Any) -> Any:
    for mark in pytestmark_cluster:
        test = mark(test)
    return test


def plan(plane: ControlPlane, kubeconfig: Path | None = None) -> KubernetesPlan:
    return KubernetesPlan(
        kubeconfig=str(kubeconfig or plane.kubeconfig), namespace="llm-prod", workload="deployment/chat"
    )


def proposed(plane: ControlPlane, **changed: Any) -> ProbeProposal:
    proposal = propose_probe(plan(plane), GpuPlan(mode="pods", probe_image=IMAGE))
    assert isinstance(proposal, ProbeProposal), proposal
    return replace(proposal, **changed)


def probes(plane: ControlPlane) -> list[dict[str, Any]]:
    found = plane.get("pods", "-n", "llm-prod", "-l", "app.kubernetes.io/name=inferaudit-probe")["items"]
    assert isinstance(found, list)
    return found


@contextmanager
def ending(
    plane: ControlPlane, end: Callable[[dict[str, Any]], dict[str, Any] | None]
) -> Iterator[list[dict[str, Any]]]:
    """Writes the end of every probe that has been scheduled; yields the pods it saw."""
    stop, seen = threading.Event(), dict[str, dict[str, Any]]()

    def work() -> None:
        while not stop.wait(0.2):
            for pod in probes(plane):
                name = pod["metadata"]["name"]
                if name not in seen and pod["spec"].get("nodeName") and pod["status"].get("phase") == "Running":
                    seen[name] = pod
                    if (status := end(pod)) is not None:
                        plane.patch_status("pod", name, status, "llm-prod")

    thread = threading.Thread(target=work)
    thread.start()
    pods: list[dict[str, Any]] = []
    try:
        yield pods
    finally:
        stop.set()
        thread.join(30)
        pods += seen.values()


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The text that every pod's log is; KWOK has none."""
    text = [told()]

    class WithLogs(ApiClient):
        def get(self, path: str, asked: Asked, *more: Any, **named: Any) -> bytes:
            return text[0].encode() if path.endswith("/log") else super().get(path, asked, *more, **named)

    def connected(plan: KubernetesPlan) -> ApiClient:
        client = connect(plan)
        return WithLogs(**{name: getattr(client, name) for name in ApiClient.__dataclass_fields__ if name != "_lock"})

    monkeypatch.setattr(gpu_probe, "connect", connected)
    return text


SUCCEEDED = {"phase": "Succeeded"}


@cluster
def test_pods_come_report_and_go(gpu_service: ControlPlane, log: list[str]) -> None:
    proposal = proposed(gpu_service)
    assert [node.name for node in proposal.nodes] == ["gpu-a100-0", "gpu-a100-1"]
    assert "one on each of gpu-a100-0, gpu-a100-1" in proposal.words
    said: list[str] = []
    with ending(gpu_service, lambda _: SUCCEEDED) as pods:
        result = run_probe(proposal, said.append)
    assert result.left_behind == []
    assert probes(gpu_service) == []
    assert {pod["spec"]["nodeName"] for pod in pods} == {"gpu-a100-0", "gpu-a100-1"}
    gpus = result.facts["nvml.gpus"].value
    assert [(gpu.node, gpu.uuid) for gpu in gpus] == [("gpu-a100-0", "GPU-a"), ("gpu-a100-1", "GPU-a")]
    assert result.facts["nvml.xid_events"].value.gpus == 2
    assert [(s.source, s.node, s.count) for s in result.facts["gpu.sources"].value] == [
        ("NVML", "gpu-a100-0", 1),
        ("NVML", "gpu-a100-1", 1),
    ]
    assert any("starting llm-prod/inferaudit-probe-" in line for line in said)


@cluster
@pytest.mark.parametrize(
    ("end", "text", "words"),
    [
        (SUCCEEDED, told(nvml__gpus=Fact(error=NO_LIBRARY)), "no GPU library"),
        ({"phase": "Failed", "reason": "DeadlineExceeded"}, "Traceback: something\n", "DeadlineExceeded"),
        ({"phase": "Failed"}, '{"inferaudit_facts":1,"facts":{}}\n', "another version"),
        (
            {"containerStatuses": [{"name": "probe", "image": "", "imageID": "", "ready": False, "restartCount": 0,
                                    "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not there"}}}]},
            "",
            "ImagePullBackOff: not there",
        ),
    ],
)  # fmt: skip
def test_a_probe_that_says_nothing_says_why(
    gpu_service: ControlPlane, log: list[str], end: dict[str, Any], text: str, words: str
) -> None:
    log[0] = text
    proposal = proposed(gpu_service)
    with ending(gpu_service, lambda _: end):
        result = run_probe(replace(proposal, nodes=proposal.nodes[:1]))
    error = result.facts["nvml.gpus"].error
    assert error is not None
    assert error.kind is FactErrorKind.FAILED
    assert words in error.reason
    assert probes(gpu_service) == []


@cluster
def test_one_node_that_is_silent_makes_the_fleet_unknown(gpu_service: ControlPlane, log: list[str]) -> None:
    proposal = proposed(gpu_service)

    def end(pod: dict[str, Any]) -> dict[str, Any] | None:
        return SUCCEEDED if pod["spec"]["nodeName"] == "gpu-a100-0" else None

    with ending(gpu_service, end):
        result = run_probe(proposal, limit_s=6)
    error = result.facts["nvml.gpus"].error
    assert error is not None
    assert "gpu-a100-1 was not done in time" in error.reason
    assert probes(gpu_service) == []


@cluster
def test_an_interruption_leaves_nothing_behind(gpu_service: ControlPlane) -> None:
    def interrupt(text: str) -> None:
        if "gpu-a100-1" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_probe(proposed(gpu_service), interrupt)
    assert probes(gpu_service) == []


@cluster
def test_who_may_not_create_pods_is_told_what_to_grant(gpu_service: ControlPlane) -> None:
    proposal = replace(
        proposed(gpu_service), kubernetes=plan(gpu_service, gpu_service.kubeconfig_for("auditor-full", "audit"))
    )
    result = run_probe(proposal)
    error = result.facts["nvml.gpus"].error
    assert error is not None
    assert (error.kind, error.verb, error.resource) == (FactErrorKind.DENIED, "create", "pods")
    assert "grant create" in error.remedy
    assert result.left_behind == []


@cluster
def test_a_full_quota_is_named(gpu_service: ControlPlane) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "no-more", "namespace": "llm-prod"},
        "spec": {"hard": {"pods": "0"}},
    }
    gpu_service.apply(json.dumps(quota))
    try:
        gpu_service.wait(
            "the quota to count",
            lambda: gpu_service.get("resourcequota", "no-more", "-n", "llm-prod").get("status", {}).get("hard"),
        )
        result = run_probe(proposed(gpu_service))
    finally:
        gpu_service.kubectl("delete", "resourcequota", "no-more", "-n", "llm-prod")
    error = result.facts["nvml.gpus"].error
    assert error is not None
    assert error.kind is FactErrorKind.DENIED
    assert "exceeded quota: no-more" in error.reason
    assert "quota" in error.remedy


@cluster
def test_pod_security_that_refuses_is_named(gpu_service: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    def privileged(*args: Any, **named: Any) -> dict[str, Any]:
        pod = probe_pod(*args, **named)
        pod["spec"]["hostPID"] = True
        return pod

    monkeypatch.setattr(gpu_probe, "probe_pod", privileged)
    error = run_probe(proposed(gpu_service)).facts["nvml.gpus"].error
    assert error is not None
    assert error.kind is FactErrorKind.DENIED
    assert "violates PodSecurity" in error.reason
    assert "restricted" in error.remedy


@cluster
def test_a_pod_that_cannot_be_removed_is_named(gpu_service: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    send = ApiClient.send
    monkeypatch.setattr(gpu_probe, "_REMOVAL_S", 1.0)
    monkeypatch.setattr(ApiClient, "send", lambda c, m, p, b: (403, b"") if m == "DELETE" else send(c, m, p, b))
    proposal = proposed(gpu_service)
    result = run_probe(replace(proposal, nodes=proposal.nodes[:1]), limit_s=1)
    (left,) = result.left_behind
    gpu_service.kubectl("delete", "pod", "-n", "llm-prod", left.partition("/")[2], "--force", "--grace-period=0")
    assert left.startswith("llm-prod/inferaudit-probe-")


def inferaudit(plane: ControlPlane, *args: str) -> subprocess.Popen[str]:
    target = ["--kubeconfig", str(plane.kubeconfig), "-n", "llm-prod", "--workload", "deployment/chat"]
    command = [sys.executable, "-m", "inferaudit.cli.app", "collect", *target, "--gpus", "pods", *args]
    env = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    )


@cluster
def test_the_command_says_what_it_would_do_and_does_it_only_with_yes(gpu_service: ControlPlane, tmp_path: Path) -> None:
    run = inferaudit(gpu_service, "--snapshot", str(tmp_path / "s"), "--probe-image", IMAGE)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 2
    assert "one on each of gpu-a100-0, gpu-a100-1" in said
    assert "--yes" in said
    assert not (tmp_path / "s").exists()
    assert probes(gpu_service) == []


@cluster
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_probe_and_its_pods(
    gpu_service: ControlPlane, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    run = inferaudit(gpu_service, "--snapshot", str(tmp_path / "s"), "--probe-image", IMAGE, "--yes")
    gpu_service.wait("the probes to start", lambda: len(probes(gpu_service)) == 2, timeout_s=60)
    run.send_signal(number)
    _, said = run.communicate(timeout=60)
    assert run.returncode == code, said
    assert probes(gpu_service) == []
    assert (tmp_path / "s").exists(), "what was collected is written"
