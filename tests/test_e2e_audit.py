"""The whole way through on real parts: API server, played GPU nodes, llama.cpp, and NVML's stand-in for the node.

One service is right and GO; then one thing is broken at a time, and exactly that is named.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import nvml
from support.cluster import SERVICE, ControlPlane, documents

from inferaudit.demo_server import demo_server

pytestmark = [pytest.mark.controlplane, pytest.mark.xdist_group("controlplane"), pytest.mark.timeout(300)]

SLO = "ttft_p99=20s,itl_p99=10s,error_rate=20%"  # generous: this is about the verdict, not about this machine
A100 = {"product": "NVIDIA A100-SXM4-80GB", "memory_total_bytes": 81920 * nvml.MIB}


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with demo_server(tmp_path_factory.mktemp("model")) as url:
        yield url


def audit(folder: Path, *flags: object, env: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
    """Run `inferaudit run` as a process; its exit code and its JSON report."""
    out = folder / "report.json"
    run = subprocess.run(
        [sys.executable, "-m", "inferaudit.cli.app", "run", *map(str, flags), "-o", f"json={out}", "--no-progress"],
        capture_output=True,
        text=True,
        timeout=150,
        env={**os.environ, **(env or {})},
    )
    assert "Traceback" not in run.stderr
    assert out.exists(), run.stderr
    return run.returncode, json.loads(out.read_text())


def blocking(report: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(f["check"], f["subject"]) for f in report["findings"] if f["gates"]]


def on_cluster(plane: ControlPlane, scope: str = "cluster") -> list[object]:
    return ["--kubeconfig", plane.kubeconfig, "-n", "llm-prod", "--workload", "deployment/chat", "--scope", scope]


def test_a_right_service_is_go_and_says_what_it_covers(
    gpu_service: ControlPlane, endpoint: str, tmp_path: Path
) -> None:
    policy = tmp_path / "inferaudit.yaml"
    policy.write_text(
        "load: {profile: sla, concurrency: 2, requests: 600, duration: 40s, input_tokens: '16', output_tokens: '8'}\n"
    )
    script = nvml.script(*(nvml.gpu(i) for i in range(8)))
    code, report = audit(
        tmp_path,
        *on_cluster(gpu_service, "cluster,gpu,endpoint,load"),
        *("-f", policy, "--url", endpoint, "--slo", SLO, "--gpus", "local", "--gpus-node", "gpu-a100-0"),
        env=nvml.nvml_environment(tmp_path, script),
    )
    assert blocking(report) == []
    assert (code, report["verdict"]) == (0, "GO")
    assert report["reasons"][0] == "This verdict covers cluster, gpu, endpoint, load; it does not cover metrics."
    assert report["benchmark"]["requests"]["ok"] > 0
    assert report["target"]["runtime"]["name"] == "llamacpp"
    passed = {f["check"] for f in report["findings"] if f["outcome"] == "pass"}
    assert {"workload-gpu-limit", "gpu-ecc-uncorrected", "sla-ttft"} <= passed
    proof = [f for f in report["findings"] if f["check"] == "endpoint-serves-workload"]
    assert proof, "the report says whether the endpoint was proven to be the workload's pods"
    assert proof[0]["outcome"] != "pass"


def test_a_right_service_has_no_finding_at_medium_or_above(gpu_service: ControlPlane, tmp_path: Path) -> None:
    code, report = audit(tmp_path, *on_cluster(gpu_service))
    bad = [
        (f["check"], f["subject"], f["message"])
        for f in report["findings"]
        if f["outcome"] in ("fail", "unknown", "review") and f["severity"] != "low" and not f["cause"] and f["due"]
    ]
    assert (code, bad) == (0, [])


BREAKS = {
    "a service that selects nothing": (
        ("service/chat", {"spec": {"selector": {"app.kubernetes.io/name": "chta"}}}),
        "network-",
    ),
    "no readiness probe": (
        (
            "deployment/chat",
            {"spec": {"template": {"spec": {"containers": [{"name": "server", "readinessProbe": None}]}}}},
        ),
        "workload-readiness-probe",
    ),
    "a moving image tag": (
        (
            "deployment/chat",
            {"spec": {"template": {"spec": {"containers": [{"name": "server", "image": "vllm/vllm-openai:latest"}]}}}},
        ),
        "workload-image-tag",
    ),
}


@pytest.mark.parametrize("what", BREAKS)
def test_one_broken_thing_is_named_and_nothing_else(what: str, gpu_service: ControlPlane, tmp_path: Path) -> None:
    (name, patch), check = BREAKS[what]
    kind, _, called = name.partition("/")
    right = [obj for obj in documents(SERVICE) if (obj["kind"].lower(), obj["metadata"]["name"]) == (kind, called)]
    gpu_service.kubectl("patch", name, "-n", "llm-prod", "--type=strategic", "-p", json.dumps(patch))
    try:
        gpu_service.kubectl("rollout", "status", "deployment/chat", "-n", "llm-prod", "--timeout=60s")
        code, report = audit(tmp_path, *on_cluster(gpu_service))
        assert code == 1
        failed = [f["check"] for f in report["findings"] if f["gates"] and f["outcome"] == "fail"]
        assert failed
        assert all(name.startswith(check) for name in failed), blocking(report)
    finally:
        # Applied, not replaced: what another manager wrote, a later test's apply could not take out.
        gpu_service.apply(yaml.safe_dump_all(right))
        gpu_service.kubectl("rollout", "status", "deployment/chat", "-n", "llm-prod", "--timeout=60s")


def test_an_account_that_may_not_look_is_incomplete_and_names_the_verbs(
    gpu_service: ControlPlane, tmp_path: Path
) -> None:
    half = gpu_service.kubeconfig_for("auditor-half", "audit")
    flags = ["--kubeconfig", half, "-n", "llm-prod", "--workload", "deployment/chat", "--scope", "cluster"]
    code, report = audit(tmp_path, *flags)
    assert (code, report["verdict"]) == (3, "INCOMPLETE")
    denied = {(d["verb"], d["resource"]) for d in report["coverage"]["denied"]}
    assert ("list", "nodes") in denied
    assert all(verb and resource for verb, resource in denied)
    assert any("may not list nodes" in reason for reason in report["reasons"])
    assert any(f["outcome"] == "pass" for f in report["findings"])


def test_the_cluster_and_its_dump_say_the_same(gpu_service: ControlPlane, tmp_path: Path) -> None:
    _, live = audit(tmp_path, *on_cluster(gpu_service, "manifests"))
    kinds = (
        "deploy,svc,hpa,pdb,netpol,sa,cm,pvc,httproute,servicemonitor,prometheusrule,role,rolebinding,quota,limitrange"
    )
    dump = tmp_path / "dump.yaml"
    dump.write_text(gpu_service.kubectl("get", kinds, "-n", "llm-prod", "-o", "yaml"))
    _, files = audit(
        tmp_path, "--manifests", dump, "-n", "llm-prod", "--workload", "deployment/chat", "--scope", "manifests"
    )
    said = [{(f["check"], f["subject"]) for f in r["findings"] if f["outcome"] == "fail"} for r in (live, files)]
    assert said[0] == said[1]


def test_an_expired_token_and_an_unreachable_server_are_one_finding_each(
    gpu_service: ControlPlane, tmp_path: Path
) -> None:
    config = json.loads(gpu_service.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": "invented-and-expired"}
    (tmp_path / "expired").write_text(json.dumps(config))
    config["clusters"][0]["cluster"] = {"server": "https://127.0.0.1:9"}
    (tmp_path / "unreachable").write_text(json.dumps(config))
    for name in ("expired", "unreachable"):
        flags = [
            "--kubeconfig",
            tmp_path / name,
            "-n",
            "llm-prod",
            "--workload",
            "deployment/chat",
            "--scope",
            "cluster",
        ]
        code, report = audit(tmp_path, *flags)
        assert code == 3, name
        assert len(report["coverage"]["denied"]) == 1
        assert [check for check, _ in blocking(report)] == ["audit-collection"]


def test_several_workloads_are_listed_and_none_is_guessed(gpu_service: ControlPlane, tmp_path: Path) -> None:
    gpu_service.kubectl("create", "namespace", "two")
    for name in ("one", "other"):
        gpu_service.kubectl("create", "deployment", name, "-n", "two", "--image=vllm/vllm-openai:v0.11.0")
    run = subprocess.run(
        [sys.executable, "-m", "inferaudit.cli.app", "run", "--kubeconfig", str(gpu_service.kubeconfig), "-n", "two"],
        capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    gpu_service.kubectl("delete", "namespace", "two", "--wait=false")
    assert run.returncode == 2
    assert "deployment/one" in run.stderr
    assert "deployment/other" in run.stderr
    assert "--workload" in run.stderr


def test_no_secret_reaches_the_snapshot_or_the_report(gpu_service: ControlPlane, tmp_path: Path) -> None:
    snapshot = tmp_path / "s"
    audit(tmp_path, *on_cluster(gpu_service), "--snapshot", snapshot)
    import zipfile

    archive = zipfile.ZipFile(snapshot)
    kept = b"".join(archive.read(name) for name in archive.namelist()) + (tmp_path / "report.json").read_bytes()
    assert b"invented" not in kept
