"""`make cluster`: a control plane with KWOK's fake nodes and one real one, and services on both to audit.

On the real node llama.cpp runs as real pods behind a Service; on the fake ones stands the example GPU service. It runs
until Ctrl-C, or until `make cluster-down` is called from elsewhere, and leaves nothing behind.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .cluster import ClusterError, ControlPlane, install_service, start_control_plane
from .images import cache_folder
from .llama import LLAMA_IMAGE, RUNTIME_IMAGE, llama_archive
from .node import Node, missing, start_node, sweep

ROOT = Path(__file__).resolve().parent.parent.parent
SERVICE = ROOT / "tests" / "fixtures" / "node"
NODE, GPUS = "real-0", 8
DOWN_S = 150.0


@contextlib.contextmanager
def playground(folder: Path) -> Iterator[tuple[Node, str]]:
    """The node with the service rolled out, and the Service's URL on this machine's loopback address."""
    with start_control_plane(folder / "plane", audit_log=True) as plane, contextlib.ExitStack() as stack:
        install_service(plane)
        _keep_daemon_sets_away(plane)
        node = stack.enter_context(start_node(plane, folder / "node", name=NODE, archives=[llama_archive()]))
        node.tag_image(LLAMA_IMAGE, RUNTIME_IMAGE)
        node.set_gpus(GPUS)
        plane.apply(SERVICE / "chat.yaml")
        plane.kubectl("rollout", "status", "deployment/chat", "-n", "llm", "--timeout=110s")
        port = plane.get("service", "chat", "-n", "llm")["spec"]["ports"][0]["nodePort"]
        yield node, f"http://127.0.0.1:{port}"


def _keep_daemon_sets_away(plane: ControlPlane) -> None:
    """Agents of the fake nodes have images that nobody can pull: on the real one they would only fail."""
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "NotIn", "values": [NODE]}]}
    rule = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    patch = json.dumps({"spec": {"template": {"spec": {"affinity": {"nodeAffinity": rule}}}}})
    for each in plane.get("daemonsets", "-A")["items"]:
        meta = each["metadata"]
        plane.kubectl("patch", "daemonset", meta["name"], "-n", meta["namespace"], "-p", patch)


def instructions(node: Node, url: str) -> str:
    """What to do with it, to be pasted as it stands."""
    inferaudit = Path(sys.executable).with_name("inferaudit")
    config = node.plane.kubeconfig
    return f"""
kubeconfig  {config}
real        {url}: Service llm/chat, llama.cpp on the node {node.name}, which offers {GPUS} GPUs
fake        Deployment llm-prod/chat, vLLM on KWOK's nodes; nothing runs there

Audit the real one, under load:
  CHAT_KEY=sk-invented-for-tests {inferaudit} run -f {SERVICE / "inferaudit.yaml"} \
--kubeconfig {config} -n llm --workload deployment/chat --url {url} --api-key-env CHAT_KEY
Audit the fake one:
  {inferaudit} run --kubeconfig {config} -n llm-prod --workload deployment/chat --scope cluster
Look:
  kubectl --kubeconfig {config} get pods -A -o wide
Take it down: Ctrl-C here, or `make cluster-down` elsewhere."""


def up(folder: Path) -> int:
    """Starts it, says how to use it, waits; 2 where it cannot start."""
    if reasons := missing():
        print("make cluster: " + "; ".join(reasons), file=sys.stderr)
        return 2
    if (running := _running(folder)) is not None:
        print(f"make cluster: it runs already (process {running}): `make cluster-down` ends it", file=sys.stderr)
        return 2
    sweep()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "pid").write_text(str(os.getpid()))
    ended = False

    def end(*_: Any) -> None:
        nonlocal ended
        if not ended:  # the first signal ends it; the next ones do not cut the clearing up short
            ended = True
            raise KeyboardInterrupt

    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, end)
    try:
        print("starting the control plane and the node: about half a minute", flush=True)
        with playground(folder) as (node, url):
            print(instructions(node, url), flush=True)
            while True:
                signal.pause()
    except KeyboardInterrupt:
        print("everything is taken down", flush=True)
    except (ClusterError, subprocess.SubprocessError) as error:
        print(f"make cluster: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def down(folder: Path) -> int:
    """Ends a running one and waits for it; clears up after one that was killed."""
    running = _running(folder)
    if running is not None:
        os.kill(running, signal.SIGTERM)
        deadline = time.monotonic() + DOWN_S
        while _running(folder) is not None:
            if time.monotonic() > deadline:
                print(f"make cluster-down: process {running} does not end", file=sys.stderr)
                return 1
            time.sleep(0.2)
    swept = sweep()
    if swept is not None:
        shutil.rmtree(folder, ignore_errors=True)
    print("everything is taken down" if running is not None or swept else "there is nothing to take down")
    return 0


def _running(folder: Path) -> int | None:
    try:
        pid = int((folder / "pid").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if b"support.playground" in command else None


def main() -> None:
    """`python -m support.playground up|down`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=["up", "down"])
    folder = cache_folder() / "cluster"
    sys.exit(up(folder) if parser.parse_args().verb == "up" else down(folder))


if __name__ == "__main__":
    main()
