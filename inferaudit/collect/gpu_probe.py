"""``--gpus pods``: one short pod on each node that serves, whose NVML facts come back through its log.

The one thing an audit writes into a cluster, hence in two steps: :func:`propose_probe` reads and says what would be
done, :func:`run_probe` does it. What was created is removed, also after an error, a time-out or Ctrl-C.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from inferaudit.collect.gpu import FACT_NAMES, combined
from inferaudit.collect.gpu_probe_pod import LIFETIME_S, RUNTIME_CLASS, ended, hopeless, last_words, probe_pod
from inferaudit.collect.kube_client import ApiClient, ApiError, Asked, connect
from inferaudit.collect.kubernetes import collect_kubernetes
from inferaudit.collect.nvml_host import KERNEL_LOG
from inferaudit.errors import SnapshotError, UsageError
from inferaudit.facts.gpu import Gpu, NvmlDriver, XidWatch
from inferaudit.facts.kernel_log import KernelLog
from inferaudit.kube.types import Node
from inferaudit.model import Fact, FactError, FactErrorKind
from inferaudit.placement import is_gpu_node, usable_nodes
from inferaudit.plan import GpuPlan, KubernetesPlan
from inferaudit.redact import redact_text
from inferaudit.snapshot_line import from_log

MAX_NODES = 64
_AT_ONCE = 16
_LOG_BYTES = 4 << 20
_REMOVAL_S = 30.0
_SCHEDULING_S = 10.0  # a scheduler that says no may still be asked again after its cache has caught up
_NVML = FACT_NAMES[:3]


@dataclass(frozen=True, slots=True)
class ProbeProposal:
    """What would be done: a pod of `image` in `namespace` on each of `nodes`. `words` say it to a person."""

    kubernetes: KubernetesPlan
    gpu: GpuPlan
    namespace: str
    nodes: tuple[Node, ...]
    image: str
    runtime_class: bool

    @property
    def words(self) -> str:
        """One paragraph for the terminal."""
        names = ", ".join(node.name for node in self.nodes)
        runtime = f", runtime class {RUNTIME_CLASS}" if self.runtime_class else ""
        return (
            f"--gpus pods starts {len(self.nodes)} pod(s) in namespace {self.namespace}, one on each of {names}: image "
            f"{self.image}{runtime}, no GPU claimed, nothing of the host mounted, not privileged, at most "
            f"{LIFETIME_S} s, removed afterwards"
        )


@dataclass(slots=True)
class ProbeResult:
    """The facts, and the pods that could not be removed (``namespace/name``): a person must."""

    facts: dict[str, Fact]
    left_behind: list[str] = field(default_factory=list)


def propose_probe(kubernetes: KubernetesPlan | None, gpu: GpuPlan) -> ProbeProposal | FactError:
    """What ``--gpus pods`` would do, read-only; the reason where there is nothing to do it on.

    :class:`UsageError` without cluster or image, or for more than :data:`MAX_NODES` nodes.
    """
    if kubernetes is None:
        raise UsageError("--gpus pods needs a cluster: give --context, -n and --workload")
    if not gpu.probe_image:
        raise UsageError("--gpus pods needs --probe-image IMAGE, an image that holds inferaudit (docs/gpus.md)")
    needs = frozenset(("workload", "workload.pods", "cluster.nodes"))
    facts = collect_kubernetes(replace(kubernetes, needs=needs))
    for name in ("workload", "cluster.nodes"):
        if (error := facts[name].error) is not None:
            return error
    workload = facts["workload"].value
    nodes: list[Node] = facts["cluster.nodes"].value
    pods = facts["workload.pods"].value or ()
    hosts = {(pod.get("spec") or {}).get("nodeName") for pod in pods}
    serving = [node for node in nodes if node.name in hosts and is_gpu_node(node)]
    chosen = serving or [node for node in usable_nodes(workload, nodes) if is_gpu_node(node)]
    if not chosen:
        reason = f"no GPU node serves {workload.subject}, or may"
        return FactError(FactErrorKind.NO_TARGET, reason, "GPU probe", remedy="--gpus dcgm --dcgm URL")
    if len(chosen) > MAX_NODES:
        raise UsageError(f"--gpus pods would start {len(chosen)} pods; at most {MAX_NODES}: use --gpus dcgm")
    client = connect(kubernetes)
    return ProbeProposal(
        kubernetes, gpu, workload.namespace, tuple(chosen), gpu.probe_image, _has_runtime_class(client)
    )


def run_probe(
    proposal: ProbeProposal, progress: Callable[[str], None] = lambda _: None, *, limit_s: float = LIFETIME_S + 30.0
) -> ProbeResult:
    """Start the pods, read what they say, remove them. Raises only what interrupts it, after removing them."""
    client = connect(proposal.kubernetes)
    run = secrets.token_hex(4)
    result = ProbeResult({})
    said: dict[str, dict[str, Fact] | FactError] = {}
    for start in range(0, len(proposal.nodes), _AT_ONCE):
        nodes = proposal.nodes[start : start + _AT_ONCE]
        names = {f"inferaudit-probe-{run}-{start + at}": node for at, node in enumerate(nodes)}
        client.deadline = client.clock() + limit_s
        created: list[str] = []
        with _removed(client, proposal.namespace, created, result.left_behind, progress):
            said |= _look(client, proposal, run, names, created, progress)
    found = {"NVML": _joined(said)}
    if proposal.gpu.dcgm_url:
        from inferaudit.collect.dcgm import collect_dcgm

        found["DCGM"] = collect_dcgm(proposal.gpu, progress)
    result.facts = combined(found)
    return result


def _look(
    client: ApiClient,
    proposal: ProbeProposal,
    run: str,
    names: Mapping[str, Node],
    created: list[str],
    progress: Callable[[str], None],
) -> dict[str, dict[str, Fact] | FactError]:
    """Facts or the reason for none, by node. `created` gets each pod's name before the server hears of it."""
    space, said = proposal.namespace, dict[str, dict[str, Fact] | FactError]()
    waiting: dict[str, Node] = {}
    for name, node in names.items():
        progress(f"GPU probe: starting {space}/{name} on {node.name}")
        pod = probe_pod(name, run, space, node, proposal.image, runtime_class=proposal.runtime_class)
        created.append(name)
        status, body = client.send("POST", f"/api/v1/namespaces/{space}/pods", pod)
        if 200 <= status < 300:
            waiting[name] = node
            continue
        said[node.name] = _refused(client, space, status, body)
        if 400 <= status < 500:  # any other answer may have come after the pod
            created.remove(name)
    began = client.clock()
    while waiting and client.clock() < client.deadline:
        for name, node in list(waiting.items()):
            seen = _pod(client, space, name)
            if isinstance(seen, FactError):
                said[node.name] = seen
            elif ended(seen):
                said[node.name] = _read(client, space, name, node.name, seen)
                progress(f"GPU probe: {node.name} has answered")
            elif (why := hopeless(seen)) and (
                not why.startswith("not sched") or client.clock() - began > _SCHEDULING_S
            ):
                said[node.name] = _failure(client, f"the probe on {node.name} cannot start: {_line(why)}")
            else:
                continue
            del waiting[name]
        if waiting:
            client.sleep(0.5)
    for node in waiting.values():
        said[node.name] = _failure(client, f"the probe on {node.name} was not done in time")
    return said


@contextmanager
def _removed(
    client: ApiClient, space: str, created: list[str], left: list[str], progress: Callable[[str], None]
) -> Iterator[None]:
    """Whatever happens inside, the pods go. A thread does it, so that a second Ctrl-C cannot cut it short."""
    try:
        yield
    finally:
        if created:
            progress("GPU probe: removing its pods")
        remover = threading.Thread(target=_remove, args=(client, space, created, left), name="inferaudit-probe-removal")
        remover.start()
        remover.join()


def _remove(client: ApiClient, space: str, names: list[str], left: list[str]) -> None:
    began = time.monotonic()
    pending = list(names)
    while pending and (passed := time.monotonic() - began) < _REMOVAL_S:
        for name in list(pending):
            path = f"/api/v1/namespaces/{space}/pods/{name}"
            # A kubelet that does not answer would keep the object for ever: then it goes without its word.
            options = {"gracePeriodSeconds": 1 if passed < _REMOVAL_S / 2 else 0}
            status, _ = client.send("DELETE", path, options)
            if status == 404:
                pending.remove(name)
        if pending:
            time.sleep(0.3)
    left += [f"{space}/{name}" for name in pending]


def _has_runtime_class(client: ApiClient) -> bool:
    path = f"/apis/node.k8s.io/v1/runtimeclasses/{RUNTIME_CLASS}"
    try:
        client.get(path, Asked("get", "runtimeclasses.node.k8s.io"))
    except ApiError:
        return False  # not there, or not ours to see: the default runtime then has to show the GPUs
    return True


def _pod(client: ApiClient, space: str, name: str) -> dict[str, Any] | FactError:
    asked = Asked("get", "pods", space)
    try:
        body = client.get(f"/api/v1/namespaces/{space}/pods/{name}", asked)
        return client.decode(body, dict[str, Any], asked)
    except ApiError as error:
        return error.error


def _read(client: ApiClient, space: str, name: str, node: str, pod: Mapping[str, Any]) -> dict[str, Fact] | FactError:
    path = f"/api/v1/namespaces/{space}/pods/{name}/log"
    try:
        body = client.get(path, Asked("get", "pods/log", space), {"limitBytes": str(_LOG_BYTES)}, "*/*")
        facts = from_log(body.decode("utf-8", "replace"))
    except ApiError as error:
        return error.error
    except SnapshotError as error:
        return _failure(client, f"the probe on {node} gave no facts ({_line(last_words(pod))}): {_line(str(error))}")
    missing = [name for name in _NVML if name not in facts]
    if missing:
        return _failure(client, f"the probe on {node} is of another version: it told nothing of {missing[0]}")
    gpus = facts["nvml.gpus"].value
    if gpus is not None:  # the pod's word for its own node is not taken
        facts["nvml.gpus"] = Fact([msgspec.structs.replace(gpu, node=node) for gpu in gpus])
    logs = facts.get(KERNEL_LOG)
    log = logs.value[0] if logs is not None and logs.value else None
    if log is None:
        log = KernelLog(node=node, error="the probe told nothing of the kernel log")
    told: dict[str, Fact] = {name: facts[name] for name in _NVML}
    return told | {KERNEL_LOG: Fact([msgspec.structs.replace(log, node=node)])}


def _refused(client: ApiClient, space: str, status: int, body: bytes) -> FactError:
    """Why a pod was not created: RBAC, quota and Pod Security all answer 403."""
    try:
        message = str(msgspec.json.decode(body).get("message", ""))
    except (msgspec.DecodeError, AttributeError):
        message = body.decode("utf-8", "replace")
    said = f"no probe pod may be created in {space}: {_line(message) or f'status {status}'}"
    remedy = "use --gpus dcgm, or --gpus local on the node"
    if "exceeded quota" in message:
        remedy = "make room in the namespace's quota for 100m CPU and 256Mi"
    elif "violates PodSecurity" in message:
        remedy = "see which field the policy names; the pod keeps to the level restricted"
    elif status == 403:
        remedy = "grant create, get and delete on pods and get on pods/log in this namespace (docs/gpus.md)"
    kind = FactErrorKind.DENIED if status in (401, 403) else FactErrorKind.FAILED
    return FactError(kind, said, client.source, "create", "pods", space, remedy)


def _failure(client: ApiClient, reason: str) -> FactError:
    return FactError(FactErrorKind.FAILED, reason, f"{client.source} GPU probe", remedy="kubectl describe node")


def _joined(said: Mapping[str, dict[str, Fact] | FactError]) -> dict[str, Fact]:
    """The facts of all nodes as one; where some told nothing, their reasons stand beside the others' GPUs."""
    told = {node: facts for node, facts in sorted(said.items()) if not isinstance(facts, FactError)}
    errors = [each for each in said.values() if isinstance(each, FactError)]
    errors += [error for facts in told.values() if (error := facts["nvml.gpus"].error) is not None]
    if errors:  # a fleet of which a part was not seen was not seen: the first reason stands for all of it
        return {name: Fact(error=errors[0]) for name in (*_NVML, KERNEL_LOG)}
    gpus: list[Gpu] = [gpu for facts in told.values() for gpu in facts["nvml.gpus"].value]
    return {
        "nvml.gpus": Fact(gpus),
        "nvml.driver": _driver(told),
        "nvml.xid_events": _watch([facts["nvml.xid_events"] for facts in told.values()]),
        KERNEL_LOG: Fact([log for facts in told.values() for log in facts[KERNEL_LOG].value]),
    }


def _driver(told: Mapping[str, dict[str, Fact]]) -> Fact:
    if len(told) > 1:
        reason = f"{len(told)} nodes have a driver each: they are told with their GPUs"
        return Fact(error=FactError(FactErrorKind.OUT_OF_VIEW, reason, "GPU probe"))
    ((node, facts),) = told.items()
    driver = facts["nvml.driver"].value
    return Fact(msgspec.structs.replace(driver, node=node)) if isinstance(driver, NvmlDriver) else facts["nvml.driver"]


def _watch(facts: list[Fact]) -> Fact:
    """All watches as one, as short as the shortest."""
    watches: list[XidWatch] = [fact.value for fact in facts if fact.error is None]
    if len(watches) < len(facts):
        return next(fact for fact in facts if fact.error is not None)
    return Fact(
        XidWatch(
            window_s=min((w.window_s for w in watches if w.window_s is not None), default=None),
            gpus=sum(watch.gpus for watch in watches),
            events=tuple(event for watch in watches for event in watch.events),
            truncated=any(watch.truncated for watch in watches),
        )
    )


def _line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in redact_text(text))[:300].strip()
