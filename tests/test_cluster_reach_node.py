"""Reaching real pods: a port-forward of our own, the Service's name from inside, each replica asked, one lost."""

from __future__ import annotations

import http.client
import importlib.metadata
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from corpus import patches
from support.certificates import certificate
from support.cluster import ControlPlane, start_control_plane
from support.images import docker_archive, interpreter, python_files
from support.llama import LLAMA_IMAGE, llama_image
from support.node import REAL, Node, start_node

from inferaudit.collect.port_forward import ForwardError, port_forward
from inferaudit.collect.reach import Surroundings, look_around
from inferaudit.model import FactErrorKind
from inferaudit.plan import KubernetesPlan
from inferaudit.serving_address import Address
from inferaudit.snapshot import load
from inferaudit.snapshot_line import from_log

# One machine holds one real node: the file's name puts it before those that share the session's.
pytestmark = [pytest.mark.node, pytest.mark.timeout(300), pytest.mark.xdist_group("node")]

SERVICE = Path(__file__).parent / "fixtures" / "node"
IMAGE = "ghcr.io/ggml-org/llama.cpp:server-b6900"  # the name by which the runtime is recognised
OURS = "test.inferaudit.dev/inferaudit:1"
KEY = "sk-invented-for-tests"
SPACE, SEALED = "reached", "sealed"


def dependencies(name: str, seen: set[str]) -> Iterator[Path]:
    """The packages that a distribution installs, and those of all it requires."""
    distribution = importlib.metadata.distribution(name)
    for path in distribution.files or ():
        top = path.parts[0]
        if top not in seen and top != ".." and not top.endswith((".dist-info", ".pth")) and top != "__pycache__":
            seen.add(top)
            yield Path(str(distribution.locate_file(top)))
    for requirement in distribution.requires or ():
        wanted = re.split(r"[^A-Za-z0-9._-]", requirement)[0]
        if "extra ==" not in requirement and f"={wanted}" not in seen:
            seen.add(f"={wanted}")
            try:
                yield from dependencies(wanted, seen)
            except importlib.metadata.PackageNotFoundError:
                continue  # for another platform or Python


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("node-reach")
    llama_image(folder / "llama.tar")
    own = Path(__file__).parent.parent / "inferaudit"
    needed = [path for path in dependencies("inferaudit", set()) if path.exists() and path.name != own.name]
    files = python_files(own, *needed)
    docker_archive(folder / "own.tar", OURS, files, entrypoint=[str(interpreter()), "-m", "inferaudit.cli.app"])
    with (
        start_control_plane(folder / "plane") as plane,
        start_node(plane, folder / "node", archives=[folder / "llama.tar", folder / "own.tar"]) as node,
    ):
        address = f"--address={folder / 'node' / 'containerd.sock'}"
        tag = ["ctr", address, "--namespace=k8s.io", "images", "tag", LLAMA_IMAGE, IMAGE]
        subprocess.run(tag, check=True, capture_output=True, timeout=30)
        install(plane)
        yield node


def install(plane: ControlPlane) -> None:
    """The right service with two replicas, that end at once when they are told to."""
    objects = [each for each in yaml.safe_load_all((SERVICE / "chat.yaml").read_text()) if each]
    small = {"set": {"resources": {"requests": {"cpu": "10m"}}, "lifecycle": {"preStop": {"sleep": {"seconds": 2}}}}}
    changed = {"target": "deployment/llm/chat", "merge": {"spec": {"replicas": 2}}, "container": small}
    text = yaml.safe_dump_all(patches.apply(objects, [changed])).replace("namespace: llm", f"namespace: {SPACE}")
    plane.apply(text.replace("name: llm\n", f"name: {SPACE}\n"))
    plane.kubectl("rollout", "status", "deployment/chat", "-n", SPACE, "--timeout=120s")


# Ends TLS beside the server, as a mesh's or a proxy's side-car does.
_TLS_SIDECAR = """
import socket, ssl, threading

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tls/tls.crt", "/tls/tls.key")

def relay(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass

def serve(plain):
    try:
        sealed = context.wrap_socket(plain, server_side=True)
    except OSError:
        return
    server = socket.create_connection(("127.0.0.1", 8080))
    threading.Thread(target=relay, args=(server, sealed), daemon=True).start()
    relay(sealed, server)

with socket.create_server(("0.0.0.0", 8443), backlog=64) as listening:
    while True:
        threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()
"""


def sealed(plane: ControlPlane, folder: Path) -> None:
    """The same service with TLS at its only port, in a namespace of its own."""
    chain, key = certificate(folder, name=f"DNS:chat.{SEALED}.svc")
    objects = [each for each in yaml.safe_load_all((SERVICE / "chat.yaml").read_text()) if each]
    small = {"set": {"resources": {"requests": {"cpu": "10m"}}}}
    deployment = {"target": "deployment/llm/chat", "merge": {"spec": {"replicas": 1}}, "container": small}
    port = {"name": "https", "port": 443, "targetPort": "https"}
    service = {"target": "service/llm/chat", "merge": {"spec": {"ports": [port]}}}
    changed = patches.apply(objects, [deployment, service])
    (template,) = (each["spec"]["template"]["spec"] for each in changed if each["kind"] == "Deployment")
    template["volumes"] = [{"name": "tls", "projected": {"sources": [
        {"secret": {"name": "chat-tls"}}, {"configMap": {"name": "sidecar"}}]}}]  # fmt: skip
    template["containers"].append({
        "name": "tls", "image": IMAGE, "imagePullPolicy": "Never",
        "command": [str(interpreter()), "/tls/sidecar.py"],
        "ports": [{"name": "https", "containerPort": 8443}],
        "volumeMounts": [{"name": "tls", "mountPath": "/tls"}],
        "securityContext": template["containers"][0]["securityContext"],
    })  # fmt: skip
    meta = {"namespace": "llm"}
    changed.append({"apiVersion": "v1", "kind": "Secret", "metadata": {**meta, "name": "chat-tls"},
                    "type": "kubernetes.io/tls",
                    "stringData": {"tls.crt": chain.read_text(), "tls.key": key.read_text()}})  # fmt: skip
    changed.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**meta, "name": "sidecar"},
                    "data": {"sidecar.py": _TLS_SIDECAR}})  # fmt: skip
    text = yaml.safe_dump_all(changed).replace("namespace: llm", f"namespace: {SEALED}")
    plane.apply(text.replace("name: llm\n", f"name: {SEALED}\n"))
    plane.kubectl("rollout", "status", "deployment/chat", "-n", SEALED, "--timeout=120s")


def start(kubeconfig: Path, folder: Path, *flags: object, namespace: str = SPACE) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "inferaudit.cli.app", "run", "--kubeconfig", str(kubeconfig), "-n", namespace]
    command += ["--workload", "deployment/chat", "--no-progress", "-o", f"json={folder / 'report.json'}"]
    command += ["--snapshot", str(folder / "snapshot"), "--api-key-env", "CHAT_KEY"]
    return subprocess.Popen(
        [*command, *map(str, flags)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CHAT_KEY": KEY},
    )


def audit(kubeconfig: Path, folder: Path, *flags: object, namespace: str = SPACE) -> tuple[int, dict[str, Any], str]:
    """Exit code, report and stderr of `inferaudit run` as a process."""
    run = start(kubeconfig, folder, *flags, namespace=namespace)
    _, errors = run.communicate(timeout=240)
    assert "Traceback" not in errors, errors
    assert KEY not in errors
    assert (folder / "report.json").exists(), errors
    return run.returncode, json.loads((folder / "report.json").read_text()), errors


def said(report: dict[str, Any], check: str) -> list[tuple[str, str]]:
    return [(f["outcome"], f["message"]) for f in report["findings"] if f["check"] == check]


def around(plane: ControlPlane, kubeconfig: Path | None = None) -> Surroundings:
    plan = KubernetesPlan(kubeconfig=str(kubeconfig or plane.kubeconfig), namespace=SPACE, workload="deployment/chat")
    found = look_around(plan)
    assert isinstance(found, Surroundings), found
    return found


def health(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_port_forward_answers_every_probe_and_refuses_the_load(node: Node, tmp_path: Path) -> None:
    flags = ("--port-forward", "--scope", "cluster,endpoint,load", "--load", "smoke", "--yes")
    flags += ("--select", "endpoint,load,sla")  # whether the objects are right is another question
    code, report, errors = audit(node.plane.kubeconfig, tmp_path, *flags)
    reach = report["target"]["reach"]
    pods = {pod["metadata"]["name"] for pod in node.plane.get("pods", "-n", SPACE)["items"]}
    assert reach["how"] == "port_forward"
    assert reach["pod"] in pods
    assert (reach["service"], reach["service_port"], reach["pod_port"], reach["reconnects"]) == ("chat", 80, 8080, 0)
    assert f"port-forward: pod {reach['pod']}, port 8080" in errors
    assert report["target"]["runtime"]["name"] == "llamacpp"
    for check in (
        "endpoint-live",
        "endpoint-ready",
        "endpoint-plain-answer",
        "endpoint-stream",
        "endpoint-model-served",
    ):
        assert {outcome for outcome, _ in said(report, check)} == {"pass"}, said(report, check)
    assert said(report, "endpoint-serves-workload") == [
        ("pass", f"asked through a port-forward to pod {reach['pod']}, port 8080")
    ]
    subjects = {f["subject"] for f in report["findings"] if f["check"] == "endpoint-live"}
    assert subjects == {f"endpoint/chat.{SPACE}.svc:80"}  # not the port that happened to be free
    assert report["benchmark"] is None
    load_rows = [m for o, m in said(report, "audit-scope") if "load" in m]
    assert "it would measure the tunnel" in load_rows[0]
    assert "NodePort" in load_rows[0]
    assert code == 3
    rendered = subprocess.run(
        [sys.executable, "-m", "inferaudit.cli.app", "render", str(tmp_path / "report.json"), "-o", "markdown"],
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip
    assert "port-forward to pod" in rendered


def test_a_port_forward_speaks_tls_where_the_service_does(node: Node, tmp_path: Path) -> None:
    plane = node.plane
    try:
        sealed(plane, tmp_path)
        flags = ("--port-forward", "--scope", "cluster,endpoint", "--select", "endpoint")
        code, report, _ = audit(plane.kubeconfig, tmp_path, *flags, namespace=SEALED)
    finally:
        plane.kubectl("delete", "namespace", SEALED, "--wait=false", "--ignore-not-found")
    reach = report["target"]["reach"]
    assert (reach["how"], reach["service_port"], reach["pod_port"]) == ("port_forward", 443, 8443)
    assert report["target"]["runtime"]["name"] == "llamacpp"
    for check in ("endpoint-live", "endpoint-ready", "endpoint-plain-answer", "endpoint-stream"):
        assert {outcome for outcome, _ in said(report, check)} == {"pass"}, said(report, check)
    # The certificate is for another name than 127.0.0.1, and is not this way's to judge.
    tls = {f["check"]: f["outcome"] for f in report["findings"] if f["check"].startswith("endpoint-tls")}
    assert tls["endpoint-tls-chain"] == tls["endpoint-tls-host"] == "unknown", tls
    assert code in (1, 3)


def test_it_listens_on_this_machine_alone_and_is_gone_afterwards(node: Node) -> None:
    seen = around(node.plane)
    assert isinstance(seen.address, Address)
    threads = set(threading.enumerate())
    with port_forward(seen, seen.address, lambda _: None) as tunnel:
        listening = subprocess.run(["ss", "-ltnH"], capture_output=True, text=True, check=True, timeout=10).stdout
        assert [line.split()[3] for line in listening.splitlines() if f":{tunnel.port} " in line] == [
            f"127.0.0.1:{tunnel.port}"
        ]
        assert health(tunnel.port) == 200
    with pytest.raises(OSError, match=r"refused|reset"):
        socket.create_connection(("127.0.0.1", tunnel.port), timeout=1)
    left = [t.name for t in threading.enumerate() if t not in threads and t.is_alive()]
    deadline = time.monotonic() + 5
    while left and time.monotonic() < deadline:
        time.sleep(0.1)
        left = [t.name for t in threading.enumerate() if t not in threads and t.is_alive()]
    assert left == []


def test_when_its_pod_goes_away_it_moves_to_another_once(node: Node) -> None:
    seen = around(node.plane)
    assert isinstance(seen.address, Address)
    with port_forward(seen, seen.address, lambda _: None) as tunnel:
        first = tunnel.pod
        assert health(tunnel.port) == 200
        node.plane.kubectl("delete", "pod", first, "-n", SPACE, "--grace-period=1", "--timeout=60s")
        assert health(tunnel.port) == 200
        assert tunnel.pod != first
        assert tunnel.reconnects == 1
    node.plane.kubectl("rollout", "status", "deployment/chat", "-n", SPACE, "--timeout=120s")


def test_a_port_that_nothing_listens_on_is_said(node: Node, tmp_path: Path) -> None:
    plane = node.plane
    wrong = json.dumps([{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 9090}])
    plane.kubectl("patch", "service", "chat", "-n", SPACE, "--type=json", "-p", wrong)
    try:
        code, report, errors = audit(plane.kubeconfig, tmp_path, "--port-forward", "--scope", "endpoint")
    finally:
        right = wrong.replace("9090", '"http"')
        plane.kubectl("patch", "service", "chat", "-n", SPACE, "--type=json", "-p", right)
    # The kubelet says that it was refused, or the connection just ends: it tells both in no fixed order.
    assert "the port-forward does not lead anywhere" in errors
    gates = [f["message"] for f in report["findings"] if f["gates"]]
    assert len(gates) == 1, gates
    assert "port 9090" in gates[0]
    assert (code, report["verdict"]) == (3, "INCOMPLETE")


def test_without_a_service_the_pods_own_port_is_asked_and_that_is_said(node: Node, tmp_path: Path) -> None:
    plane = node.plane
    selector = json.dumps({"spec": {"selector": {"app.kubernetes.io/name": "nobody"}}})
    plane.kubectl("patch", "service", "chat", "-n", SPACE, "-p", selector)
    try:
        _, report, errors = audit(plane.kubeconfig, tmp_path, "--port-forward", "--scope", "endpoint")
    finally:
        plane.kubectl("patch", "service", "chat", "-n", SPACE, "-p", selector.replace("nobody", "chat"))
    reach = report["target"]["reach"]
    assert (reach["service"], reach["pod_port"]) == (None, 8080)
    assert "no Service selects the pods" in reach["note"]
    assert "no Service selects the pods" in errors
    assert {outcome for outcome, _ in said(report, "endpoint-live")} == {"pass"}


def grant(plane: ControlPlane, name: str, *optional: str) -> Path:
    """The kubeconfig of an account with exactly what `generate rbac` prints for it."""
    command = [sys.executable, "-m", "inferaudit.cli.app", "generate", "rbac", "-n", SPACE, "--service-account", name]
    command += ["--kubeconfig", str(plane.kubeconfig), "--workload", "deployment/chat"]
    done = subprocess.run(
        [*command, *(f"--with={each}" for each in optional)], capture_output=True, text=True, timeout=60, check=True
    )
    # Roles have one name whoever they are for: each account's get its own, so that they do not share their bindings.
    documents = [each for each in yaml.safe_load_all(done.stdout) if each]
    for document in documents:
        if document["kind"] != "ServiceAccount":
            document["metadata"]["name"] += f"-{name}"
        if "roleRef" in document:
            document["roleRef"]["name"] += f"-{name}"
    plane.apply(yaml.safe_dump_all(documents))
    return plane.kubeconfig_for(name, SPACE)


def test_the_optional_role_is_what_it_takes_and_without_it_that_is_said(node: Node, tmp_path: Path) -> None:
    denied = grant(node.plane, "without")
    code, report, errors = audit(denied, tmp_path, "--port-forward", "--scope", "endpoint")
    assert "may not create pods/portforward in reached: forbidden" in errors
    gates = [f["message"] for f in report["findings"] if f["gates"]]
    assert len(gates) == 1, gates
    assert "--with port-forward" in gates[0]
    assert code == 3
    granted = grant(node.plane, "with", "port-forward", "proxy")
    _, report, errors = audit(granted, tmp_path, "--port-forward", "--replicas", "--scope", "cluster,endpoint")
    assert report["target"]["reach"]["how"] == "port_forward", errors
    assert {outcome for outcome, _ in said(report, "endpoint-replica-ready")} == {"pass"}


def test_ctrl_c_closes_it_and_keeps_what_was_seen(node: Node, tmp_path: Path) -> None:
    run = start(node.plane.kubeconfig, tmp_path, "--port-forward", "--scope", "cluster,endpoint")
    assert run.stderr is not None
    heard = []
    for line in run.stderr:
        heard.append(line)
        if "port-forward: pod" in line:
            break
    run.send_signal(signal.SIGINT)
    _, rest = run.communicate(timeout=60)
    assert run.returncode == 130, heard
    assert "Traceback" not in "".join(heard) + rest
    assert load(tmp_path / "snapshot").interrupted


def test_each_replica_is_asked_by_itself(node: Node, tmp_path: Path) -> None:
    _, report, _ = audit(node.plane.kubeconfig, tmp_path, "--replicas", "--scope", "endpoint")
    assert said(report, "endpoint-replica-ready") == [("pass", "all 2 say ready on /health")]
    # The server lists its models only to callers with its key, which the proxy does not pass on.
    assert said(report, "endpoint-replica-models") == [
        ("unknown", "no replica tells its models: GET /v1/models answered 401")
    ]
    outcome, message = said(report, "endpoint-replica-version")[0]
    assert (outcome, "all of 2 of 2 ready pods run" in message) == ("pass", True), message


def test_replicas_denied_names_the_verb_and_blocks_nothing(node: Node, tmp_path: Path) -> None:
    _, report, _ = audit(grant(node.plane, "noproxy"), tmp_path, "--replicas", "--scope", "endpoint")
    for check in ("endpoint-replica-ready", "endpoint-replica-models", "endpoint-replica-version"):
        (finding,) = [f for f in report["findings"] if f["check"] == check]
        assert (finding["outcome"], finding["severity"], finding["gates"]) == ("unknown", "low", False)
        assert "may not get pods/proxy in reached" in finding["message"]
        assert "--with proxy" in finding["message"]


def url_of(plane: ControlPlane) -> str:
    return f"http://127.0.0.1:{plane.get('service', 'chat', '-n', SPACE)['spec']['ports'][0]['nodePort']}"


def chaos_policy(folder: Path, **changes: Any) -> Path:
    path = folder / "inferaudit.yaml"
    chaos = {"targets": [f"deployment/{SPACE}/chat"], "rate": "4/s", "before": "3s", "recovery": "90s", **changes}
    path.write_text(yaml.safe_dump({"chaos": chaos, "scope": ["endpoint"]}))
    return path


def test_the_loss_of_one_replica_is_measured(node: Node, tmp_path: Path) -> None:
    plane = node.plane
    before = {pod["metadata"]["uid"] for pod in plane.get("pods", "-n", SPACE)["items"]}
    flags = ("-f", chaos_policy(tmp_path), "--url", url_of(plane), "--chaos", "--yes")
    _, report, errors = audit(plane.kubeconfig, tmp_path, *flags)
    assert "--chaos deletes pod chat-" in errors
    seen = load(tmp_path / "snapshot").facts["endpoint.degradation"]
    assert seen.error is None, seen.error
    assert seen.value.recovery_s is not None
    assert 0 < seen.value.recovery_s < 90
    assert len([r for r in seen.value.requests if r.at_s < 0]) >= 6
    after = {pod["metadata"]["uid"] for pod in plane.get("pods", "-n", SPACE)["items"]}
    assert len(before - after) == 1  # one pod, and no other
    outcomes = {key: outcome for outcome, key in said(report, "endpoint-degradation")}
    assert len(outcomes) == 2
    assert [o for m, o in outcomes.items() if "ready again" in m] == ["pass"], outcomes


def test_a_pod_nobody_may_delete_is_not_deleted(node: Node, tmp_path: Path) -> None:
    plane = node.plane
    before = {pod["metadata"]["uid"] for pod in plane.get("pods", "-n", SPACE)["items"]}
    account = grant(plane, "nochaos")
    flags = ("-f", chaos_policy(tmp_path), "--url", url_of(plane), "--chaos", "--yes")
    code, report, _ = audit(account, tmp_path, *flags)
    assert "may not delete pods in reached: forbidden" in said(report, "endpoint-degradation")[0][1]
    assert code in (1, 3)
    assert before == {pod["metadata"]["uid"] for pod in plane.get("pods", "-n", SPACE)["items"]}


def test_one_replica_is_left_alone(node: Node, tmp_path: Path) -> None:
    plane = node.plane
    plane.kubectl("scale", "deployment/chat", "-n", SPACE, "--replicas=1")
    try:
        plane.wait("one pod", lambda: len(plane.get("pods", "-n", SPACE)["items"]) == 1, timeout_s=120)
        (pod,) = plane.get("pods", "-n", SPACE)["items"]
        flags = ("-f", chaos_policy(tmp_path), "--url", url_of(plane), "--chaos", "--yes")
        _, report, _ = audit(plane.kubeconfig, tmp_path, *flags)
        assert "fewer than two replicas (1 wanted, 1 ready)" in said(report, "endpoint-degradation")[0][1]
        assert plane.get("pods", "-n", SPACE)["items"][0]["metadata"]["uid"] == pod["metadata"]["uid"]
    finally:
        plane.kubectl("scale", "deployment/chat", "-n", SPACE, "--replicas=2")
        plane.kubectl("rollout", "status", "deployment/chat", "-n", SPACE, "--timeout=120s")


def test_from_inside_the_cluster_the_services_name_is_asked(node: Node) -> None:
    """Our own program in a pod, with its own account: no URL and no port-forward is needed."""
    plane = node.plane
    grant(plane, "inside")
    service = plane.get("service", "chat", "-n", SPACE)
    port = plane.url.rpartition(":")[2]
    # No DNS server runs here and the API server listens on the loopback address alone: the pod is told both.
    pod = f"""
apiVersion: v1
kind: Pod
metadata: {{name: auditor, namespace: {SPACE}}}
spec:
  restartPolicy: Never
  serviceAccountName: inside
  hostNetwork: true
  nodeSelector: {{{REAL}: "true"}}
  hostAliases: [{{ip: {service["spec"]["clusterIP"]}, hostnames: [chat.{SPACE}.svc]}}]
  containers:
  - name: auditor
    image: {OURS}
    imagePullPolicy: Never
    args: [collect, -n, {SPACE}, --workload, deployment/chat, --scope, endpoint, --api-key-env, CHAT_KEY,
           --no-progress, --snapshot, "-"]
    env:
    - {{name: KUBERNETES_SERVICE_HOST, value: 127.0.0.1}}
    - {{name: KUBERNETES_SERVICE_PORT, value: "{port}"}}
    - {{name: CHAT_KEY, value: {KEY}}}
"""
    plane.kubectl("label", "namespace", SPACE, "pod-security.kubernetes.io/enforce=privileged", "--overwrite")
    plane.apply(pod)

    def ended() -> str | None:
        phase = plane.get("pod", "auditor", "-n", SPACE)["status"].get("phase")
        return phase if phase in ("Succeeded", "Failed") else None

    plane.wait("our pod to end", ended, timeout_s=120)
    log = plane.kubectl("logs", "auditor", "-n", SPACE)
    assert f"endpoint: http://chat.{SPACE}.svc:80, the Service's name in this cluster" in log
    facts = from_log(log)
    reach = facts["endpoint.reach"].value
    assert (reach.how, reach.url) == ("service", f"http://chat.{SPACE}.svc:80")
    assert facts["endpoint.target"].value.host == f"chat.{SPACE}.svc"
    assert facts["endpoint.plain"].value.status == 200
    assert KEY not in log


def test_no_ready_pod_is_said(node: Node) -> None:
    plane = node.plane
    plane.kubectl("scale", "deployment/chat", "-n", SPACE, "--replicas=0")
    try:
        plane.wait("no pod", lambda: not around(plane).ready, timeout_s=60)
        seen = around(plane)
        assert isinstance(seen.address, Address)
        with pytest.raises(ForwardError, match="no pod of deployment/reached/chat is ready") as raised:
            port_forward(seen, seen.address, lambda _: None).__enter__()
        assert raised.value.error.kind is FactErrorKind.FAILED
    finally:
        plane.kubectl("scale", "deployment/chat", "-n", SPACE, "--replicas=2")
        plane.kubectl("rollout", "status", "deployment/chat", "-n", SPACE, "--timeout=120s")
