"""The way to the endpoint on a real API server: what is found, what is refused, and what each refusal says.

KWOK's pods run nothing; a port-forward to them is led to a server here. tests/test_cluster_reach_node.py has pods that
answer.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import inspect
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml
from support.cluster import ControlPlane
from support.llamacpp import start_llamacpp, write_tiny_gguf
from support.processes import Processes
from support.servers import ask, is_ready

from inferaudit.cli.collect import collect
from inferaudit.cli.flags import Flags
from inferaudit.cli.run import run
from inferaudit.collect.chaos import chaos_words, propose_chaos
from inferaudit.collect.port_forward import MAX_CONNECTIONS, ForwardError, port_forward
from inferaudit.collect.reach import Surroundings, in_cluster, look_around
from inferaudit.collect.replicas import collect_replicas
from inferaudit.degradation import loss
from inferaudit.errors import PolicyError
from inferaudit.facts.reach import ChaosRequest, Degradation
from inferaudit.model import FactError, FactErrorKind
from inferaudit.plan import ChaosPlan, HttpAuth, KubernetesPlan, ReplicasPlan
from inferaudit.policy import load_policy
from inferaudit.serving_address import Address
from inferaudit.snapshot import load

SUBJECT = "deployment/llm-prod/chat"


def cluster(test: Any) -> Any:
    for mark in (pytest.mark.controlplane, pytest.mark.xdist_group("controlplane"), pytest.mark.timeout(300)):
        test = mark(test)
    return test


def cli(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "inferaudit.cli.app", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, env=dict(os.environ), cwd=cwd)
    assert "Traceback" not in done.stderr, done.stderr
    return done


# The options of the verbs that collect.


@pytest.mark.parametrize("command", [run, collect])
def test_every_option_of_the_target_is_one_of_run_and_of_collect(command: Any) -> None:
    given = inspect.signature(command).parameters
    hints = get_type_hints(Flags, include_extras=True)
    for field in dataclasses.fields(Flags):
        assert given[field.name].annotation == hints[field.name]
        assert given[field.name].default == field.default


# From inside.


def test_inside_is_where_a_pods_account_is_and_nothing_else_was_given(tmp_path: Path) -> None:
    token = tmp_path / "token"
    inside = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    assert not in_cluster(KubernetesPlan(), inside, token)
    token.write_text("x")
    assert in_cluster(KubernetesPlan(), inside, token)
    assert not in_cluster(KubernetesPlan(), {}, token)
    assert not in_cluster(KubernetesPlan(context="prod"), inside, token)
    assert not in_cluster(KubernetesPlan(kubeconfig="k"), inside, token)
    assert not in_cluster(KubernetesPlan(), {**inside, "KUBECONFIG": "k"}, token)


# What --chaos may do.


def pod(name: str, owner: str = "rs-1") -> dict[str, Any]:
    owners = [{"kind": "ReplicaSet", "name": owner, "uid": owner, "controller": True}] if owner else []
    return {"metadata": {"name": name, "uid": f"uid-{name}", "ownerReferences": owners}}


def around(*pods: dict[str, Any], replicas: int | None = 2) -> Surroundings:
    return Surroundings(KubernetesPlan(), SUBJECT, "llm-prod", replicas, pods, Address(8000, "http", "chat", 80))


def proposed(seen: Surroundings, targets: tuple[str, ...] = (SUBJECT,), url: str = "http://chat") -> Any:
    return propose_chaos(seen, targets, url, HttpAuth())


@pytest.mark.parametrize(
    ("seen", "targets", "url", "why"),
    [
        (
            around(pod("a"), pod("b")),
            ("deployment/llm-prod/other",),
            "http://chat",
            "chaos.targets names deployment/llm",
        ),
        (around(pod("a"), pod("b")), (), "http://chat", "chaos.targets names nothing"),
        (around(pod("a"), pod("b")), (SUBJECT,), "", "no endpoint would be watched"),
        (around(pod("a"), replicas=1), (SUBJECT,), "http://chat", "fewer than two replicas (1 wanted, 1 ready)"),
        (around(pod("a")), (SUBJECT,), "http://chat", "fewer than two replicas (2 wanted, 1 ready)"),
        (around(pod("a"), pod("b"), replicas=None), (SUBJECT,), "http://chat", "fewer than two replicas (None wanted"),
        (around(pod("a", ""), pod("b", "")), (SUBJECT,), "http://chat", "no controller that would bring one back"),
        (around(pod("a", "rs-1"), pod("b", "rs-2")), (SUBJECT,), "http://chat", "a rollout is under way"),
    ],
)
def test_what_is_not_deleted(seen: Surroundings, targets: tuple[str, ...], url: str, why: str) -> None:
    error = proposed(seen, targets, url)
    assert isinstance(error, FactError)
    assert why in error.reason
    assert "no pod of deployment/llm-prod/chat was deleted" in error.reason
    assert error.kind is FactErrorKind.NO_TARGET


def test_one_pod_is_named_before_it_is_deleted() -> None:
    plan = proposed(around(pod("old", "rs-0"), pod("a"), pod("b"), replicas=3))
    assert isinstance(plan, ChaosPlan)
    assert (plan.pod, plan.pod_uid, plan.owner_uid, plan.ready) == ("a", "uid-a", "rs-1", 2)
    words = chaos_words(plan)
    for said in (
        "deletes pod a in namespace llm-prod",
        "one of 2 ready",
        "at most 2 small requests/s",
        "at most 120 s",
    ):
        assert said in words


@pytest.mark.parametrize(
    ("chaos", "said"),
    [
        ("{targets: [chat]}", "'chat' names no workload: write KIND/NAMESPACE/NAME"),
        ("{targets: ['deployment/llm/*']}", "names no workload"),
        ("{targets: [deployment//chat]}", "names no workload"),
        ("{rate: 50/s}", "50/s is out of bounds: above 0, at most 10/s"),
        ("{rate: 0/s}", "out of bounds"),
        ("{recovery: 1h}", "1h is out of bounds: above 0, at most 15m"),
        ("{before: 5m}", "5m is out of bounds: above 0, at most 60s"),
        ("{target: [deployment/llm/chat]}", "did you mean 'targets'?"),
    ],
)
def test_the_policys_chaos_is_validated(tmp_path: Path, chaos: str, said: str) -> None:
    path = tmp_path / "inferaudit.yaml"
    path.write_text(f"service: {{name: chat}}\nchaos: {chaos}\n")
    with pytest.raises(PolicyError, match=r"inferaudit\.yaml:2: chaos\.") as raised:
        load_policy(path)
    assert said in str(raised.value)


def watched(*requests: ChaosRequest) -> Degradation:
    return Degradation(
        subject=SUBJECT, pod="a", url="http://chat", route="/v1/completions", replicas=2, ready=2, rate_per_s=2.0,
        abrupt=False, limit_s=120.0, recovery_s=3.0, requests=list(requests),
    )  # fmt: skip


def test_a_loss_in_figures() -> None:
    none = loss(watched())
    assert (none.sent, none.ratio, none.p50_ms, none.p50_before_ms, none.last_error_s) == (0, None, None, None, None)
    seen = loss(
        watched(
            ChaosRequest(at_s=-1.0, ms=10.0, status=200),
            ChaosRequest(at_s=-0.5, ms=30.0, status=500, error="http_5xx"),
            ChaosRequest(at_s=0.0, ms=40.0, status=200),
            ChaosRequest(at_s=0.5, ms=None, error="refused"),
            ChaosRequest(at_s=1.0, ms=900.0, status=503, error="http_503"),
            ChaosRequest(at_s=1.5, ms=None, error="refused"),
            ChaosRequest(at_s=2.0, ms=60.0, status=200),
        )
    )
    assert (seen.sent, seen.errors, seen.worst, seen.last_error_s) == (5, 3, "refused", 1.5)
    assert (seen.p50_before_ms, seen.p50_ms, seen.max_ms) == (10.0, 40.0, 60.0)  # failed ones are no latencies


# On a real API server.

WORKLOAD = ("-n", "llm-prod", "--workload", "deployment/chat")


def plan(plane: ControlPlane, kubeconfig: Path | None = None) -> KubernetesPlan:
    return KubernetesPlan(
        kubeconfig=str(kubeconfig or plane.kubeconfig), namespace="llm-prod", workload="deployment/chat"
    )


def seen_in(plane: ControlPlane, kubeconfig: Path | None = None) -> Surroundings:
    found = look_around(plan(plane, kubeconfig))
    assert isinstance(found, Surroundings), found
    return found


@cluster
def test_the_service_and_its_ready_pods_are_found(gpu_service: ControlPlane) -> None:
    found = seen_in(gpu_service)
    assert found.subject == SUBJECT
    assert len(found.ready) == found.replicas
    assert isinstance(found.address, Address)
    service = gpu_service.get("service", found.address.service, "-n", "llm-prod")
    assert found.address.service_port in [port["port"] for port in service["spec"]["ports"]]


@cluster
def test_a_node_that_forwards_nothing_is_one_clear_error(gpu_service: ControlPlane, tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    flags = ("--kubeconfig", gpu_service.kubeconfig, "--port-forward", "--scope", "endpoint", "--no-progress")
    done = cli("run", *WORKLOAD, *flags, "-o", f"json={out}")
    report = json.loads(out.read_text())
    gates = [f["message"] for f in report["findings"] if f["gates"]]
    assert len(gates) == 1, gates
    assert "port-forward" in gates[0]
    assert (done.returncode, report["verdict"], report["target"]["reach"]) == (3, "INCOMPLETE", None)


@cluster
def test_an_account_that_may_not_forward(gpu_service: ControlPlane) -> None:
    config = gpu_service.kubeconfig_for("auditor-full", "audit")
    found = seen_in(gpu_service, config)
    assert isinstance(found.address, Address)
    with pytest.raises(ForwardError) as raised, port_forward(found, found.address, lambda _: None):
        pass
    error = raised.value.error
    assert (error.kind, error.verb, error.resource) == (FactErrorKind.DENIED, "create", "pods/portforward")
    assert error.reason == "may not create pods/portforward in llm-prod: forbidden"


@cluster
def test_replicas_that_do_not_answer_tell_nothing(gpu_service: ControlPlane) -> None:
    found = seen_in(gpu_service)
    assert isinstance(found.address, Address)
    asked = ReplicasPlan(plan(gpu_service), SUBJECT, "llm-prod", found.names, found.address.pod_port, "http", 2)
    fact = collect_replicas(asked)["endpoint.replicas"]
    assert fact.error is None
    assert [answer.pod for answer in fact.value.answers] == list(found.names)
    # Nothing answers there; what stands between (this machine's own network) may say so in its own words.
    assert all(a.models is None and a.ready is None and a.version is None for a in fact.value.answers), fact.value


@cluster
def test_replicas_denied_is_opt_in_evidence_that_nobody_gave(gpu_service: ControlPlane) -> None:
    config = gpu_service.kubeconfig_for("auditor-full", "audit")
    asked = ReplicasPlan(plan(gpu_service, config), SUBJECT, "llm-prod", ("any",), 8000, "http", 1)
    error = collect_replicas(asked)["endpoint.replicas"].error
    assert error is not None
    assert (error.kind, error.verb, error.resource) == (FactErrorKind.NOT_ASKED, "get", "pods/proxy")
    assert "may not get pods/proxy in llm-prod" in error.reason


@cluster
def test_load_through_a_port_forward_is_refused_with_advice(gpu_service: ControlPlane, tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    flags = ("--kubeconfig", gpu_service.kubeconfig, "--port-forward", "--load", "smoke", "--no-progress")
    done = cli("run", *WORKLOAD, *flags, "--scope", "load", "-o", f"json={out}")
    report = json.loads(out.read_text())
    (said,) = [f["message"] for f in report["findings"] if f["check"] == "audit-scope"]
    assert "it would measure the tunnel" in said
    assert "inside the cluster" in said
    assert report["benchmark"] is None
    assert done.returncode == 3


@cluster
def test_nothing_is_deleted_without_a_yes(gpu_service: ControlPlane, tmp_path: Path) -> None:
    before = {pod["metadata"]["uid"] for pod in gpu_service.get("pods", "-n", "llm-prod")["items"]}
    policy = tmp_path / "policy.yaml"
    policy.write_text(yaml.safe_dump({"chaos": {"targets": [SUBJECT]}}))
    flags = ("--kubeconfig", gpu_service.kubeconfig, "--url", "http://127.0.0.1:1", "--chaos")
    done = cli("run", *WORKLOAD, *flags, "-f", policy)
    assert done.returncode == 2
    assert "--chaos deletes pod chat-" in done.stderr
    assert "--chaos needs --yes: it deletes a pod" in done.stderr
    assert before == {pod["metadata"]["uid"] for pod in gpu_service.get("pods", "-n", "llm-prod")["items"]}


@cluster
def test_nothing_is_deleted_when_the_endpoint_does_not_answer(gpu_service: ControlPlane, tmp_path: Path) -> None:
    before = {pod["metadata"]["uid"] for pod in gpu_service.get("pods", "-n", "llm-prod")["items"]}
    policy, out = tmp_path / "policy.yaml", tmp_path / "report.json"
    policy.write_text(yaml.safe_dump({"chaos": {"targets": [SUBJECT]}, "scope": ["endpoint"]}))
    flags = ("--kubeconfig", gpu_service.kubeconfig, "--url", "http://127.0.0.1:1", "--chaos", "--yes")
    done = cli("run", *WORKLOAD, *flags, "-f", policy, "--no-progress", "-o", f"json={out}")
    assert done.returncode == 3
    found = [f["message"] for f in json.loads(out.read_text())["findings"] if f["check"] == "endpoint-degradation"]
    assert "did not answer a real request, so nothing was deleted" in found[0]
    assert before == {pod["metadata"]["uid"] for pod in gpu_service.get("pods", "-n", "llm-prod")["items"]}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--port-forward",), "--port-forward needs a cluster: give -n and --workload"),
        (("--replicas", "--url", "http://127.0.0.1:1"), "--replicas needs a cluster"),
        (("--chaos", "-n", "a"), "--chaos needs chaos.targets in the policy"),
    ],
)
def test_what_cannot_be_meant(tmp_path: Path, flags: tuple[str, ...], said: str) -> None:
    done = cli("run", *flags, cwd=tmp_path)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_an_api_server_that_is_not_there(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(yaml.safe_dump({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "c", "user": {"token": "invented"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
    }))  # fmt: skip
    out = tmp_path / "report.json"
    done = cli(
        "run", *WORKLOAD, "--kubeconfig", config, "--port-forward", "--scope", "cluster,endpoint", "-o", f"json={out}"
    )
    assert done.returncode == 3, done.stderr
    gates = [f["message"] for f in json.loads(out.read_text())["findings"] if f["gates"]]
    assert len(gates) == 1, gates  # one cause, for cluster and endpoint together
    assert "cannot be reached" in gates[0]


# The loss of one replica: pods that come and go by KWOK, an endpoint that is llama.cpp.

APART = """
apiVersion: v1
kind: Namespace
metadata: {name: lossy}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: chat, namespace: lossy}
spec:
  replicas: 2
  selector: {matchLabels: {app: chat}}
  template:
    metadata: {labels: {app: chat}}
    spec:
      tolerations: [{operator: Exists}]
      containers:
      - {name: server, image: "ghcr.io/ggml-org/llama.cpp:server-b6900", ports: [{name: http, containerPort: 8080}]}
"""


@pytest.fixture(scope="module")
def lossy(gpu_service: ControlPlane) -> Iterator[ControlPlane]:
    gpu_service.apply(APART)
    gpu_service.kubectl("rollout", "status", "deployment/chat", "-n", "lossy", "--timeout=60s")
    yield gpu_service
    gpu_service.kubectl("delete", "namespace", "lossy", "--wait=false")


def uids(plane: ControlPlane) -> set[str]:
    pods = plane.get("pods", "-n", "lossy")["items"]
    return {pod["metadata"]["uid"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}


@cluster
def test_one_pod_goes_and_the_endpoint_is_watched_until_it_is_back(lossy: ControlPlane, tmp_path: Path) -> None:
    before = uids(lossy)
    policy, out = tmp_path / "policy.yaml", tmp_path / "report.json"
    chaos = {"targets": ["deployment/lossy/chat"], "rate": "5/s", "before": "2s", "recovery": "60s"}
    policy.write_text(yaml.safe_dump({"chaos": chaos, "scope": ["endpoint"]}))
    with start_llamacpp(tmp_path) as url:
        flags = ("--kubeconfig", lossy.kubeconfig, "-n", "lossy", "--workload", "deployment/chat", "--url", url)
        done = cli("run", *flags, "-f", policy, "--chaos", "--yes", "--snapshot", tmp_path / "s", "-o", f"json={out}")
    seen = load(tmp_path / "s").facts["endpoint.degradation"]
    assert seen.error is None, (seen.error, done.stderr)
    assert seen.value.recovery_s is not None
    assert (seen.value.replicas, seen.value.ready, seen.value.interrupted) == (2, 2, False)
    assert len([r for r in seen.value.requests if r.at_s < 0]) >= 5
    assert [r for r in seen.value.requests if r.error] == []
    after = uids(lossy)
    assert len(before & after) == 1
    assert len(after) == 2
    found = [
        (f["outcome"], f["subject"]) for f in json.loads(out.read_text())["findings"] if "degradation" in f["check"]
    ]
    assert found == [("pass", "deployment/lossy/chat")] * 2


@cluster
def test_workers_of_a_group_are_not_asked_and_the_context_is_pinned(lossy: ControlPlane) -> None:
    asked = KubernetesPlan(kubeconfig=str(lossy.kubeconfig), namespace="lossy", workload="deployment/chat")
    found = look_around(asked)
    assert isinstance(found, Surroundings), found
    leader, worker = found.names
    for name, index in ((leader, "0"), (worker, "1")):
        lossy.kubectl("label", "pod", name, "-n", "lossy", f"leaderworkerset.sigs.k8s.io/worker-index={index}")
    try:
        seen = look_around(asked)
    finally:
        for name in found.names:
            lossy.kubectl("label", "pod", name, "-n", "lossy", "leaderworkerset.sigs.k8s.io/worker-index-")
    assert isinstance(seen, Surroundings), seen
    assert seen.names == (leader,)
    contexts = yaml.safe_load(lossy.kubeconfig.read_text())
    assert seen.kubernetes.context == contexts["current-context"]


@cluster
def test_ctrl_c_during_the_watch_keeps_what_was_seen(lossy: ControlPlane, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    chaos = {"targets": ["deployment/lossy/chat"], "rate": "5/s", "before": "30s"}
    policy.write_text(yaml.safe_dump({"chaos": chaos, "scope": ["endpoint"]}))
    before = uids(lossy)
    with start_llamacpp(tmp_path) as url:
        flags = ["--kubeconfig", lossy.kubeconfig, "-n", "lossy", "--workload", "deployment/chat", "--url", url]
        flags += ["-f", policy, "--chaos", "--yes", "--snapshot", tmp_path / "s", "-o", f"json={tmp_path / 'r.json'}"]
        command = [sys.executable, "-m", "inferaudit.cli.app", "run", *map(str, flags)]
        run = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        assert run.stderr is not None
        for line in run.stderr:
            if "chaos: watching" in line:
                break
        run.send_signal(signal.SIGINT)
        _, rest = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "Traceback" not in rest
    snapshot = load(tmp_path / "s")
    assert snapshot.interrupted
    assert snapshot.facts["endpoint.plain"].error is None
    error = snapshot.facts["endpoint.degradation"].error
    assert error is not None
    assert "interrupted before anything was deleted" in error.reason
    assert uids(lossy) == before


# A port-forward through a real API server and KWOK's kubelet, which leads port 8000 of its pods to a llama.cpp here.

TUNNEL = """
apiVersion: v1
kind: Namespace
metadata: {name: tunnel}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: chat, namespace: tunnel}
spec:
  replicas: 2
  selector: {matchLabels: {app: chat}}
  template:
    metadata: {labels: {app: chat}}
    spec:
      tolerations: [{operator: Exists}]
      containers:
      - {name: server, image: "ghcr.io/ggml-org/llama.cpp:server-b6900", ports: [{name: http, containerPort: 8000}]}
---
apiVersion: v1
kind: Service
metadata: {name: chat, namespace: tunnel}
spec: {selector: {app: chat}, ports: [{name: http, port: 80, targetPort: http}]}
"""
THERE = ("-n", "tunnel", "--workload", "deployment/chat")


@pytest.fixture(scope="module")
def tunnel(gpu_service: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    folder = tmp_path_factory.mktemp("tunnel")
    gpu_service.apply(TUNNEL)
    gpu_service.kubectl("rollout", "status", "deployment/chat", "-n", "tunnel", "--timeout=60s")
    write_tiny_gguf(folder / "tiny.gguf")
    processes = Processes(folder)
    program = [
        "-m",
        "inferaudit.demo_server",
        "--model",
        str(folder / "tiny.gguf"),
        "--port",
        str(gpu_service.forwarded),
    ]
    processes.start("llamacpp", Path(sys.executable), *program)
    try:
        processes.until("llama.cpp ready", lambda: is_ready(f"http://127.0.0.1:{gpu_service.forwarded}/health"))
        yield gpu_service
    finally:
        processes.stop()
        gpu_service.kubectl("delete", "namespace", "tunnel", "--wait=false")


def there(plane: ControlPlane) -> tuple[Surroundings, Address]:
    found = look_around(
        KubernetesPlan(kubeconfig=str(plane.kubeconfig), namespace="tunnel", workload="deployment/chat")
    )
    assert isinstance(found, Surroundings), found
    assert isinstance(found.address, Address)
    return found, found.address


def audited(plane: ControlPlane, out: Path, *flags: object) -> tuple[int, dict[str, Any], str]:
    done = cli("run", *THERE, "--kubeconfig", plane.kubeconfig, "--no-progress", "-o", f"json={out}", *flags)
    assert out.exists(), done.stderr
    return done.returncode, json.loads(out.read_text()), done.stderr


def answers(port: int) -> int:
    return ask("GET", f"http://127.0.0.1:{port}/health", timeout_s=30)[0]


def told_by(report: dict[str, Any], check: str) -> list[tuple[str, str]]:
    return [(f["outcome"], f["message"]) for f in report["findings"] if f["check"] == check]


@cluster
def test_every_probe_goes_through_and_the_report_names_the_pod(tunnel: ControlPlane, tmp_path: Path) -> None:
    flags = ("--port-forward", "--scope", "cluster,endpoint,load", "--load", "smoke", "--select", "endpoint,load")
    code, report, errors = audited(tunnel, tmp_path / "report.json", *flags)
    reach = report["target"]["reach"]
    assert reach["pod"] in {pod["metadata"]["name"] for pod in tunnel.get("pods", "-n", "tunnel")["items"]}
    assert (reach["how"], reach["service"], reach["service_port"], reach["pod_port"]) == (
        "port_forward",
        "chat",
        80,
        8000,
    )
    assert f"port-forward: pod {reach['pod']}, port 8000, in tunnel" in errors
    assert report["target"]["runtime"]["name"] == "llamacpp"
    for check in ("endpoint-ready", "endpoint-plain-answer", "endpoint-stream", "endpoint-model-served"):
        assert {outcome for outcome, _ in told_by(report, check)} == {"pass"}, told_by(report, check)
    said = f"asked through a port-forward to pod {reach['pod']}, port 8000"
    assert told_by(report, "endpoint-serves-workload") == [("pass", said)]
    # The name in findings is the Service's, not the port that happened to be free.
    assert {f["subject"] for f in report["findings"] if f["check"] == "endpoint-stream"} == {
        "endpoint/chat.tunnel.svc:80"
    }
    assert report["benchmark"] is None
    assert any("it would measure the tunnel" in message for _, message in told_by(report, "audit-scope"))
    assert (code, report["verdict"]) == (3, "INCOMPLETE")
    text = cli("render", tmp_path / "report.json", "-o", "markdown").stdout
    assert "port-forward to pod" in text


@cluster
def test_it_listens_on_this_machine_alone_and_is_gone_afterwards(tunnel: ControlPlane) -> None:
    found, address = there(tunnel)
    before = set(threading.enumerate())
    with port_forward(found, address, lambda _: None) as opened:
        assert answers(opened.port) == 200
        assert opened._listener is not None
        assert opened._listener.getsockname() == ("127.0.0.1", opened.port)
    with pytest.raises(OSError, match=r"refused|reset"):
        socket.create_connection(("127.0.0.1", opened.port), timeout=1)
    tunnel.wait("its threads to end", lambda: not {t for t in threading.enumerate() if t.is_alive()} - before)


@cluster
def test_connections_beyond_the_bound_are_turned_away(tunnel: ControlPlane) -> None:
    found, address = there(tunnel)
    with port_forward(found, address, lambda _: None) as opened, contextlib.ExitStack() as held:
        for _ in range(MAX_CONNECTIONS):
            held.enter_context(socket.create_connection(("127.0.0.1", opened.port), timeout=5))
        tunnel.wait("all to be taken", lambda: opened._slots._value == 0)
        beyond = held.enter_context(socket.create_connection(("127.0.0.1", opened.port), timeout=5))
        assert beyond.recv(1) == b""


@cluster
def test_it_moves_to_another_pod_once(tunnel: ControlPlane) -> None:
    found, address = there(tunnel)
    with port_forward(found, address, lambda _: None) as opened:
        first = opened.pod
        tunnel.kubectl("delete", "pod", first, "-n", "tunnel", "--grace-period=0", "--force")
        assert answers(opened.port) == 200
        assert (opened.pod != first, opened.reconnects) == (True, 1)
        tunnel.kubectl("delete", "pod", opened.pod, "-n", "tunnel", "--grace-period=0", "--force")
        with pytest.raises((OSError, http.client.HTTPException)):
            answers(opened.port)
        deadline = time.monotonic() + 10  # the caller's end closes before the tunnel has put down why
        while opened.failure is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert opened.failure is not None
        assert "not found" in opened.failure.error.reason
    tunnel.kubectl("rollout", "status", "deployment/chat", "-n", "tunnel", "--timeout=60s")


@cluster
def test_no_other_pod_is_sought_with_a_kubeconfig_that_is_gone(tunnel: ControlPlane, tmp_path: Path) -> None:
    found, address = there(tunnel)
    config = tmp_path / "config"
    config.write_bytes(tunnel.kubeconfig.read_bytes())
    moved = dataclasses.replace(found, kubernetes=dataclasses.replace(found.kubernetes, kubeconfig=str(config)))
    with port_forward(moved, address, lambda _: None) as opened:
        assert opened.another() is not None
        config.unlink()
        assert opened.another() is None


@cluster
def test_a_port_that_leads_nowhere_is_one_clear_error(tunnel: ControlPlane, tmp_path: Path) -> None:
    wrong = json.dumps([{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 9090}])
    tunnel.kubectl("patch", "service", "chat", "-n", "tunnel", "--type=json", "-p", wrong)
    try:
        code, report, _ = audited(tunnel, tmp_path / "report.json", "--port-forward", "--scope", "endpoint")
    finally:
        right = wrong.replace("9090", '"http"')
        tunnel.kubectl("patch", "service", "chat", "-n", "tunnel", "--type=json", "-p", right)
    gates = [f["message"] for f in report["findings"] if f["gates"]]
    assert len(gates) == 1, gates
    assert "the port-forward does not lead anywhere" in gates[0]
    assert "port 9090" in gates[0]
    assert (code, report["target"]["reach"]) == (3, None)


@cluster
def test_without_a_service_the_pods_port_is_asked(tunnel: ControlPlane, tmp_path: Path) -> None:
    selector = json.dumps({"spec": {"selector": {"app": "nobody"}}})
    tunnel.kubectl("patch", "service", "chat", "-n", "tunnel", "-p", selector)
    try:
        _, report, errors = audited(tunnel, tmp_path / "report.json", "--port-forward", "--scope", "endpoint")
    finally:
        tunnel.kubectl("patch", "service", "chat", "-n", "tunnel", "-p", selector.replace("nobody", "chat"))
    assert (report["target"]["reach"]["service"], report["target"]["reach"]["pod_port"]) == (None, 8000)
    assert "no Service selects the pods: port 8000 of the pod itself is asked" in errors
    assert {outcome for outcome, _ in told_by(report, "endpoint-stream")} == {"pass"}


@cluster
def test_no_ready_pod_is_said(tunnel: ControlPlane) -> None:
    found, address = there(tunnel)
    with pytest.raises(ForwardError, match="no pod of deployment/tunnel/chat is ready") as raised:
        port_forward(dataclasses.replace(found, ready=()), address, lambda _: None).__enter__()
    assert raised.value.error.kind is FactErrorKind.FAILED


@cluster
def test_ctrl_c_closes_it_and_keeps_what_was_seen(tunnel: ControlPlane, tmp_path: Path) -> None:
    flags = [*THERE, "--kubeconfig", tunnel.kubeconfig, "--port-forward", "--scope", "cluster,endpoint"]
    flags += ["--no-progress", "--snapshot", tmp_path / "s", "-o", f"json={tmp_path / 'r.json'}"]
    command = [sys.executable, "-m", "inferaudit.cli.app", "run", *map(str, flags)]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert run.stderr is not None
    for line in run.stderr:
        if "port-forward: pod" in line:
            break
    run.send_signal(signal.SIGINT)
    _, rest = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "Traceback" not in rest
    assert load(tmp_path / "s").interrupted
