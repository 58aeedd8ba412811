"""How long an audit takes in a large cluster, and how much memory, on a real API server.

    python benchmarks/collect_scale.py --nodes 1000 --pods 20000

Fills a control plane (`make controlplane` builds it) with GPU nodes and with pods bound to them, then collects the
facts of one service among them: once without the pods of other services, once with them. Prints one JSON object:
seconds, peak memory of the collector in MiB, requests, bytes. Nothing but the API server runs, so the pods stay as they
were written. Memory and time are those of a fresh process that does nothing else.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support.cluster import ControlPlane, start_control_plane  # noqa: E402  # tests/ is no package

COLLECT = """
import json, resource, sys, time
from inferaudit.collect.kubernetes import collect_kubernetes
from inferaudit.plan import KubernetesPlan
needs = json.loads(sys.argv[2])
started = time.perf_counter()
facts = collect_kubernetes(KubernetesPlan(
    kubeconfig=sys.argv[1], namespace="svc", workload="deployment/chat", needs=frozenset(needs) if needs else None))
failed = sorted(name for name, fact in facts.items() if fact.error is not None and name != "workload.logs")
print(json.dumps({
    "seconds": round(time.perf_counter() - started, 2),
    "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    "nodes": len(facts["cluster.nodes"].value or []) if "cluster.nodes" in facts else None,
    "node_pods": len(facts["cluster.node_pods"].value or []) if "cluster.node_pods" in facts else None,
    "failed": failed,
}))
"""
SERVICE_FACTS = ["workload", "workload.pods", "service.services", "service.references", "service.autoscalers"]


def pod_spec(gpus: int) -> dict[str, Any]:
    server = {
        "name": "server",
        "image": "registry.example.com/vllm/vllm-openai:v0.10.0",
        "args": ["--model", "m", "--port", "8000"],
        "env": [{"name": f"SETTING_{i}", "value": "value"} for i in range(20)],
        "resources": {"limits": {"nvidia.com/gpu": str(gpus)}} if gpus else {"requests": {"cpu": "1"}},
    }
    return {"containers": [server, {"name": "proxy", "image": "envoyproxy/envoy:v1.33"}]}


def objects(nodes: int, pods: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Path and body of everything to create: a node in ten has GPUs, a pod in a hundred is the service's."""
    for i in range(nodes):
        gpu = i % 10 == 0
        size = {"cpu": "64", "memory": "512Gi", "pods": "250", **({"nvidia.com/gpu": "8"} if gpu else {})}
        labels = {"kubernetes.io/hostname": f"node-{i}", "pool": "gpu" if gpu else "general"}
        meta = {"name": f"node-{i}", "labels": labels}
        yield "/api/v1/nodes", {"metadata": meta, "status": {"capacity": size, "allocatable": size}}
    for i in range(pods):
        ours = i % 100 == 0
        spec = {**pod_spec(int(ours)), "nodeName": f"node-{(i // 100 * 10) % nodes if ours else i % nodes}"}
        meta = {"name": f"pod-{i}", "labels": {"app": "chat" if ours else "other"}}
        yield f"/api/v1/namespaces/{'svc' if ours else 'default'}/pods", {"metadata": meta, "spec": spec}


def fill(plane: ControlPlane, items: Iterable[tuple[str, dict[str, Any]]], threads: int) -> None:
    """Create everything, over `threads` connections."""
    todo, lock = iter(items), threading.Lock()
    failures: list[str] = []

    def work() -> None:
        context = ssl.create_default_context(cafile=str(plane.ca))
        connection = http.client.HTTPSConnection(plane.url.removeprefix("https://"), context=context, timeout=60)
        headers = {"Authorization": f"Bearer {plane.token}", "Content-Type": "application/json"}
        while not failures:
            with lock:
                item = next(todo, None)
            if item is None:
                return
            connection.request("POST", item[0], json.dumps(item[1]), headers)
            answer = connection.getresponse()
            said = answer.read()
            if answer.status >= 300:
                failures.append(f"{item[0]}: {answer.status} {said[:300]!r}")

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failures:
        raise SystemExit(failures[0])


def measure(plane: ControlPlane, needs: list[str] | None) -> dict[str, Any]:
    """One collection in a process of its own."""
    command = [sys.executable, "-c", COLLECT, str(plane.kubeconfig), json.dumps(needs)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False, env=environment)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=500)
    parser.add_argument("--pods", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=16)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, start_control_plane(Path(folder), kwok=False) as plane:
        plane.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: svc}\n")
        account = "/api/v1/namespaces/svc/serviceaccounts/default"
        plane.wait("the account of the namespace", lambda: _there(plane, account))
        template = {"metadata": {"labels": {"app": "chat"}}, "spec": pod_spec(1)}
        spec = {"replicas": 0, "selector": {"matchLabels": {"app": "chat"}}, "template": template}
        plane.request("POST", "/apis/apps/v1/namespaces/svc/deployments", {"metadata": {"name": "chat"}, "spec": spec})
        started = time.perf_counter()
        fill(plane, objects(given.nodes, given.pods), given.threads)
        result = {
            "nodes": given.nodes,
            "pods": given.pods,
            "fill_seconds": round(time.perf_counter() - started, 1),
            "service_alone": measure(plane, SERVICE_FACTS),
            "everything": measure(plane, None),
        }
    print(json.dumps(result, indent=1))


def _there(plane: ControlPlane, path: str) -> bool:
    try:
        plane.request("GET", path)
    except RuntimeError:
        return False
    return True


if __name__ == "__main__":
    main()
