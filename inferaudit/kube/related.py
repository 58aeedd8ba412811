"""What belongs to a workload: who selects its pods, who routes to it, who scales, guards and watches it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from inferaudit.kube import kinds as k
from inferaudit.kube.attachment import Target, pod_labels_of, targets_of
from inferaudit.kube.entries import ingress_backends, passes_on, virtual_hosts
from inferaudit.kube.kinds import Kind
from inferaudit.kube.references import walk
from inferaudit.kube.selectors import matches_labels, selects
from inferaudit.kube.types import Workload
from inferaudit.kube.view import Object, UnreadError, View, metadata, name_of, namespace_of
from inferaudit.kube.workloads import normalise, pod_template, template_labels
from inferaudit.model import FactErrorKind

_GROUP = "leaderworkerset.sigs.k8s.io"
ARGO_HASH = "rollouts-pod-template-hash"
_RAY_CLUSTER = "ray.io/cluster"
_WAYPOINT = "istio.io/use-waypoint"


@dataclass(frozen=True)
class Surroundings:
    """A workload within a view. Every property is a list of whole objects, or raises what the view raises."""

    view: View
    workload: Workload

    @property
    def namespace(self) -> str:
        return self.workload.namespace

    @cached_property
    def labels(self) -> dict[str, str]:
        """The labels on the workload's pods; of a group, those on its leader, the controller's own among them."""
        own = {}
        if self.workload.kind == k.LEADER_WORKER_SET.name:
            own = {f"{_GROUP}/name": self.workload.name, f"{_GROUP}/worker-index": "0"}
        if self.workload.kind == k.RAY_SERVICE.name:
            own = {"ray.io/serve": "true", "ray.io/node-type": "worker" if self.workload.gpus_per_pod else "head"}
        return {**template_labels(self.workload.template), **own}

    def gather(self, *asked: tuple[Kind, str | None]) -> list[Object]:
        """All objects of several kinds that answer one question together.

        Files that show one of the kinds answer for the others; files that show none leave it open.
        """
        found: list[Object] = []
        unseen: UnreadError | None = None
        for kind, namespace in asked:
            try:
                found += self.view.list(kind, namespace)
            except UnreadError as error:
                if error.error.kind is not FactErrorKind.OUT_OF_VIEW:
                    raise
                unseen = unseen or error
        if unseen is not None and not found:
            raise unseen
        return found

    def here(self, *kinds: Kind) -> list[Object]:
        """All objects of these kinds in the namespace."""
        return self.gather(*((kind, self.namespace) for kind in kinds))

    def everywhere(self, *kinds: Kind) -> list[Object]:
        """All objects of these kinds."""
        return self.gather(*((kind, None) for kind in kinds))

    @cached_property
    def services(self) -> list[Object]:
        """Services whose selector is not empty and matches the pods."""
        return [s for s in self.here(k.SERVICE) if _spec(s).get("selector") and self._matched(_spec(s)["selector"])]

    def _matched(self, selector: Mapping[str, Any]) -> bool:
        """Argo Rollouts and KubeRay narrow Services to a revision or cluster by a label that no template has."""
        own = {ARGO_HASH} | ({_RAY_CLUSTER} if self._is_ray_cluster(selector.get(_RAY_CLUSTER)) else set())
        return matches_labels({key: value for key, value in selector.items() if key not in own}, self.labels)

    def _is_ray_cluster(self, name: Any) -> bool:
        return self.workload.kind == k.RAY_SERVICE.name and str(name).startswith(f"{self.workload.name}-")

    @cached_property
    def _service_names(self) -> frozenset[str]:
        return frozenset(name_of(service) for service in self.services)

    @property
    def ingresses(self) -> list[Object]:
        return self._ingresses_to(self._service_names)

    def _ingresses_to(self, services: frozenset[str]) -> list[Object]:
        return [i for i in self.here(k.INGRESS) if services & set(ingress_backends(i))]

    @cached_property
    def pools(self) -> list[Object]:
        """InferencePools over the pods."""
        found = []
        for pool in self.here(k.INFERENCE_POOL):
            selector = _spec(pool).get("selector") or {}
            if selects(selector if "matchLabels" in selector else {"matchLabels": selector}, self.labels):
                found.append(pool)
        return found

    @property
    def stray_pools(self) -> list[Object]:
        """InferencePools of the namespace that select none of its pods. Asked of a cluster alone, which shows pods."""
        pools = self.here(k.INFERENCE_POOL)
        pods = [metadata(pod).get("labels") or {} for pod in self.here(k.POD)] if pools else []
        strays = []
        for pool in pools:
            selector = _spec(pool).get("selector") or {}
            whole = selector if "matchLabels" in selector else {"matchLabels": selector}
            if not any(selects(whole, labels) for labels in (self.labels, *pods)):
                strays.append(pool)
        return strays

    @property
    def dashboards(self) -> list[Object]:
        """Dashboards of the namespace by label, and GrafanaDashboards of any, for a board names its services itself."""
        return self.gather((k.DASHBOARD_MAP, self.namespace), (k.GRAFANA_DASHBOARD, None))

    @cached_property
    def routes(self) -> list[Object]:
        return self._routes_to(self._service_names)

    def _routes_to(self, services: frozenset[str]) -> list[Object]:
        found = []
        for route in self.here(*k.ENTRY_KINDS):
            if route.get("kind") == k.VIRTUAL_SERVICE.name:
                ours = self._is_host(virtual_hosts(route), services)
            else:
                rules = _spec(route).get("rules") or ()
                ours = any(self._is_backend(ref, services) for rule in rules for ref in rule.get("backendRefs") or ())
            if ours and route.get("kind") != k.INGRESS.name:
                found.append(route)
        return found

    def _is_backend(self, ref: Mapping[str, Any], services: frozenset[str]) -> bool:
        """A backendRef to one of the Services, or to a pool; pools are looked at only where a route names one."""
        if (ref.get("namespace") or self.namespace) != self.namespace:
            return False
        if ref.get("kind") == k.INFERENCE_POOL.name:
            return any(name_of(pool) == ref.get("name") for pool in self.pools)
        return ref.get("name") in services

    def _is_host(self, hosts: Iterable[str], services: frozenset[str]) -> bool:
        """``chat``, ``chat.ns`` and ``chat.ns.svc.cluster.local`` are one Service."""
        for host in hosts:
            name, _, rest = str(host).partition(".")
            if name in services and rest.partition(".")[0] in ("", self.namespace):
                return True
        return False

    @cached_property
    def fronts(self) -> list[Object]:
        """Ingresses and routes to the routers of the namespace that pass requests on to the service."""
        routers = []
        for obj in self.here(k.DEPLOYMENT, k.STATEFUL_SET, k.DAEMON_SET):
            named = [each.name for each in walk(normalise(obj)) if each.kind == k.CONFIG_MAP]
            files = [str(text) for name in named for text in (self._config(name).get("data") or {}).values()]
            if passes_on(pod_template(obj), files, self._service_names, self.namespace, self.labels):
                routers.append(template_labels(pod_template(obj)))
        selectors = [(name_of(s), _spec(s).get("selector")) for s in self.here(k.SERVICE)] if routers else []
        found = {name for name, wanted in selectors if wanted and any(matches_labels(wanted, own) for own in routers)}
        names = frozenset(found - self._service_names)
        ours = [*self.ingresses, *self.routes] if names else []
        return [o for o in (*self._ingresses_to(names), *self._routes_to(names)) if o not in ours] if names else []

    def _config(self, name: str) -> Object:
        try:
            return self.view.get(k.CONFIG_MAP, self.namespace, name) or {}
        except UnreadError:
            return {}  # what a router is told elsewhere is not known

    @property
    def _all_routes(self) -> list[Object]:
        """Those to the service and those to a router in front of it, as far as these can be seen."""
        try:
            return [*self.routes, *(o for o in self.fronts if o.get("kind") != k.INGRESS.name)]
        except UnreadError:
            return self.routes

    @property
    def gateways(self) -> list[Object]:
        found = {}
        for kind, namespace, name in self.gateway_names():
            gateway = self.view.get(kind, namespace, name)
            if gateway is not None:
                found[kind.group, namespace, name] = gateway
        return list(found.values())

    def gateway_names(self) -> list[tuple[Kind, str, str]]:
        """The gateways that the routes attach to: kind, namespace, name."""
        names = []
        for route in self._all_routes:
            names += [
                (k.GATEWAY, str(ref.get("namespace") or namespace_of(route)), str(ref.get("name")))
                for ref in _spec(route).get("parentRefs") or ()
                if (ref.get("kind") or "Gateway") == "Gateway"
            ]
            for ref in _spec(route).get("gateways") or ():
                namespace, _, name = str(ref).rpartition("/")
                if name != "mesh":
                    names.append((k.ISTIO_GATEWAY, namespace or namespace_of(route), name))
        return list(dict.fromkeys(names))

    @property
    def traffic_policies(self) -> list[Object]:
        """Policies of gateways and meshes attached to something of the service, or to nothing in particular."""
        return [p for p in self.here(*k.TRAFFIC_POLICIES) if self._is_attached(p)]

    def _is_attached(self, policy: Object) -> bool:
        targets = [*targets_of(policy)]
        if targets:
            return any(self._is_ours(target) for target in targets)
        return matches_labels(pod_labels_of(policy), self.labels)

    def _is_ours(self, target: Target) -> bool:
        """What a policy names is looked for only where one names it: files need not hold the rest."""
        if target.kind == k.GATEWAY.name and target.name:
            named = [(kind.name, namespace, name) for kind, namespace, name in self.gateway_names()]
            return (target.kind, target.namespace, target.name) in named or target.name in self._waypoints
        return any(
            name_of(obj) == target.name if target.name else selects(target.selector, metadata(obj).get("labels"))
            for obj in self._of_kind(target.kind)
            if namespace_of(obj) == target.namespace
        )

    def _of_kind(self, kind: str) -> list[Object]:
        if kind == k.SERVICE.name:
            return self.services
        if kind == k.INGRESS.name:
            return self.ingresses
        if kind == k.GATEWAY.name:
            return self.gateways
        if kind == k.INFERENCE_POOL.name:
            return self.pools
        return [route for route in self._all_routes if route.get("kind") == kind]

    @cached_property
    def _waypoints(self) -> frozenset[str]:
        """The proxies of an ambient mesh that the pods, their Services or their namespace name."""
        try:
            space = self.view.get(k.NAMESPACE, "", self.namespace) or {}
        except UnreadError as error:
            if error.error.kind is not FactErrorKind.OUT_OF_VIEW:
                raise
            space = {}
        labels = [self.labels, *(metadata(obj).get("labels") or {} for obj in (*self.services, space))]
        return frozenset(str(each[_WAYPOINT]) for each in labels if _WAYPOINT in each)

    @property
    def autoscalers(self) -> list[Object]:
        return [s for s in self.here(k.HPA, k.SCALED_OBJECT) if self._is_target(_spec(s).get("scaleTargetRef"))]

    @property
    def stray_autoscalers(self) -> list[Object]:
        """Autoscalers of the namespace whose target is not there. What a controller makes of one cannot be told."""
        kinds = {kind.name: kind for kind in (k.DEPLOYMENT, k.STATEFUL_SET, k.ROLLOUT)}
        found = []
        for scaler in self.here(k.HPA, k.SCALED_OBJECT) if self.workload.kind in kinds else ():
            ref = _spec(_spec(scaler), "scaleTargetRef")
            kind, name = kinds.get(str(ref.get("kind") or "Deployment")), str(ref.get("name") or "")
            owners = {owner.get("kind") for owner in metadata(scaler).get("ownerReferences") or ()}
            if kind is None or self._is_target(ref) or k.SCALED_OBJECT.name in owners:
                continue
            if self._lacks(kind, name):
                found.append(scaler)
        return found

    def _lacks(self, kind: Kind, name: str) -> bool:
        """Whether no workload of the kind has the name; files that show none of the kind tell it of our own name."""
        try:
            return all(name_of(obj) != name for obj in self.view.list(kind, self.namespace))
        except UnreadError as error:
            if error.error.kind is not FactErrorKind.OUT_OF_VIEW:
                raise
            return name == self.workload.name

    def _is_target(self, ref: Any) -> bool:
        """The workload itself, or a controller above it (a Rollout over its Deployment is named as the target)."""
        if not isinstance(ref, Mapping):
            return False
        target = (str(ref.get("kind") or "Deployment"), str(ref.get("name") or ""))
        own = {(self.workload.kind, self.workload.name), *((o.kind, o.name) for o in self.workload.owners)}
        return target in own

    @property
    def pdbs(self) -> list[Object]:
        return [p for p in self.here(k.PDB) if selects(_spec(p).get("selector"), self.labels)]

    @property
    def network_policies(self) -> list[Object]:
        return [p for p in self.here(k.NETWORK_POLICY) if selects(_spec(p).get("podSelector") or {}, self.labels)]

    @property
    def vendor_network_policies(self) -> list[Object]:
        """Of the namespace, and those of the whole cluster, which may be about it."""
        return self.gather(*((kind, self.namespace if kind.namespaced else None) for kind in k.VENDOR_NETWORK_POLICIES))

    @property
    def service_account_name(self) -> str:
        spec = self.workload.template.get("spec") or {}
        return str(spec.get("serviceAccountName") or spec.get("serviceAccount") or "default")

    @property
    def monitors(self) -> list[Object]:
        watched = [monitor for monitor in self.everywhere(k.SERVICE_MONITOR) if self._reaches(monitor)]
        labels = [dict(metadata(service).get("labels") or {}) for service in self.services]
        found = [m for m in watched if any(selects(_spec(m).get("selector"), each) for each in labels)]
        return found + [
            m
            for m in self.everywhere(k.POD_MONITOR)
            if self._reaches(m) and selects(_spec(m).get("selector"), self.labels)
        ]

    def _reaches(self, monitor: Object) -> bool:
        chosen = _spec(monitor).get("namespaceSelector") or {}
        if chosen.get("any"):
            return True
        return self.namespace in (chosen.get("matchNames") or [namespace_of(monitor)])

    @property
    def rollouts(self) -> list[Object]:
        above = {o.name for o in self.workload.owners if o.kind == k.INFERENCE_SERVICE.name}
        above |= {self.labels.get("serving.kserve.io/inferenceservice", "")}
        found = []
        for obj in self.here(k.ROLLOUT, k.CANARY, k.INFERENCE_SERVICE, k.DESTINATION_RULE):
            spec = _spec(obj)
            ours = {
                k.ROLLOUT.name: self._is_target({"kind": k.ROLLOUT.name, "name": name_of(obj)})
                or self._is_target(spec.get("workloadRef")),
                k.CANARY.name: self._is_target(spec.get("targetRef")),
                k.INFERENCE_SERVICE.name: name_of(obj) in above,
                k.DESTINATION_RULE.name: self._is_host([str(spec.get("host", ""))], self._service_names),
            }
            if ours.get(str(obj.get("kind"))):
                found.append(obj)
        return found

    @property
    def backups(self) -> list[Object]:
        """Velero Schedules that take this namespace in, and the Backups that they made."""
        found: list[Object] = []
        for schedule in self.everywhere(k.BACKUP_SCHEDULE):
            template = _spec(schedule).get("template") or {}
            inside = template.get("includedNamespaces") or ["*"]
            if {"*", self.namespace} & set(inside) and self.namespace not in (template.get("excludedNamespaces") or ()):
                found.append(schedule)
        names = {name_of(schedule) for schedule in found}
        made = self.everywhere(k.BACKUP) if names else []
        return found + [b for b in made if (metadata(b).get("labels") or {}).get("velero.io/schedule-name") in names]


def _spec(obj: Mapping[str, Any], part: str = "spec") -> Mapping[str, Any]:
    found = obj.get(part)
    return found if isinstance(found, Mapping) else {}
