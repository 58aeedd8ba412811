"""The Kubernetes collector: a live cluster becomes facts of the service.

Reads run in waves, for one names the next: workloads, then what lies around the chosen one, then what those name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from inferaudit.collect.kube_client import ApiError, connect
from inferaudit.collect.kube_reader import Reader, discover, version
from inferaudit.facts.kubernetes import FACTS
from inferaudit.kube import kinds as k
from inferaudit.kube.access import access, bindings, role_of
from inferaudit.kube.assemble import describe, hosts_of, provide, service_facts, status_facts
from inferaudit.kube.discovery import SeveralWorkloads, choose, inference_workloads, label, parse_name
from inferaudit.kube.existence import named_secrets
from inferaudit.kube.kinds import Kind
from inferaudit.kube.nodes import serving_nodes
from inferaudit.kube.references import walk
from inferaudit.kube.related import Surroundings
from inferaudit.kube.types import Node
from inferaudit.kube.view import (
    ManifestObjects,
    Object,
    OverlayView,
    UnreadError,
    UnseenView,
    View,
    name_of,
    namespace_of,
)
from inferaudit.kube.workloads import containers_of
from inferaudit.model import Fact, FactError
from inferaudit.plan import KubernetesPlan
from inferaudit.subjects import object_subject

__all__ = ["SeveralWorkloads", "collect_kubernetes", "list_inference_workloads", "merge_manifests_over_live"]

Progress = Callable[[str], None]
T = TypeVar("T")
Found = tuple[Kind, str, str]
Permissions = frozenset[tuple[str, str, str]]  # verb, resource, group

_IN_NAMESPACE: tuple[Kind, ...] = (
    *k.WORKLOAD_KINDS,
    k.SERVICE,
    *k.ENTRY_KINDS,
    k.INFERENCE_POOL,
    *k.TRAFFIC_POLICIES,
    k.HPA,
    k.SCALED_OBJECT,
    k.PDB,
    k.NETWORK_POLICY,
    *(kind for kind in k.VENDOR_NETWORK_POLICIES if kind.namespaced),
    k.CLAIM,
    k.VOLUME_SNAPSHOT,
    k.DASHBOARD_MAP,
    k.ENVOY_BACKEND,
    k.ROLE_BINDING,
    k.CANARY,
    k.DESTINATION_RULE,
    k.SERVICE_ENTRY,
    k.ANALYSIS_TEMPLATE,
    k.METRIC_TEMPLATE,
    k.RESOURCE_QUOTA,
    k.LIMIT_RANGE,
    k.CERTIFICATE,
    k.EXTERNAL_SECRET,
    k.SEALED_SECRET,
    k.SECRET_PROVIDER_CLASS,
    k.CLAIM_TEMPLATE,
    k.RESOURCE_CLAIM,
    k.REPLICA_SET,
    k.CONTROLLER_REVISION,
    k.EVENT,
    k.ENDPOINT_SLICE,
)
# Lists over all namespaces, read only for the facts behind them.
_EVERYWHERE: dict[str, tuple[Kind, ...]] = {
    "service.roles": (k.CLUSTER_ROLE_BINDING,),
    "service.access": (k.CLUSTER_ROLE_BINDING,),
    "service.monitors": (k.SERVICE_MONITOR, k.POD_MONITOR),
    "service.rules": (k.PROMETHEUS_RULE,),
    "service.backups": (k.BACKUP_SCHEDULE, k.BACKUP),
    "service.daemonsets": (k.DAEMON_SET,),
    "service.dashboards": (k.GRAFANA_DASHBOARD,),
    "service.vendornetworkpolicies": tuple(kind for kind in k.VENDOR_NETWORK_POLICIES if not kind.namespaced),
    "cluster.platform": k.PLATFORM_DEPLOYMENTS,
}
_BY_NODE = ("cluster.nodes", "cluster.node_pods")
_LOGGED_PODS = 3


def collect_kubernetes(
    plan: KubernetesPlan, progress: Progress = lambda _: None, overlay: ManifestObjects | None = None
) -> dict[str, Fact]:
    """The facts of the live cluster; with `overlay`, objects from files replace the live ones of the same identity.

    :class:`UsageError` where it is not clear what to audit (no context, no such workload, several). What the cluster
    does not answer becomes the error of the facts concerned.
    """
    client = connect(plan)
    progress(f"cluster: {client.url}")
    wanted = _wanted(plan)
    try:
        served = discover(client)
    except ApiError as error:
        return _pick(_without_cluster(error.error, plan, overlay), wanted)
    reader = Reader(client, served, plan.concurrency)
    facts = {
        "cluster.version": _read(lambda: version(client)),
        "cluster.crds": Fact(served.resources),
        "manifests.locations": Fact(dict(overlay.sources) if overlay else {}),
    }
    try:
        view, chosen = _find(plan, reader, overlay)
    except UnreadError as error:
        # Without the workload there is no telling what belongs to it; nodes can be told all the same.
        rest = {"cluster.nodes": _value(reader.nodes()), **facts}
        return _pick({**_all(error.error), **rest}, wanted)
    progress(f"cluster: auditing {label(chosen)} in {namespace_of(chosen)}")
    permitted = _permissions(wanted)
    reader.lists(_lists(namespace_of(chosen), wanted, permitted))
    source = overlay.sources.get(object_subject(chosen)) if overlay else None
    workload = describe(view, chosen, source)
    around = Surroundings(view, workload)
    reader.singles(each for each in _named(around) if ("get", each[0].plural, each[0].group) in permitted)
    if ("get", k.SECRET.plural, k.SECRET.group) in permitted:
        reader.singles((k.SECRET, workload.namespace, name) for name in named_secrets(around))
    if wanted("cluster.autoscaler"):
        reader.singles([(k.CONFIG_MAP, k.SYSTEM_NAMESPACE, k.AUTOSCALER_STATUS)])
    facts |= service_facts(view, workload, wanted)
    facts |= status_facts(view, workload, lambda name: wanted(name) and name not in _BY_NODE)
    facts |= _nodes(reader, around, wanted, progress)
    if wanted("workload.logs"):
        facts["workload.logs"] = _logs(reader, around)
    return _pick(facts, wanted)


def merge_manifests_over_live(
    manifests: ManifestObjects, plan: KubernetesPlan, progress: Progress = lambda _: None
) -> dict[str, Fact]:
    """The service as it would be once the files are applied: their objects replace live ones of the same identity."""
    return collect_kubernetes(plan, progress, overlay=manifests)


def list_inference_workloads(plan: KubernetesPlan) -> list[tuple[str, str]]:
    """Namespace and ``kind/name`` of every inference workload in sight.

    :class:`ApiError` where the cluster does not answer; kinds that may not be listed are left out.
    """
    client = connect(plan)
    reader = Reader(client, discover(client), plan.concurrency)
    candidates, _ = _candidates(reader, plan.namespace or client.namespace or None)
    return sorted((namespace_of(obj), label(obj)) for obj in inference_workloads(candidates))


def _wanted(plan: KubernetesPlan) -> Callable[[str], bool]:
    return lambda name: plan.needs is None or name in plan.needs


def _pick(facts: dict[str, Fact], wanted: Callable[[str], bool]) -> dict[str, Fact]:
    return {name: fact for name, fact in facts.items() if wanted(name)}


def _all(error: FactError) -> dict[str, Fact]:
    return {spec.name: Fact(error=error) for spec in FACTS}


def _without_cluster(error: FactError, plan: KubernetesPlan, overlay: ManifestObjects | None) -> dict[str, Fact]:
    """One error for all, but for what files say of the workload by themselves."""
    facts = _all(error)
    if overlay is not None:
        chosen = choose(overlay.candidates(), plan.workload, plan.namespace, "the manifests")
        view = OverlayView(overlay.view, UnseenView(error))
        workload = describe(view, chosen, overlay.sources.get(object_subject(chosen)))
        facts |= service_facts(view, workload, lambda _: True)
        facts["manifests.locations"] = Fact(dict(overlay.sources))
    return facts


def _read(read: Callable[[], object]) -> Fact:
    try:
        return Fact(read())
    except ApiError as error:
        return Fact(error=error.error)


def _value(found: object) -> Fact:
    return Fact(error=found) if isinstance(found, FactError) else Fact(found)


def _candidates(
    reader: Reader, namespace: str | None, kinds: tuple[Kind, ...] = k.WORKLOAD_KINDS
) -> tuple[list[Object], list[FactError]]:
    """All objects of workload kinds, and why some kinds could not be listed.

    Pods of every namespace are a list too long to read before anything else was looked at: there only where no
    other kind has inference.
    """
    if namespace is None and k.POD in kinds and len(kinds) > 1:
        found, errors = _candidates(reader, None, tuple(kind for kind in kinds if kind != k.POD))
        if errors or inference_workloads(found):
            return found, errors
    reader.lists((kind, namespace) for kind in kinds)
    found, errors = [], []
    for kind in kinds:
        listed = reader.store.lists[kind, namespace]
        if isinstance(listed, FactError):
            errors.append(listed)
        else:
            found += listed
    return found, errors


def _find(plan: KubernetesPlan, reader: Reader, overlay: ManifestObjects | None) -> tuple[View, Object]:
    """The view and the workload in it. :class:`UnreadError` where what could not be listed may be what is sought."""
    client = reader.client
    namespace = plan.namespace or client.namespace
    if overlay is not None:
        view: View = OverlayView(overlay.view, reader.store)
        chosen = choose(overlay.candidates(), plan.workload, plan.namespace, "the manifests")
        reader.lists((kind, namespace_of(chosen)) for kind in k.WORKLOAD_KINDS)
        return view, _with_live_status(view, chosen)
    kind, name = parse_name(plan.workload) if plan.workload else (None, "")
    candidates, errors = _candidates(reader, namespace or None, (k.POD,) if kind == k.POD else k.WORKLOAD_KINDS)
    seen = [o for o in candidates if name_of(o) == name] if name else inference_workloads(candidates)
    if kind is not None:
        unread = reader.store.lists.get((kind, namespace or None))
        errors = [unread] if isinstance(unread, FactError) else []
    if errors and not seen:
        raise UnreadError(errors[0])
    where = f"context {client.context}" if client.context else client.url
    return reader.store, choose(candidates, plan.workload, namespace, where)


def _with_live_status(view: View, chosen: Object) -> Object:
    kind = k.kind_of(chosen)
    listed = _seen(lambda: list(view.list(kind, namespace_of(chosen)))) if kind else []
    return next((obj for obj in listed if name_of(obj) == name_of(chosen)), chosen)


def _permissions(wanted: Callable[[str], bool]) -> Permissions:
    """The reads behind the wanted facts: what they do not declare is not read, so that no call is refused in vain."""
    return frozenset((r.verb, r.resource, r.group) for spec in FACTS if wanted(spec.name) for r in spec.rbac)


def _lists(namespace: str, wanted: Callable[[str], bool], permitted: Permissions) -> Iterable[tuple[Kind, str | None]]:
    for kind in _IN_NAMESPACE:
        if kind in k.WORKLOAD_KINDS or ("list", kind.plural, kind.group) in permitted:
            yield kind, namespace
    for fact, kinds in _EVERYWHERE.items():
        if wanted(fact):
            for kind in kinds:
                yield kind, None


def _named(around: Surroundings) -> list[Found]:
    """The single objects that the workload and its surroundings name, Secrets apart."""
    found: list[Found] = [
        (k.SERVICE_ACCOUNT, around.namespace, around.service_account_name),
        (k.NAMESPACE, "", around.namespace),
    ]
    found += [(e.kind, e.namespace, e.name) for e in walk(around.workload) if e.kind != k.SECRET]
    found += _seen(around.gateway_names)
    for binding in (*_seen(lambda: bindings(around)), *_seen(lambda: access(around))):
        kind, name = role_of(binding)
        found.append((kind, namespace_of(binding), name))
    return found


def _seen(read: Callable[[], list[T]]) -> list[T]:
    try:
        return read()
    except UnreadError:
        return []  # the fact carries the reason; there is nothing to read after it


def _nodes(reader: Reader, around: Surroundings, wanted: Callable[[str], bool], progress: Progress) -> dict[str, Fact]:
    """Nodes and, where a check asks for it, the pods on those that the service may run on."""
    if not (wanted("cluster.nodes") or wanted("cluster.node_pods")):
        return {}
    nodes = reader.nodes()
    facts = {"cluster.nodes": _value(nodes)}
    if wanted("cluster.node_pods"):
        facts["cluster.node_pods"] = _node_pods(reader, around, nodes, progress)
    return facts


def _node_pods(reader: Reader, around: Surroundings, nodes: list[Node] | FactError, progress: Progress) -> Fact:
    if isinstance(nodes, FactError):
        return Fact(error=nodes)
    hosts = provide(lambda: hosts_of(around))
    if hosts.error is not None:
        return hosts
    names = serving_nodes(around.workload, nodes, hosts.value)
    progress(f"cluster: pods on {len(names)} of {len(nodes)} nodes")
    return _value(reader.node_pods(names, len(nodes)))


def _logs(reader: Reader, around: Surroundings) -> Fact:
    """Logs of the serving containers of a few pods, restarted ones first, with the run before a restart."""
    pods = provide(lambda: status_facts(around.view, around.workload, lambda n: n == "workload.pods")["workload.pods"])
    fact: Fact = pods.value
    if fact.error is not None:
        return fact
    serving = {str(c.get("name")) for c in containers_of(around.workload) if c.get("serving")}
    asked = []
    for pod in sorted(fact.value, key=_restarts, reverse=True)[:_LOGGED_PODS]:
        statuses = (pod.get("status") or {}).get("containerStatuses") or ()
        for status in statuses:
            if status.get("name") in serving:
                asked.append((name_of(pod), str(status["name"]), False))
                if status.get("restartCount"):
                    asked.append((name_of(pod), str(status["name"]), True))
    return _value(reader.logs(around.namespace, asked))


def _restarts(pod: Object) -> int:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return sum(int(status.get("restartCount") or 0) for status in statuses)
