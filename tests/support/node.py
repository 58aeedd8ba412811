"""One real node beside the KWOK ones: containerd, kubelet and kube-proxy on this machine.

Pods on it really run: probes are sent, memory limits kill, logs and NodePorts
work. Needs root on Linux, `build.sh --node`, and the packages in PACKAGES. See
docs/dev/real-parts.md. It changes this machine while it runs (two bridges, NAT
rules) and puts that back when it stops.
"""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from .cluster import ClusterError, ControlPlane, program, start_control_plane
from .images import cache_folder, docker_archive
from .llama import LLAMA_IMAGE, RUNTIME_IMAGE, llama_archive
from .processes import ProcessError, Processes, free_port

PACKAGES = "containerd runc containernetworking-plugins iptables conntrack ethtool socat iproute2"
TOOLS = ("containerd", "runc", "ctr", "iptables", "conntrack", "ethtool", "socat", "ip")
CNI_PLUGINS = Path("/usr/lib/cni")
PAUSE_IMAGE = "test.inferaudit.dev/pause:1"
POD_CIDR = "10.88.0.0/16"  # not KWOK's 10.244.0.0/16
POD_BRIDGE, NODE_DEVICE = "iatest-pods", "iatest-node"
NODE_IP = "10.89.0.1"  # the kubelet refuses a loopback address
KERNEL_SETTINGS = [Path("/proc/sys/net/ipv4", each) for each in ("ip_forward", "conf/all/route_localnet")]
REAL = "test.inferaudit.dev/real"  # the label that pods select the real node by


@dataclass(frozen=True)
class Node:
    """A node that is Ready. Pods come to it by `nodeSelector: {test.inferaudit.dev/real: "true"}`."""

    name: str
    folder: Path
    plane: ControlPlane

    def load_image(self, archive: Path) -> None:
        """Imports a docker-archive; pods name it with `imagePullPolicy: Never`."""
        self._images("import", str(archive))

    def tag_image(self, image: str, name: str) -> None:
        """Gives an image another name as well, such as that of the real thing."""
        self._images("tag", "--force", image, name)

    def _images(self, *command: str) -> None:
        _run("ctr", f"--address={_socket(self.folder)}", "--namespace=k8s.io", "images", *command)

    def set_gpus(self, count: int) -> None:
        """Offers GPUs to the scheduler; the kubelet keeps a capacity it does not know and makes it allocatable."""
        self.plane.patch_status("node", self.name, {"capacity": {"nvidia.com/gpu": str(count)}})
        self.plane.wait(
            "the GPUs to be allocatable",
            lambda: self.plane.get("node", self.name)["status"]["allocatable"].get("nvidia.com/gpu") == str(count),
            timeout_s=60,
        )


@contextlib.contextmanager
def start_node(
    plane: ControlPlane, folder: Path, *, name: str = "real-0", archives: Sequence[Path] = ()
) -> Iterator[Node]:
    """Starts the node, yields it when it is Ready, and takes it and its pods away again."""
    sweep()
    _require()
    folder.mkdir(parents=True, exist_ok=True)
    programs = {each: program(each) for each in ("kubelet", "kube-proxy", "pause")}
    processes = Processes(folder)
    node = Node(name, folder, plane)
    kernel = {str(path): path.read_text() for path in KERNEL_SETTINGS}
    mark = {"pid": os.getpid(), "started": _started(os.getpid()), "folder": str(folder), "kernel": kernel}
    _mark().write_text(json.dumps(mark))
    try:
        try:
            _add_node_device()
            _start_containerd(node, processes)
            pause = folder / "pause.tar"
            docker_archive(pause, PAUSE_IMAGE, {"pause": programs["pause"]}, entrypoint=["/pause"])
            for archive in (pause, *archives):
                node.load_image(archive)
            _start_kubelet(node, processes, programs)
            processes.until("the node to be Ready", lambda: _ready(node))
        except ProcessError as error:
            raise ClusterError(str(error)) from error
        plane.kubectl("label", "node", name, f"{REAL}=true")
        yield node
    finally:
        _stop(node, processes, programs)
        for path, value in kernel.items():
            Path(path).write_text(value)
        _mark().unlink(missing_ok=True)


def missing() -> list[str]:
    """Why no real node can start on this machine, a reason a line; empty where one can."""
    reasons = []
    if not sys.platform.startswith("linux"):
        return ["a real node needs Linux"]
    if os.geteuid() != 0:
        reasons.append("a real node needs root")
    if absent := [tool for tool in TOOLS if not shutil.which(tool)]:
        reasons.append(f"not on PATH: {', '.join(absent)}; apt-get install {PACKAGES}")
    if not (CNI_PLUGINS / "bridge").is_file():
        reasons.append(f"no CNI plug-ins in {CNI_PLUGINS}; apt-get install {PACKAGES}")
    return reasons


def _require() -> None:
    if reasons := missing():
        raise ClusterError("; ".join(reasons))
    if left := leftovers():
        raise ClusterError(f"a real node runs here ({', '.join(left)})")
    if "KUBE-" in _run("iptables-save"):
        raise ClusterError("this machine is a Kubernetes node already: its NAT rules would be mixed up with the test's")


def leftovers() -> list[str]:
    """What a node has on this machine now."""
    return [device for device in (POD_BRIDGE, NODE_DEVICE) if Path("/sys/class/net", device).exists()]


def sweep() -> str | None:
    """Clears away what a node left whose process was killed; its folder, or None where there is nothing to clear."""
    try:
        mark = json.loads(_mark().read_text())
    except (OSError, ValueError):
        return None
    if _runs(mark["pid"], mark["started"]):
        return None
    folder = Path(mark["folder"])
    for pid in _orphans(_socket(folder)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ClusterError):
        _run(str(program("kube-proxy")), "--cleanup", "--proxy-mode=iptables", check=False)
    _leave_machine(folder)
    for path, value in mark["kernel"].items():
        Path(path).write_text(value)
    _mark().unlink()
    return str(folder)


def _mark() -> Path:
    """Says whose node this machine has, for whoever comes after a kill -9."""
    return cache_folder() / "node.json"


def _started(pid: int) -> str | None:
    """When a process began, in the kernel's own count: tells it from a later one of the same number."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None


def _runs(pid: int, started: str) -> bool:
    return _started(pid) == started


def _orphans(socket: Path) -> list[int]:
    """The shims of a containerd that is gone and all below them, by the socket that they were given."""
    parents: dict[int, int] = {}
    found = []
    for each in Path("/proc").iterdir():
        if each.name.isdecimal():
            with contextlib.suppress(OSError):
                parents[int(each.name)] = int((each / "stat").read_text().rpartition(")")[2].split()[1])
                command = (each / "cmdline").read_bytes().split(b"\0")
                if command[0].endswith(b"containerd-shim-runc-v2") and str(socket).encode() in command:
                    found.append(int(each.name))
    for pid in found:  # grows while it is walked: children of children
        found += [child for child, parent in parents.items() if parent == pid and child not in found]
    return found


def _add_node_device() -> None:
    _run("ip", "link", "add", "name", NODE_DEVICE, "type", "bridge")
    _run("ip", "address", "add", f"{NODE_IP}/32", "dev", NODE_DEVICE)
    _run("ip", "link", "set", NODE_DEVICE, "up")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def _start_containerd(node: Node, processes: Processes) -> None:
    folder = node.folder
    (folder / "cni").mkdir(exist_ok=True)
    bridge = {
        "type": "bridge",
        "bridge": POD_BRIDGE,
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(folder / "cni-addresses"),
            "ranges": [[{"subnet": POD_CIDR}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    chain = {
        "cniVersion": "0.4.0",
        "name": "test",
        "plugins": [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}],
    }
    (folder / "cni" / "10-test.conflist").write_text(json.dumps(chain))
    config = f"""\
version = 2
root = "{folder}/containerd"
state = "{folder}/containerd-state"
[grpc]
  address = "{_socket(folder)}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # Without CAP_SYS_RESOURCE (containers, small virtual machines) every sandbox dies otherwise.
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{CNI_PLUGINS}"
  conf_dir = "{folder}/cni"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/containerd-opt"
"""
    (folder / "containerd.toml").write_text(config)
    containerd = Path(shutil.which("containerd") or "")
    processes.start("containerd", containerd, f"--config={folder / 'containerd.toml'}")
    answers = ["ctr", f"--address={_socket(folder)}", "version"]
    processes.until(
        "containerd to answer",
        lambda: subprocess.run(answers, capture_output=True, check=False, timeout=30).returncode == 0,
    )


def _start_kubelet(node: Node, processes: Processes, programs: dict[str, Path]) -> None:
    folder = node.folder
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_IP,
        "port": free_port(),
        "healthzPort": 0,
        # Only this machine reaches that address, and only while the test runs.
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "containerRuntimeEndpoint": f"unix://{_socket(folder)}",
        "podLogsDir": str(folder / "pod-logs"),
        "volumePluginDir": str(folder / "volume-plugins"),
        "resolvConf": "",
        "enforceNodeAllocatable": [],
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "fileCheckFrequency": "0s",
        "syncFrequency": "5s",
        "nodeStatusUpdateFrequency": "2s",
    }
    (folder / "kubelet.json").write_text(json.dumps(config))
    processes.start(
        "kubelet",
        programs["kubelet"],
        f"--config={folder / 'kubelet.json'}",
        f"--kubeconfig={node.plane.kubeconfig}",
        f"--root-dir={folder / 'kubelet'}",
        f"--cert-dir={folder / 'kubelet-certs'}",
        f"--hostname-override={node.name}",
        f"--node-ip={NODE_IP}",
    )
    processes.start(
        "kube-proxy",
        programs["kube-proxy"],
        f"--kubeconfig={node.plane.kubeconfig}",
        f"--hostname-override={node.name}",
        f"--cluster-cidr={POD_CIDR}",
        "--proxy-mode=iptables",
        "--conntrack-max-per-core=0",  # the machine's limits are not ours to change
        "--conntrack-tcp-timeout-established=0s",
        "--conntrack-tcp-timeout-close-wait=0s",
        f"--healthz-bind-address=127.0.0.1:{free_port()}",
        f"--metrics-bind-address=127.0.0.1:{free_port()}",
        "--nodeport-addresses=127.0.0.0/8",
    )


def _ready(node: Node) -> bool:
    try:
        found = node.plane.get("node", node.name)
    except ClusterError:
        return False
    return any(each["type"] == "Ready" and each["status"] == "True" for each in found["status"].get("conditions", ()))


def _stop(node: Node, processes: Processes, programs: dict[str, Path]) -> None:
    """Pods first, while there is a kubelet to end them; then everything that outlives its process."""
    with contextlib.suppress(ClusterError):
        on_node = ["--all-namespaces", f"--field-selector=spec.nodeName={node.name}"]
        node.plane.kubectl("cordon", node.name)
        node.plane.kubectl("delete", "pods", *on_node, "--grace-period=1", "--timeout=60s")
    containerd = processes.running.pop("containerd", None)
    processes.stop()
    with contextlib.suppress(ClusterError):
        node.plane.kubectl("delete", "node", node.name, "--timeout=10s")
    _run(str(programs["kube-proxy"]), "--cleanup", "--proxy-mode=iptables", check=False)
    if containerd is not None:
        _end_containers(node)
        containerd.terminate()
        containerd.wait(10)
    _leave_machine(node.folder)


def _leave_machine(folder: Path) -> None:
    _remove_kubelet_chains()
    for device in (POD_BRIDGE, NODE_DEVICE):
        _run("ip", "link", "delete", device, check=False)
    _unmount(folder)


def _remove_kubelet_chains() -> None:
    """kube-proxy cleans up after itself when asked; the kubelet has no such flag."""
    for table in ("filter", "nat", "mangle"):
        rules = _run("iptables-save", "-t", table, check=False).splitlines()
        for rule in rules:
            if rule.startswith("-A") and "-j KUBE-" in rule and not rule.startswith("-A KUBE-"):
                _run("iptables", "-t", table, "-D", *shlex.split(rule)[1:], check=False)
        for action in ("-F", "-X"):
            for rule in rules:
                if rule.startswith(":KUBE-"):
                    _run("iptables", "-t", table, action, rule[1:].split()[0], check=False)


def _end_containers(node: Node) -> None:
    """What is left when a pod could not be deleted; a shim ends with its container."""
    ctr = ["ctr", f"--address={_socket(node.folder)}", "--namespace=k8s.io"]
    for task in _run(*ctr, "tasks", "list", "-q", check=False).split():
        _run(*ctr, "tasks", "delete", "--force", task, check=False)


def _unmount(folder: Path) -> None:
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for path in sorted((each for each in mounted if Path(each).is_relative_to(folder)), reverse=True):
        for _ in range(20):
            if subprocess.run(["umount", path], capture_output=True, check=False, timeout=30).returncode == 0:
                break
            time.sleep(0.1)


def _socket(folder: Path) -> Path:
    return folder / "containerd.sock"


def _run(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if check and done.returncode:
        raise ClusterError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


@pytest.fixture(scope="session")
def real_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One for all tests, beside KWOK, with the llama.cpp image under both its names. It leaves nothing behind."""
    folder = tmp_path_factory.mktemp("real-node")
    with (
        start_control_plane(folder / "plane", audit_log=True) as plane,
        start_node(plane, folder / "node", archives=[llama_archive()]) as node,
    ):
        node.tag_image(LLAMA_IMAGE, RUNTIME_IMAGE)
        yield node
    assert leftovers() == []
    assert str(folder) not in Path("/proc/mounts").read_text()
    assert "KUBE-" not in _run("iptables-save")


def main() -> None:
    """`python -m support.node`: exit code 1, and why, where this machine can have no real node."""
    if reasons := missing():
        print("\n".join(reasons))
        sys.exit(1)


if __name__ == "__main__":
    main()
