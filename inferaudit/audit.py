"""The conductor: collectors side by side, then the load, on one clock; the result is a snapshot.

It knows who can answer which scope word, and gives every fact that nobody was asked for its reason and the flag that
would supply it. It judges nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_futures
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from inferaudit import __version__
from inferaudit.errors import CollectError, UsageError
from inferaudit.facts import fact_specs
from inferaudit.facts.process import REPORT
from inferaudit.model import Fact, FactError, FactErrorKind, Scope, Snapshot, Target
from inferaudit.plan import ChaosPlan, CollectPlan
from inferaudit.queue_fed import queue_feeding
from inferaudit.snapshot import merge

Progress = Callable[[str], None]
Facts = dict[str, Fact]

_NOT_GIVEN: Mapping[Scope, tuple[str, str]] = {
    Scope.CLUSTER: ("no cluster and no manifests were given", "give --context and -n, or --manifests PATH"),
    Scope.GPU: ("no GPU was looked at", "give --gpus local on the GPU host, or --dcgm URL"),
    Scope.ENDPOINT: ("no endpoint was given", "give --url URL"),
    Scope.LOAD: ("no load was sent", "give --load smoke|sla|full|soak"),
    Scope.METRICS: ("no Prometheus was given", "give --prometheus URL"),
}

_ELSEWHERE = Fact(
    error=FactError(
        FactErrorKind.NO_TARGET,
        "the service's GPUs are not this host's, so they could not be sampled under load",
        source="GPUs under load",
        remedy="--gpus local on the GPU host",
    )
)


class Interrupted(Exception):  # noqa: N818  # not an error: the user said stop
    """Ctrl-C or SIGTERM; `code` is the exit code that tells which."""

    def __init__(self, code: int) -> None:
        super().__init__("interrupted")
        self.code = code


class Interruption:
    """What a signal does: it raises, except under load, where the first one ends the load and keeps what it measured,
    and while an interrupted run puts together what it has (`closing`).

    A class because signal handlers have no other way to speak to the work they interrupt.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.gentle = False
        self.closing = False
        self.code: int | None = None

    def signal(self, code: int) -> None:
        """Called in the main thread by the handler; `code` is the exit code."""
        first = self.code is None
        self.code = code
        self.stop.set()
        if not (self.closing or (self.gentle and first)):
            raise Interrupted(code)


@dataclass(frozen=True, slots=True)
class Collected:
    """The snapshot, and the exit code of the signal that cut it short (None when nothing did)."""

    snapshot: Snapshot
    interrupted_by: int | None = None


def collect(
    plan: CollectPlan,
    target: Target,
    policy: Mapping[str, Any],
    extra: Facts,
    *,
    now: Callable[[], str],
    progress: Progress = lambda _: None,
    load_progress: Callable[[Any], None] | None = None,
    interruption: Interruption | None = None,
) -> Collected:
    """Run the plan. A collector's usage error (unknown context, bad manifest) ends it; all else becomes facts."""
    started = time.monotonic()
    collected_at = now()
    facts: Facts = dict(extra)
    interruption = interruption or Interruption()
    pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="collect")
    so_far: Facts = {}  # of the endpoint: its requests may be held open for minutes
    futures = {name: pool.submit(job) for name, job in _jobs(plan, progress, so_far).items()}
    try:
        _join(futures)
        facts = _of_this_cluster(_take(futures, facts, progress))
        interruption.gentle = bool(plan.load or plan.chaos)
        if plan.load:
            facts |= _load(plan, facts, interruption.stop, progress, load_progress)
            facts |= _load_alerts(plan, facts, interruption.stop, progress)
        if plan.chaos and not interruption.stop.is_set():
            facts["endpoint.degradation"] = cut_short(plan.chaos, begun=True)
            facts |= _chaos(plan, facts, interruption.stop, progress)
    except (Interrupted, KeyboardInterrupt) as signal:
        interruption.closing = True
        interruption.stop.set()
        interruption.code = getattr(signal, "code", 130)
        done = _take({n: f for n, f in futures.items() if f.done()}, {}, progress)
        facts = merge(facts, dict(so_far) | done)
    finally:
        interruption.gentle = False
        pool.shutdown(wait=False, cancel_futures=True)
    interrupted = interruption.code is not None
    snapshot = Snapshot(
        collected_at=collected_at,
        target=_resolved(target, facts),
        facts=_complete(facts, interrupted=interrupted),
        policy=policy,
        duration_s=round(time.monotonic() - started, 3),
        interrupted=interrupted,
        tool_version=__version__,
    )
    return Collected(snapshot, interruption.code)


def _jobs(plan: CollectPlan, progress: Progress, so_far: Facts) -> dict[str, Callable[[], Facts]]:
    """The collectors of the plan; each imported only when it is asked for."""
    jobs: dict[str, Callable[[], Facts]] = {}
    if plan.kubernetes or plan.manifests:
        jobs["cluster"] = lambda: _cluster(plan, progress)
    if plan.endpoint:
        endpoint = plan.endpoint

        def ask_endpoint() -> Facts:
            from inferaudit.collect.endpoint import collect_endpoint

            return collect_endpoint(endpoint, progress, so_far=so_far)

        jobs["endpoint"] = ask_endpoint
    if plan.replicas:
        replicas = plan.replicas

        def ask_replicas() -> Facts:
            from inferaudit.collect.replicas import collect_replicas

            return collect_replicas(replicas, progress)

        jobs["replicas"] = ask_replicas
    if plan.gpu and plan.gpu.mode != "off":
        gpu = plan.gpu

        def ask_gpus() -> Facts:
            from inferaudit.collect.gpu import collect_gpus

            return collect_gpus(gpu, progress)

        jobs["gpus"] = ask_gpus
    if plan.prometheus:
        prometheus = plan.prometheus

        def ask_prometheus() -> Facts:
            from inferaudit.collect.prometheus import collect_prometheus

            return collect_prometheus(prometheus, progress, namespace=prometheus.namespace)

        jobs["prometheus"] = ask_prometheus
    return jobs


def _cluster(plan: CollectPlan, progress: Progress) -> Facts:
    """Manifests, the live cluster, or both with the manifests' objects replacing the live ones."""
    if not plan.kubernetes:
        from inferaudit.collect.manifests import collect_manifests

        assert plan.manifests is not None  # noqa: S101  # the caller looked
        return collect_manifests(plan.manifests, progress)
    from inferaudit.collect.kubernetes import collect_kubernetes, merge_manifests_over_live

    if not plan.manifests:
        return collect_kubernetes(plan.kubernetes, progress)
    from inferaudit.collect.manifests import load_manifests

    return merge_manifests_over_live(load_manifests(plan.manifests, progress), plan.kubernetes, progress)


def _join(futures: Mapping[str, Future[Facts]]) -> None:
    """Wait in short steps: a wait without end would not see a signal on every platform."""
    pending = set(futures.values())
    while pending:
        _, pending = wait_futures(pending, timeout=0.2)


def _take(futures: Mapping[str, Future[Facts]], facts: Facts, progress: Progress) -> Facts:
    for name, future in futures.items():
        facts = merge(facts, _or_failed(name, future.result, progress))
    return facts


def _or_failed(name: str, job: Callable[[], Facts], progress: Progress) -> Facts:
    """The facts of collector `name`; a failure is their error, also one that is a bug of ours: the rest stays true."""
    try:
        return job()
    except (UsageError, Interrupted):
        raise
    except Exception as bug:
        return _failed(name, _said(name, bug, progress))


def _said(name: str, error: Exception, progress: Progress) -> str:
    """Why collector `name` failed; a bug of ours is told at once, with the file that holds its traceback."""
    if isinstance(error, CollectError):
        return str(error)
    from inferaudit.bug_log import log_bug

    progress(f"{name}: a bug in inferaudit: {type(error).__name__}; details in {log_bug(error)}. Please report it.")
    return f"{name} ended in a bug of inferaudit ({type(error).__name__})"


_COLLECTOR_WORD = {
    "cluster": Scope.CLUSTER,
    "endpoint": Scope.ENDPOINT,
    "gpus": Scope.GPU,
    "replicas": Scope.ENDPOINT,
    "prometheus": Scope.METRICS,
    "load": Scope.LOAD,
}


def _failed(collector: str, reason: str) -> Facts:
    error = FactError(FactErrorKind.FAILED, reason, source=collector)
    word = _COLLECTOR_WORD[collector]
    return {name: Fact(error=error) for name, spec in fact_specs().items() if spec.scope is word}


def _load(
    plan: CollectPlan,
    facts: Facts,
    stop: threading.Event,
    progress: Progress,
    load_progress: Callable[[Any], None] | None,
) -> Facts:
    """Put the load on the endpoint; what the endpoint collector learnt fills the API and model that nobody named."""
    from inferaudit.bench.collect import collect_load
    from inferaudit.bench.prepare import lacks_model

    assert plan.load is not None  # noqa: S101  # the caller asked
    load = plan.load
    asked = facts.get("endpoint.target")
    if asked and asked.error is None:
        load = replace(load, api=load.api or asked.value.api, model=load.model or asked.value.model)
    if asked and not load.api:  # nobody named it, and nothing answered that would tell
        return _failed("load", "no load was sent: the endpoint did not answer, so its API is not known")
    if asked and lacks_model(load):
        return _failed("load", "no load was sent: no model was given, and the endpoint lists none; --model NAME")
    page, runtime = facts.get("endpoint.metrics_page"), facts.get("endpoint.runtime")
    if page and page.error is None and runtime and runtime.error is None:
        names = (runtime.value.profile, *([runtime.value.engine] if runtime.value.engine else []))
        given = plan.endpoint.metrics_url if plan.endpoint else ""
        load = replace(load, metrics_url=given or page.value.url, runtimes=names)
    progress(f"load: profile {load.profile} on {load.url}")
    with _gpu_sampling(plan, facts) as sampled:
        loaded = _or_failed("load", lambda: collect_load(load, progress=load_progress, stop=stop), progress)
    return loaded | sampled


def _load_alerts(plan: CollectPlan, facts: Facts, stop: threading.Event, progress: Progress) -> Facts:
    """What the alerts would have said of the load, where Prometheus was asked at all."""
    if plan.prometheus is None or not plan.prometheus.url or "prometheus.rules" not in facts:
        return {}
    from inferaudit.collect.prometheus_load import collect_load_alerts

    prometheus = plan.prometheus
    name = "prometheus.load_alerts"
    asked = _or_failed("prometheus", lambda: {name: collect_load_alerts(prometheus, facts, stop, progress)}, progress)
    return {name: asked[name]}


def _chaos(plan: CollectPlan, facts: Facts, stop: threading.Event, progress: Progress) -> Facts:
    """After everything else, for it disturbs the service: one pod goes, and the endpoint is watched."""
    from inferaudit.collect.chaos import collect_chaos

    chaos = plan.chaos
    assert chaos is not None  # noqa: S101  # the caller looked
    try:
        return collect_chaos(chaos, facts, stop, progress)
    except (UsageError, Interrupted):
        raise
    except Exception as bug:
        return {"endpoint.degradation": _broken_off(chaos, bug, progress)}


def _broken_off(chaos: ChaosPlan, bug: Exception, progress: Progress) -> Fact:
    """What is known of a deletion that an error broke off: nobody may read that nothing was done."""
    reason = f"a pod may have been deleted: {chaos.namespace}/{chaos.pod}; {_said('chaos', bug, progress)}"
    remedy = f"kubectl get pods -n {chaos.namespace}"
    return Fact(error=FactError(FactErrorKind.FAILED, reason, f"chaos on {chaos.subject}", remedy=remedy))


def cut_short(plan: ChaosPlan, *, begun: bool) -> Fact:
    """What is known of a deletion that was agreed to, should a signal leave no more."""
    done = f"a pod may have been deleted: {plan.namespace}/{plan.pod}" if begun else "no pod was deleted"
    reason = f"--chaos was interrupted: {done}"
    remedy = f"kubectl get pods -n {plan.namespace}"
    return Fact(error=FactError(FactErrorKind.INTERRUPTED, reason, f"chaos on {plan.subject}", remedy=remedy))


def _of_this_cluster(facts: Facts) -> Facts:
    """GPUs of a host that is no node of the audited cluster are not the service's."""
    nodes = facts.get("cluster.nodes")
    if nodes is None or nodes.error is not None or "nvml.driver" not in facts:
        return facts
    from inferaudit.collect.gpu import only_of_cluster

    return only_of_cluster(facts, [node.name for node in nodes.value])


def _seen_here(plan: CollectPlan, gpus: Fact) -> bool:
    """Whether this host's driver showed the GPUs; an exporter's or a probe's are another host's."""
    asked = plan.gpu is not None and plan.gpu.mode in ("auto", "local")
    return asked and any("NVML" in gpu.sources for gpu in gpus.value)


@contextmanager
def _gpu_sampling(plan: CollectPlan, facts: Facts) -> Iterator[Facts]:
    """Sample the GPUs that NVML showed here while the block runs; where it showed none, the samples have its reason."""
    sampled: Facts = {}
    gpus = facts.get("nvml.gpus")
    if gpus is None or gpus.error is not None:
        if gpus is not None:
            sampled["load.gpu_samples"] = gpus
        yield sampled
        return
    if not _seen_here(plan, gpus):
        sampled["load.gpu_samples"] = _ELSEWHERE
        yield sampled
        return
    from inferaudit.collect.gpu import counted_again
    from inferaudit.collect.kernel_log import read_kernel_log
    from inferaudit.collect.nvml_process import GpuWatch

    with GpuWatch() as watch:
        try:
            yield sampled
        finally:
            sampled["load.gpu_samples"], watched = watch.facts()
            if watched.error is None:  # the longer watch, and under load: it replaces the first one
                sampled["nvml.xid_events"] = watched
            log = facts.get("gpu.kernel_log")
            if log is not None and log.error is None:  # read again: the load may have left a line
                sampled["gpu.kernel_log"] = Fact([read_kernel_log(each.node, gpus.value) for each in log.value[:1]])
    if plan.gpu:
        sampled["nvml.gpus"] = Fact(counted_again(gpus.value, plan.gpu))  # read again: the load may have broken a row


def _resolved(target: Target, facts: Facts) -> Target:
    """The target with what the collectors found out."""
    workload = facts.get("workload")
    if workload and workload.error is None and workload.value is not None:
        found = workload.value
        target = replace(
            target,
            namespace=target.namespace or found.namespace,
            workload=target.workload or f"{found.kind.lower()}/{found.name}",
        )
    asked = facts.get("endpoint.target")
    if asked and asked.error is None:
        target = replace(target, api=target.api or asked.value.api, model=target.model or asked.value.model)
    return target


def _complete(facts: Facts, *, interrupted: bool) -> Facts:
    """Every declared fact has a value or a reason: what nobody collected gets the flag that would."""
    complete = dict(facts)
    queue = queue_feeding(facts)
    for name, spec in fact_specs().items():
        if name in complete or name in ("policy", REPORT) or name.startswith("manifests."):
            continue
        if spec.scope is Scope.PROCESS or spec.opt_in:
            error = FactError(FactErrorKind.NOT_ASKED, f"not given: {spec.title}", source=name, remedy=spec.flag)
        elif interrupted:
            error = FactError(FactErrorKind.INTERRUPTED, "interrupted before it was read", source="the interruption")
        else:
            word = Scope.LOAD if name.startswith("load.") else spec.scope
            reason, remedy = _NOT_GIVEN[word]
            if queue and word in (Scope.ENDPOINT, Scope.LOAD):
                reason, remedy = queue, "attest that it takes its requests from the queue, or give --url URL"
            error = FactError(FactErrorKind.NO_TARGET, reason, source=f"{word} target", remedy=remedy)
        complete[name] = Fact(error=error)
    return complete
