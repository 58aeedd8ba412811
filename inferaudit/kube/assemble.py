"""From a view of objects to the facts of a service. One unread kind costs the facts that need it, and no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from inferaudit.kube import access
from inferaudit.kube import kinds as k
from inferaudit.kube.backends import lost_backends, lost_rules
from inferaudit.kube.discovery import neighbours
from inferaudit.kube.existence import references, secrets
from inferaudit.kube.nodes import (
    node_pods_from,
    nodes_from,
    platform_daemon_set,
    platform_deployments,
    serving_nodes,
)
from inferaudit.kube.references import walk
from inferaudit.kube.related import Surroundings
from inferaudit.kube.selectors import selects
from inferaudit.kube.types import Workload
from inferaudit.kube.view import Object, UnreadError, View, metadata, name_of, namespace_of
from inferaudit.kube.workloads import claim_devices, containers_of, normalise, owners_of, pod_selector
from inferaudit.model import Fact, FactError, FactErrorKind
from inferaudit.redact import redact_object
from inferaudit.subjects import object_subject

Provider = Callable[[Surroundings], Any]


def describe(view: View, obj: Object, source: str | None = None) -> Workload:
    """The workload fact of a chosen object: redacted, with the devices behind its DRA claims counted where in view."""
    return normalise(redact_object(obj), claims_in(view, namespace_of(obj)), source)


def claims_in(view: View, namespace: str) -> dict[str, int]:
    """Devices behind the namespace's ResourceClaims and templates; unread ones count as the workload names them."""
    found: list[Object] = []
    for kind in (k.CLAIM_TEMPLATE, k.RESOURCE_CLAIM):
        try:
            found += view.list(kind, namespace)
        except UnreadError:
            continue  # service.resourceclaims carries the reason
    return claim_devices(found)


def service_facts(view: View, workload: Workload, wanted: Callable[[str], bool]) -> dict[str, Fact]:
    """The facts that files can show as well as a cluster."""
    return _provide(_GIVEN, Surroundings(view, workload), wanted)


def status_facts(view: View, workload: Workload, wanted: Callable[[str], bool]) -> dict[str, Fact]:
    """The facts that take status: pods, events, revisions, endpoints, nodes."""
    return _provide(_STATUS, Surroundings(view, workload), wanted)


def provide(provider: Callable[[], Any]) -> Fact:
    """The fact that `provider` returns, redacted; or the error it met, an object that the API would refuse included."""
    try:
        return Fact(_clean(provider()))
    except UnreadError as unread:
        return Fact(error=unread.error)
    except (AttributeError, KeyError, TypeError, ValueError, msgspec.ValidationError) as error:
        return Fact(error=FactError(FactErrorKind.FAILED, f"a malformed object: {type(error).__name__}: {error}"[:300]))


def _provide(providers: Mapping[str, Provider], around: Surroundings, wanted: Callable[[str], bool]) -> dict[str, Fact]:
    return {name: provide(lambda p=p: p(around)) for name, p in providers.items() if wanted(name)}  # type: ignore[misc]


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return redact_object(value)
    if isinstance(value, list):
        return [redact_object(item) if isinstance(item, dict) else item for item in value]
    return value


def _workloads(around: Surroundings) -> Any:
    """Neighbours: a kind that cannot be read is left out only where files, not a cluster, are looked at."""
    found: list[Object] = []
    for kind in k.WORKLOAD_KINDS:
        try:
            found += around.view.list(kind, around.namespace)
        except UnreadError as unread:
            if unread.error.kind is not FactErrorKind.OUT_OF_VIEW:
                raise
    return neighbours(found, around.workload, claims_in(around.view, around.namespace))


def _config_maps(around: Surroundings) -> list[Object]:
    named = [each for each in walk(around.workload) if each.kind == k.CONFIG_MAP]
    return _named(around, [(each.kind, each.namespace, each.name) for each in named])


def _named(around: Surroundings, names: Iterable[tuple[k.Kind, str, str]]) -> list[Object]:
    """The named objects that exist. An error only where not one could be seen: references tell of the others."""
    found: list[Object] = []
    unseen: UnreadError | None = None
    for kind, namespace, name in dict.fromkeys(names):
        try:
            obj = around.view.get(kind, namespace, name)
        except UnreadError as unread:
            if unread.error.kind is not FactErrorKind.OUT_OF_VIEW:
                raise
            unseen = unread
        else:
            found += [obj] if obj is not None else []
    if unseen is not None and not found:
        raise unseen
    return found


def _claims(around: Surroundings) -> list[Object]:
    """Claims named by volumes, and those that a StatefulSet's templates make (in files: the templates themselves)."""
    named = [(e.kind, e.namespace, e.name) for e in walk(around.workload) if e.kind == k.CLAIM]
    templates = (around.workload.object.get("spec") or {}).get("volumeClaimTemplates") or []
    found = _named(around, named)
    if templates and around.view.live:
        stems = tuple(f"{name_of(template)}-{around.workload.name}-" for template in templates)
        return found + [c for c in around.here(k.CLAIM) if name_of(c).startswith(stems)]
    head = {"apiVersion": "v1", "kind": k.CLAIM.name}
    return found + [{**head, **t, "metadata": {**metadata(t), "namespace": around.namespace}} for t in templates]


def _unique(objects: Iterable[Object]) -> list[Object]:
    """Each object once: one may carry more than one of the labels that are looked for."""
    return list({(namespace_of(obj), name_of(obj)): obj for obj in objects}.values())


def _snapshots(around: Surroundings) -> list[Object]:
    """VolumeSnapshots that were taken of the workload's claims."""
    names = {name_of(claim) for claim in _claims(around)}
    taken = around.here(k.VOLUME_SNAPSHOT) if names else []
    return [o for o in taken if ((o.get("spec") or {}).get("source") or {}).get("persistentVolumeClaimName") in names]


def _priority_class(around: Surroundings) -> Object | None:
    named = [each for each in walk(around.workload) if each.kind == k.PRIORITY_CLASS]
    return around.view.get(k.PRIORITY_CLASS, "", named[0].name) if named else None


def _replica_sets(around: Surroundings) -> list[Object]:
    kind = k.REPLICA_SET if around.workload.kind in (k.DEPLOYMENT.name, k.ROLLOUT.name) else k.CONTROLLER_REVISION
    if around.workload.kind in (k.POD.name, k.RAY_SERVICE.name, k.INFERENCE_SERVICE.name):
        return []
    return [obj for obj in around.here(kind) if _owned(obj, around.workload.kind, {around.workload.name})]


def _owned(obj: Mapping[str, Any], kind: str, names: Iterable[str]) -> bool:
    return any(owner.kind == kind and owner.name in set(names) for owner in owners_of(obj))


def pods_of(around: Surroundings) -> list[Object]:
    """The workload's pods: by its selector, less those that a controller of another workload owns."""
    workload, pods = around.workload, around.here(k.POD)
    if workload.kind == k.POD.name:
        return [pod for pod in pods if name_of(pod) == workload.name]
    if workload.kind == k.RAY_SERVICE.name:
        prefix = f"{workload.name}-"
        clusters = [(metadata(pod).get("labels") or {}).get("ray.io/cluster", "") for pod in pods]
        return [pod for pod, cluster in zip(pods, clusters, strict=True) if cluster.startswith(prefix)]
    selected = [pod for pod in pods if selects(pod_selector(workload.object), metadata(pod).get("labels"))]
    if workload.kind not in (k.DEPLOYMENT.name, k.ROLLOUT.name):
        own = {workload.name}
        return [p for p in selected if workload.kind not in _DIRECT or _owned(p, workload.kind, own)]
    try:
        sets = {name_of(obj) for obj in _replica_sets(around)}
    except UnreadError:
        return selected  # the selector alone then says whose they are
    return [pod for pod in selected if _owned(pod, k.REPLICA_SET.name, sets)]


_DIRECT = (k.STATEFUL_SET.name, k.DAEMON_SET.name)  # these own their pods themselves


def _events(around: Surroundings) -> list[Object]:
    workload = around.workload
    about = {(workload.kind, workload.name), *((o.kind, o.name) for o in workload.owners)}
    for objects in (_replica_sets, pods_of, lambda each: each.autoscalers, lambda each: each.pdbs):
        try:
            about |= {(str(obj.get("kind")), name_of(obj)) for obj in objects(around)}
        except UnreadError:
            continue  # events about the rest are still events
    found = []
    for event in around.here(k.EVENT):
        involved = event.get("involvedObject") or event.get("regarding") or {}
        if (str(involved.get("kind")), str(involved.get("name"))) in about:
            found.append(event)
    return found[-_EVENT_LIMIT:]


_EVENT_LIMIT = 1000


def _endpoint_slices(around: Surroundings) -> list[Object]:
    names = {name_of(service) for service in around.services}
    return [
        obj
        for obj in around.here(k.ENDPOINT_SLICE)
        if (metadata(obj).get("labels") or {}).get("kubernetes.io/service-name") in names
    ]


def hosts_of(around: Surroundings) -> frozenset[str]:
    """Names of the nodes that run the workload's pods now."""
    return frozenset(str((p.get("spec") or {}).get("nodeName") or "") for p in pods_of(around)) - {""}


def _node_pods(around: Surroundings) -> Any:
    names = serving_nodes(around.workload, nodes_from(around.everywhere(k.NODE)), hosts_of(around))
    return node_pods_from(around.everywhere(k.POD), frozenset(names))


_GIVEN: dict[str, Provider] = {
    "workload": lambda s: s.workload,
    "workload.containers": lambda s: containers_of(s.workload, claims_in(s.view, s.namespace)),
    "service.workloads": _workloads,
    "service.services": lambda s: s.services,
    "service.ingresses": lambda s: s.ingresses,
    "service.routes": lambda s: s.routes,
    "service.fronts": lambda s: s.fronts,
    "service.lostbackends": lost_backends,
    "service.lostrules": lost_rules,
    "service.gateways": lambda s: s.gateways,
    "service.inferencepools": lambda s: s.pools,
    "service.trafficpolicies": lambda s: s.traffic_policies,
    "service.autoscalers": lambda s: s.autoscalers,
    "service.strayautoscalers": lambda s: s.stray_autoscalers,
    "service.pdbs": lambda s: s.pdbs,
    "service.networkpolicies": lambda s: s.network_policies,
    "service.vendornetworkpolicies": lambda s: s.vendor_network_policies,
    "service.configmaps": _config_maps,
    "service.secrets": secrets,
    "service.externalsecrets": lambda s: s.here(k.EXTERNAL_SECRET, k.SECRET_PROVIDER_CLASS),
    "service.claims": _claims,
    "service.serviceaccount": lambda s: s.view.get(k.SERVICE_ACCOUNT, s.namespace, s.service_account_name),
    "service.roles": access.roles,
    "service.access": lambda s: access.with_roles(s, access.access(s)),
    "service.monitors": lambda s: s.monitors,
    "service.rules": lambda s: s.everywhere(k.PROMETHEUS_RULE),
    "service.rollouts": lambda s: s.rollouts,
    "service.analyses": lambda s: s.here(k.ANALYSIS_TEMPLATE, k.METRIC_TEMPLATE),
    "service.quotas": lambda s: s.here(k.RESOURCE_QUOTA, k.LIMIT_RANGE),
    "service.priorityclass": _priority_class,
    "service.namespace": lambda s: s.view.get(k.NAMESPACE, "", s.namespace),
    "service.references": references,
    "service.certificates": lambda s: s.here(k.CERTIFICATE),
    "service.resourceclaims": lambda s: s.here(k.CLAIM_TEMPLATE, k.RESOURCE_CLAIM),
    "service.backups": lambda s: s.backups,
    "service.snapshots": lambda s: _snapshots(s),
    "service.dashboards": lambda s: s.dashboards,
    "service.backends": lambda s: s.here(k.ENVOY_BACKEND),
}
_STATUS: dict[str, Provider] = {
    "workload.pods": pods_of,
    "workload.replicasets": _replica_sets,
    "workload.events": _events,
    "service.endpointslices": _endpoint_slices,
    "service.daemonsets": lambda s: [platform_daemon_set(obj) for obj in s.everywhere(k.DAEMON_SET)],
    "service.straypools": lambda s: s.stray_pools,
    "cluster.platform": lambda s: platform_deployments(_unique(s.everywhere(*k.PLATFORM_DEPLOYMENTS))),
    "cluster.autoscaler": lambda s: s.view.get(k.CONFIG_MAP, k.SYSTEM_NAMESPACE, k.AUTOSCALER_STATUS),
    "cluster.nodes": lambda s: nodes_from(s.everywhere(k.NODE)),
    "cluster.node_pods": _node_pods,
}


def locations(objects: Sequence[tuple[Object, str]]) -> dict[str, str]:
    """Subject to ``file:line`` of objects from files."""
    return {object_subject(obj): source for obj, source in objects}
