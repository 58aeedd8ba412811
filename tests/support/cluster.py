"""A real Kubernetes control plane for tests, with KWOK nodes and pods.

etcd, the API server, the controller manager, the scheduler and KWOK run as
ordinary processes on loopback ports: no root, no container runtime, no
network. `make controlplane` builds them once. See docs/dev/real-parts.md.

Use it by one import in conftest.py:

    from support.cluster import control_plane, gpu_service  # noqa: F401
"""

import argparse
import contextlib
import csv
import http.client
import json
import os
import secrets
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from .processes import ProcessError, Processes, free_port

TESTS = Path(__file__).resolve().parent.parent
BUILD = TESTS / "controlplane" / "build.sh"
CRDS = TESTS / "fixtures" / "crds"
SERVICE = TESTS / "fixtures" / "service"
MAKES_PODS = {"DaemonSet", "Deployment", "StatefulSet"}

T = TypeVar("T")


class ClusterError(RuntimeError):
    """The control plane, or kubectl against it, did not do what was asked."""


@dataclass(frozen=True)
class ControlPlane:
    """A running control plane. `kubeconfig` is the administrator's."""

    folder: Path
    url: str
    ca: Path
    token: str = field(repr=False)
    kubeconfig: Path
    audit_log: Path  # JSON lines of audit.k8s.io/v1 Event; only with audit_log=True
    forwarded: int = 0  # the port of this machine that port 8000 of every KWOK pod is forwarded to

    def kubectl(self, *args: str, input: str | None = None, kubeconfig: Path | None = None) -> str:
        """What kubectl prints; ClusterError with its complaint when it fails."""
        # A discovery cache of its own: the user's is keyed by address, and ports come round again.
        command = ["kubectl", f"--kubeconfig={kubeconfig or self.kubeconfig}", f"--cache-dir={self.folder / 'kubectl'}"]
        done = subprocess.run([*command, *args], input=input, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise ClusterError(f"kubectl {' '.join(args)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def get(self, *args: str) -> Any:
        """`kubectl get … -o json`, decoded."""
        return json.loads(self.kubectl("get", *args, "-o", "json"))

    def apply(self, what: Path | str) -> None:
        """Applies a file, every YAML file directly in a folder, or YAML text."""
        if isinstance(what, Path):
            self.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(what))
        else:
            self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=what)

    def patch_status(self, kind: str, name: str, status: Mapping[str, Any], namespace: str | None = None) -> None:
        """Merges into an object's status: what its controller, kubelet or driver would have said."""
        place = ["-n", namespace] if namespace else []
        patch = json.dumps({"status": status})
        self.kubectl("patch", kind, name, *place, "--subresource=status", "--type=merge", "-p", patch)

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """One API call as the administrator, decoded; ClusterError unless 2xx."""
        status, answer = _call(self.url, self.ca, self.token, method, path, body)
        if not 200 <= status < 300:
            raise ClusterError(f"{method} {path}: {status} {answer[:500].decode(errors='replace')}")
        return json.loads(answer)

    def kubeconfig_for(self, service_account: str, namespace: str, *, expires_s: int = 86_400) -> Path:
        """A kubeconfig whose only right is what RBAC gives the service account (TokenRequest)."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token"
        answer = self.request("POST", path, {"spec": {"expirationSeconds": expires_s}})
        target = self.folder / f"{namespace}-{service_account}.kubeconfig"
        _write_kubeconfig(target, self.url, self.ca, answer["status"]["token"], namespace)
        return target

    def wait(self, what: str, condition: Callable[[], T | None], *, timeout_s: float = 30.0) -> T:
        """The condition's first truthy answer; ClusterError that names `what` when the time is up."""
        deadline = time.monotonic() + timeout_s
        while True:
            if answer := condition():
                return answer
            if time.monotonic() > deadline:
                raise ClusterError(f"not within {timeout_s:g} s: {what}")
            time.sleep(0.05)

    def audited(self, user: str, since: int = 0) -> set[tuple[str, str, int]]:
        """(verb, resource[/subresource], status code) of every request of this user in the log from byte `since` on."""
        seen = set()
        for line in self.audit_log.read_bytes()[since:].decode().splitlines(keepends=True):
            if not line.endswith("\n"):  # still being written
                break
            event = json.loads(line)
            if event["user"].get("username") == user and "objectRef" in event:
                ref = event["objectRef"]
                resource = "/".join(filter(None, (ref.get("resource"), ref.get("subresource"))))
                seen.add((event["verb"], resource, event.get("responseStatus", {}).get("code", 0)))
        return seen


def program(name: str) -> Path:
    """Where a built program is: in KUBEBUILDER_ASSETS where that has it, else in the build cache."""
    if assets := os.environ.get("KUBEBUILDER_ASSETS"):
        given = Path(assets) / name
        if given.is_file():
            return given
    asked = subprocess.run([str(BUILD), "--folder"], capture_output=True, text=True, timeout=30, check=True)
    built = Path(asked.stdout.strip()) / name
    if not built.is_file():
        raise ClusterError(f"{name} is not built ({built}): run `make controlplane`")
    return built


@contextlib.contextmanager
def start_control_plane(
    folder: Path, *, kwok: bool = True, audit_log: bool = False, controllers: bool = True
) -> Iterator[ControlPlane]:
    """Starts everything, yields it when it is ready, and leaves no process behind.

    Without `controllers` there are only etcd and the API server: objects stay as they are written, and accounts are
    the caller's to make.

    `folder` keeps certificates, kubeconfigs and one log file for each program.
    Call it from a thread that outlives the control plane: on Linux the
    processes die with the thread that started them.
    """
    names = ["etcd", "kube-apiserver"]
    if controllers:
        names += ["kube-controller-manager", "kube-scheduler", *(["kwok"] if kwok else [])]
    programs = {name: program(name) for name in names}
    if shutil.which("kubectl") is None:
        raise ClusterError("kubectl is not on PATH: install it (https://kubernetes.io/docs/tasks/tools)")
    folder.mkdir(parents=True, exist_ok=True)
    plane = ControlPlane(
        folder=folder,
        url=f"https://127.0.0.1:{free_port()}",
        ca=folder / "certs" / "apiserver.crt",
        token=secrets.token_hex(16),
        kubeconfig=folder / "admin.kubeconfig",
        audit_log=folder / "audit.log",
        forwarded=free_port(),
    )
    processes = Processes(folder)
    try:
        try:
            _start_api(plane, processes, programs, audit_log)
            if controllers:
                _start_controllers(plane, processes, programs)
                account = "/api/v1/namespaces/default/serviceaccounts/default"
                processes.until("the controllers to make the first account", lambda: _status(plane, account) == 200)
        except ProcessError as error:
            raise ClusterError(str(error)) from error
        yield plane
    finally:
        processes.stop()


def _start_api(plane: ControlPlane, processes: Processes, programs: Mapping[str, Path], audit: bool) -> None:
    folder, port = plane.folder, plane.url.rpartition(":")[2]
    etcd_url = f"http://127.0.0.1:{free_port()}"
    processes.start(
        "etcd",
        programs["etcd"],
        f"--data-dir={folder / 'etcd'}",
        "--unsafe-no-fsync",
        f"--listen-client-urls={etcd_url}",
        f"--advertise-client-urls={etcd_url}",
        "--listen-peer-urls=http://127.0.0.1:0",
        "--log-level=warn",
    )

    key = folder / "service-account.key"
    make_key = ["openssl", "genpkey", "-algorithm", "RSA", "-out", str(key)]
    subprocess.run(make_key, check=True, capture_output=True, timeout=30)
    _write_users(plane)
    audit_flags = [
        f"--audit-policy-file={TESTS / 'controlplane' / 'audit-policy.yaml'}",
        f"--audit-log-path={plane.audit_log}",
        "--audit-log-mode=blocking",  # a line is there before the answer is
    ]
    processes.start(
        "kube-apiserver",
        programs["kube-apiserver"],
        f"--etcd-servers={etcd_url}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={plane.ca.parent}",
        "--authorization-mode=RBAC",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-cluster-ip-range=10.0.0.0/16",
        "--endpoint-reconciler-type=none",  # the server's own endpoint may not be a loopback address
        "--kubelet-preferred-address-types=InternalIP",  # node names do not resolve here
        "--allow-privileged=true",
        "--profiling=false",
        *(audit_flags if audit else []),
    )
    processes.until("the API server to be ready", lambda: plane.ca.exists() and _status(plane, "/readyz") == 200)


def _start_controllers(plane: ControlPlane, processes: Processes, programs: Mapping[str, Path]) -> None:
    folder = plane.folder
    processes.start(
        "kube-controller-manager",
        programs["kube-controller-manager"],
        f"--kubeconfig={folder / 'kube-controller-manager.kubeconfig'}",
        "--leader-elect=false",
        "--secure-port=0",
        f"--service-account-private-key-file={folder / 'service-account.key'}",
        f"--root-ca-file={plane.ca}",
        # No metrics API is here, so the HPA controller could only write that it sees nothing.
        "--controllers=*,-horizontal-pod-autoscaler-controller",
        "--node-monitor-grace-period=10m",  # a stalled test machine is no lost node
        "--pvclaimbinder-sync-period=1s",  # the default lets a claim wait for 15 s
    )
    processes.start(
        "kube-scheduler",
        programs["kube-scheduler"],
        f"--kubeconfig={folder / 'kube-scheduler.kubeconfig'}",
        "--leader-elect=false",
        "--secure-port=0",
    )
    if "kwok" in programs:
        kubelet_port = free_port()
        processes.start(
            "kwok",
            programs["kwok"],
            f"--kubeconfig={folder / 'kwok.kubeconfig'}",
            f"--config={TESTS / 'controlplane' / 'stages.yaml'}",
            "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",  # a real node is left alone
            "--node-lease-duration-seconds=40",
            "--cidr=10.244.0.0/16",
            "--node-ip=127.0.0.1",
            # KWOK plays the kubelets' own API too, so that a log can be read.
            f"--config={_pod_log(folder)}",
            f"--config={_pod_port(plane)}",
            f"--node-port={kubelet_port}",
            f"--server-address=127.0.0.1:{kubelet_port}",
            f"--tls-cert-file={folder / 'certs' / 'apiserver.crt'}",
            f"--tls-private-key-file={folder / 'certs' / 'apiserver.key'}",
        )


POD_LOG = """\
INFO 11-22 12:00:01 [api_server.py:1024] vLLM API server version 0.11.0
INFO 11-22 12:00:31 [default_loader.py:267] Loading weights took 27.11 seconds
INFO 11-22 12:00:58 [launcher.py:46] Application startup complete.
INFO 11-22 12:01:02 [logger.py:43] Received request chatcmpl-0f3a: prompt redacted, params: max_tokens=16
INFO 11-22 12:01:03 [async_llm.py:270] Added request chatcmpl-0f3a.
"""


def _pod_log(folder: Path) -> Path:
    """KWOK's configuration that gives every container the same healthy log."""
    # The form in which a container runtime writes logs, which KWOK reads.
    lines = [f"2026-11-22T12:01:0{i}.000000000Z stdout F {text}\n" for i, text in enumerate(POD_LOG.splitlines())]
    (folder / "pod.log").write_text("".join(lines))
    path = folder / "logs.yaml"
    logs = {"apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "ClusterLogs", "metadata": {"name": "healthy"},
            "spec": {"logs": [{"logsFile": str(folder / "pod.log")}]}}  # fmt: skip
    path.write_text(json.dumps(logs))
    return path


def _pod_port(plane: ControlPlane) -> Path:
    """KWOK's configuration that leads a port-forward to port 8000 of any pod to `forwarded` of this machine."""
    path = plane.folder / "forward.yaml"
    lead = {"ports": [8000], "target": {"address": "127.0.0.1", "port": plane.forwarded}}
    forward = {"apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "ClusterPortForward", "metadata": {"name": "here"},
               "spec": {"forwards": [lead]}}  # fmt: skip
    path.write_text(json.dumps(forward))
    return path


def _write_users(plane: ControlPlane) -> None:
    """The token file, and a kubeconfig for each user in it."""
    users = ("admin", "system:kube-controller-manager", "system:kube-scheduler", "kwok")
    with (plane.folder / "tokens.csv").open("w", newline="") as file:
        for user in users:
            token = plane.token if user == "admin" else secrets.token_hex(16)
            # The scheduler lives with its bootstrap role; the others do the work of many service accounts.
            groups = "" if user == "system:kube-scheduler" else "system:masters"
            csv.writer(file).writerow([token, user, user, groups])
            target = plane.folder / f"{user.removeprefix('system:')}.kubeconfig"
            _write_kubeconfig(target, plane.url, plane.ca, token, "default")


def _status(plane: ControlPlane, path: str) -> int:
    try:
        return _call(plane.url, plane.ca, plane.token, "GET", path, None)[0]
    except (OSError, http.client.HTTPException):
        return 0


def _call(url: str, ca: Path, token: str, method: str, path: str, body: Any) -> tuple[int, bytes]:
    context = ssl.create_default_context(cafile=str(ca))
    connection = http.client.HTTPSConnection(url.removeprefix("https://"), context=context, timeout=10)
    try:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _write_kubeconfig(path: Path, url: str, ca: Path, token: str, namespace: str) -> None:
    """JSON is YAML; the certificate goes by path because it is made only when the API server starts."""
    path.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority": str(ca)}}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
    }))  # fmt: skip
    path.chmod(0o600)


def documents(folder: Path) -> list[dict[str, Any]]:
    """Every object in the YAML files directly in a folder, in an order in which they can be made.

    Namespaces come first and what makes pods last, so that no pod starts
    without its account, quota, volume or class.
    """
    found = [each for path in sorted(folder.glob("*.yaml")) for each in yaml.safe_load_all(path.read_text()) if each]
    return sorted(found, key=lambda each: 0 if each["kind"] == "Namespace" else 2 if each["kind"] in MAKES_PODS else 1)


def _established(plane: ControlPlane) -> bool:
    found = [obj.get("status", {}).get("conditions") or () for obj in plane.get("crd")["items"]]
    return all(any(c["type"] == "Established" and c["status"] == "True" for c in each) for each in found)


def install_service(plane: ControlPlane) -> None:
    """The complete, correct GPU service of tests/fixtures/service, rolled out on KWOK nodes.

    Namespace llm-prod, Deployment chat, container server; service accounts
    auditor-full and auditor-half in the namespace audit. What controllers that
    do not run here would say (gateway, autoscaler) is written as status.
    """
    plane.apply(CRDS)
    # `kubectl wait` breaks on a definition that has no status yet, which a busy machine shows.
    plane.wait("the definitions to be established", lambda: _established(plane), timeout_s=60)
    objects = documents(SERVICE)
    plane.apply(yaml.safe_dump_all(each for each in objects if each["kind"] not in MAKES_PODS))
    # A pod that waits for its volume has a warning among its events, and this service has none.
    plane.kubectl("wait", "--for=jsonpath={.status.phase}=Bound", "pvc", "--all", "-n", "llm-prod", "--timeout=30s")
    plane.apply(yaml.safe_dump_all(each for each in objects if each["kind"] in MAKES_PODS))
    status = yaml.safe_dump_all(documents(SERVICE / "status"))
    plane.kubectl("apply", "--server-side", "--force-conflicts", "--subresource=status", "-f", "-", input=status)
    for each in objects:
        if each["kind"] in MAKES_PODS:
            name = f"{each['kind'].lower()}/{each['metadata']['name']}"
            plane.kubectl("rollout", "status", name, "-n", each["metadata"]["namespace"], "--timeout=60s")


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One for each test process, with KWOK and an audit log. A missing program fails the test, it does not skip it."""
    with start_control_plane(tmp_path_factory.mktemp("control-plane"), audit_log=True) as plane:
        yield plane


@pytest.fixture(scope="session")
def gpu_service(control_plane: ControlPlane) -> ControlPlane:
    """The control plane with the service in it. Tests that change it make their own namespace or put it back."""
    install_service(control_plane)
    return control_plane


def main() -> None:
    """`python -m support.cluster FOLDER [--service]`: a control plane to look at, until Ctrl-C."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path, help="for certificates, kubeconfigs and logs")
    parser.add_argument("--service", action="store_true", help="with the example GPU service")
    given = parser.parse_args()
    with start_control_plane(given.folder.resolve(), audit_log=True) as plane, contextlib.suppress(KeyboardInterrupt):
        if given.service:
            install_service(plane)
        print(f"kubectl --kubeconfig {plane.kubeconfig} get pods -A", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
