"""What an audit reads in a large cluster, and what that costs, on a real API server.

    python benchmarks/collect_scale.py                              # 5 000 nodes, 100 000 pods of two containers
    python benchmarks/collect_scale.py --nodes 500 --pods 10000     # the same, quickly

Fills a control plane (`make controlplane` builds it) with GPU nodes and with pods bound to them; nothing but the API
server runs, so the pods stay as they were written. It then collects the facts of one service among them, all that there
are and only those that need no list of the whole cluster; sends the very same requests again with curl, which throws
the answers away; reads all pods page by page as the collector would; and reads the first 20 000 pods with the official
client's typed models. Each in a process of its own, whose seconds, CPU seconds and peak memory are shown. The full size
takes about 7 GB, nearly all of it the API server's. Exit code 1 when the collector breaks a bound.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import shutil
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

MAX_CPU_S, MAX_MIB, MAX_RATIO = 10.0, 250, 2.0
TYPED_PODS = 20_000
AGENT = "inferaudit"  # for curl's own name the API server indents its answers, which makes them twice as long

# Each is a program of its own; it prints one JSON object, and what it used is added by USED.
USED = """
import json, resource, sys, time
started = time.perf_counter()
def used(**found):
    own = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({
        "seconds": time.perf_counter() - started,
        "cpu_seconds": own.ru_utime + own.ru_stime,
        "peak_mib": own.ru_maxrss / 1024,
        **found,
    }))
"""
COLLECT = """
from inferaudit.collect import kubernetes as collector
from inferaudit.plan import KubernetesPlan
needs = json.loads(sys.argv[2])
asked = []
def connect(plan, real=collector.connect):
    client = real(plan)
    pool, send = client.pool, client.pool.request
    class Noted:
        def request(self, method, url, headers, **rest):
            asked.append([url, headers["Accept"]])
            return send(method, url, headers=headers, **rest)
    client.pool = Noted()
    return client
collector.connect = connect
facts = collector.collect_kubernetes(KubernetesPlan(
    kubeconfig=sys.argv[1], namespace="svc", workload="deployment/chat", needs=frozenset(needs) if needs else None))
used(
    requests=asked,
    nodes=len(facts["cluster.nodes"].value or []) if "cluster.nodes" in facts else None,
    node_pods=len(facts["cluster.node_pods"].value or []) if "cluster.node_pods" in facts else None,
    failed=sorted(name for name, fact in facts.items() if fact.error is not None and name != "workload.logs"),
)
"""
READ_ALL = """
from inferaudit.collect.kube_client import Asked, connect
from inferaudit.kube.nodes import PodPage, node_pod_of
from inferaudit.plan import KubernetesPlan
client = connect(KubernetesPlan(kubeconfig=sys.argv[1]))
seen = 0
def keep(page):
    global seen
    seen += len(page.items)
    for pod in page.items:
        node_pod_of(pod)
    return ()
client.items("/api/v1/pods", Asked("list", "pods"), PodPage, keep)
used(pods=seen)
"""
TYPED = """
from kubernetes import client, config
config.load_kube_config(config_file=sys.argv[1])
api, pods, token = client.CoreV1Api(), [], None
while len(pods) < int(sys.argv[2]):
    page = api.list_pod_for_all_namespaces(limit=1000, _continue=token)
    pods += page.items
    token = page.metadata._continue
    if not token:
        break
used(pods=len(pods))
"""
SERVICE_FACTS = ["workload", "workload.pods", "service.services", "service.references", "service.autoscalers"]


def pod_spec(gpus: int) -> dict[str, Any]:
    """Two containers, as long as those of real services."""
    server = {
        "name": "server",
        "image": "registry.example.com/vllm/vllm-openai:v0.10.0",
        "args": ["--model", "m", "--port", "8000"],
        "env": [{"name": f"SETTING_{i}", "value": "value"} for i in range(20)],
        "resources": {"limits": {"nvidia.com/gpu": str(gpus)}} if gpus else {"requests": {"cpu": "1"}},
    }
    return {"containers": [server, {"name": "proxy", "image": "envoyproxy/envoy:v1.33"}]}


def objects(nodes: int, pods: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Path and body of everything to create: a node in ten has GPUs, a pod in a thousand is the service's."""
    for i in range(nodes):
        gpu = i % 10 == 0
        size = {"cpu": "64", "memory": "512Gi", "pods": "250", **({"nvidia.com/gpu": "8"} if gpu else {})}
        labels = {"kubernetes.io/hostname": f"node-{i}", "pool": "gpu" if gpu else "general"}
        meta = {"name": f"node-{i}", "labels": labels}
        yield "/api/v1/nodes", {"metadata": meta, "status": {"capacity": size, "allocatable": size}}
    for i in range(pods):
        ours = i % 1000 == 0
        spec = {**pod_spec(int(ours)), "nodeName": f"node-{(i // 1000 * 10) % nodes if ours else i % nodes}"}
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


def measure(program: str, *arguments: str) -> dict[str, Any]:
    """What a program printed that ran in a process of its own."""
    command = [sys.executable, "-c", USED + program, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False, env=environment)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def curl(plane: ControlPlane, requests: list[list[str]], folder: Path) -> dict[str, Any]:
    """The same requests over one connection, one after the other, the answers thrown away."""
    lines = []
    for url, accept in requests:
        lines += [f'url = "{url}"', f'header = "Accept: {accept}"', f'header = "Authorization: Bearer {plane.token}"']
        lines += ['write-out = "%{http_code} %{size_download}\\n"', f'cacert = "{plane.ca}"', 'output = "/dev/null"']
        lines += ["silent", f'user-agent = "{AGENT}"', "next"]
    config = folder / "curl.conf"
    config.write_text("\n".join(lines[:-1]))
    started = time.perf_counter()
    done = subprocess.run(["curl", "--config", str(config)], capture_output=True, text=True, timeout=1800, check=True)
    seconds = time.perf_counter() - started
    answers = [line.split() for line in done.stdout.splitlines()]
    refused = sorted({code for code, _ in answers} - {"200", "403", "404"})
    if refused or len(answers) != len(requests):
        raise SystemExit(f"curl: {len(answers)} answers to {len(requests)} requests; {refused}")
    return {"seconds": seconds, "mb": sum(int(size) for _, size in answers) / 1e6}


def pages(plane: ControlPlane, folder: Path, path: str) -> dict[str, Any]:
    """A paged list with curl, a page a call, of which nothing but the token of the next page is looked at."""
    token, size, seconds = "", 0, 0.0
    body = folder / "page.json"
    while True:
        url = f"{plane.url}{path}?limit=1000" + (f"&continue={token}" if token else "")
        command = ["curl", "-sf", "-A", AGENT, "--cacert", str(plane.ca), "-H", f"Authorization: Bearer {plane.token}"]
        started = time.perf_counter()
        subprocess.run([*command, "-o", str(body), url], check=True, timeout=300)
        seconds += time.perf_counter() - started
        size += body.stat().st_size
        with body.open("rb") as stream:
            found = re.search(rb'"continue":"([^"]*)"', stream.read(4096))
        token = found[1].decode() if found else ""
        if not token:
            return {"seconds": seconds, "mb": size / 1e6}


def lists_of_all(requests: list[list[str]]) -> list[str]:
    """The requests that list nodes or pods of the whole cluster."""
    return [url for url, _ in requests if re.search(r"/api/v1/(nodes|pods)\?", url)]


def main() -> int:
    """Fill, measure, print the table; 1 when a bound is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=5_000)
    parser.add_argument("--pods", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=24)
    given = parser.parse_args()
    if shutil.which("curl") is None:
        raise SystemExit("curl is not on PATH")
    with tempfile.TemporaryDirectory() as name, start_control_plane(Path(name), controllers=False) as plane:
        folder, config = Path(name), str(plane.kubeconfig)
        plane.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: svc}\n")
        plane.wait("the first namespace", lambda: _there(plane, "/api/v1/namespaces/default"))
        for namespace in ("default", "svc"):
            account = {"metadata": {"name": "default"}}
            plane.request("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", account)
        template = {"metadata": {"labels": {"app": "chat"}}, "spec": pod_spec(1)}
        spec = {"replicas": 0, "selector": {"matchLabels": {"app": "chat"}}, "template": template}
        plane.request("POST", "/apis/apps/v1/namespaces/svc/deployments", {"metadata": {"name": "chat"}, "spec": spec})
        started = time.perf_counter()
        fill(plane, objects(given.nodes, given.pods), given.threads)
        print(f"{given.nodes} nodes and {given.pods} pods in {time.perf_counter() - started:.0f} s; ", end="")
        print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs.\n", flush=True)
        return _report(plane, folder, config)


def _report(plane: ControlPlane, folder: Path, config: str) -> int:
    alone = measure(COLLECT, config, json.dumps(SERVICE_FACTS))
    everything = measure(COLLECT, config, "null")
    same = curl(plane, everything["requests"], folder)
    read = measure(READ_ALL, config)
    paged = pages(plane, folder, "/api/v1/pods")
    typed = measure(TYPED, config, str(TYPED_PODS))
    rows = [
        ("facts of the service alone", alone, f"{len(alone['requests'])} requests"),
        (
            f"every fact ({everything['nodes']} nodes, {everything['node_pods']} pods on the service's nodes)",
            everything,
            f"{len(everything['requests'])} requests, {same['mb']:.0f} MB",
        ),
        ("curl, the same requests", same, f"{same['mb']:.0f} MB"),
        (f"all {read['pods']} pods, decoded page by page", read, f"{paged['mb']:.0f} MB"),
        ("curl, the same pages", paged, f"{paged['mb']:.0f} MB"),
        (f"official typed client, the first {typed['pods']} pods", typed, ""),
    ]
    print("| what is read | s | own CPU, s | peak, MiB | |\n|---|---:|---:|---:|---|")
    for what, row, remark in rows:
        own = f"{row['cpu_seconds']:.1f} | {row['peak_mib']:.0f}" if "cpu_seconds" in row else " | "
        print(f"| {what} | {row['seconds']:.1f} | {own} | {remark} |")
    bounds = [
        (f"every fact: own CPU < {MAX_CPU_S:g} s", everything["cpu_seconds"] < MAX_CPU_S),
        (f"every fact: peak < {MAX_MIB} MiB", everything["peak_mib"] < MAX_MIB),
        (f"every fact: at most {MAX_RATIO:g} times curl", everything["seconds"] <= MAX_RATIO * same["seconds"]),
        (f"all pods: own CPU < {MAX_CPU_S:g} s", read["cpu_seconds"] < MAX_CPU_S),
        (f"all pods: peak < {MAX_MIB} MiB", read["peak_mib"] < MAX_MIB),
        (f"all pods: at most {MAX_RATIO:g} times curl", read["seconds"] <= MAX_RATIO * paged["seconds"]),
        ("the service alone: no list of all nodes or pods", not lists_of_all(alone["requests"])),
        ("every fact was read", not everything["failed"]),
    ]
    print()
    for what, holds in bounds:
        print(f"- {'holds' if holds else 'BROKEN'}: {what}")
    print(f"\nLoad average at the end {os.getloadavg()[0]:.1f}.")
    if everything["failed"]:
        print(f"Not read: {', '.join(everything['failed'])}.")
    return 0 if all(holds for _, holds in bounds) else 1


def _there(plane: ControlPlane, path: str) -> bool:
    try:
        plane.request("GET", path)
    except RuntimeError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
