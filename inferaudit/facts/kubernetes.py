"""Facts of the cluster: the audited workload, what surrounds it, and the nodes under it.

Objects of the service are the API's own, whole, less ``managedFields``, redacted and bounded. Facts that are not
`live` come from a live cluster or from manifests; live ones need a cluster (or a dump of one, with Nodes and Pods).
"""

from __future__ import annotations

from typing import Any

from inferaudit.facts.spec import FactSpec, Rbac
from inferaudit.kube import kinds as k
from inferaudit.kube.kinds import Kind
from inferaudit.kube.types import (
    ApiResource,
    ClusterVersion,
    LogSample,
    LostBackend,
    Neighbour,
    Node,
    NodeCondition,
    NodePod,
    Owner,
    PlatformDaemonSet,
    PlatformDeployment,
    Reference,
    Secret,
    Taint,
    Workload,
)
from inferaudit.model import Scope

__all__ = [
    "FACTS",
    "ApiResource",
    "ClusterVersion",
    "LogSample",
    "LostBackend",
    "Neighbour",
    "Node",
    "NodeCondition",
    "NodePod",
    "Owner",
    "PlatformDaemonSet",
    "PlatformDeployment",
    "Reference",
    "Secret",
    "Taint",
    "Workload",
]

Objects = list[dict[str, Any]]
# What a fact takes beside its own kind is among its permissions: a route is the service's by the Services it names.
_ROUTES = (k.HTTP_ROUTE, k.GRPC_ROUTE, k.VIRTUAL_SERVICE, k.INFERENCE_POOL, k.SERVICE)
_EVENTFUL = (k.EVENT, k.POD, k.REPLICA_SET, k.HPA, k.PDB)
_EITHER = "--context or --manifests"
_CONTEXT = "--context"


def _list(*kinds: Kind, clusterwide: bool = False) -> tuple[Rbac, ...]:
    return tuple(Rbac("list", kind.plural, kind.group, kind.namespaced and not clusterwide) for kind in kinds)


def _get(*kinds: Kind) -> tuple[Rbac, ...]:
    return tuple(Rbac("get", kind.plural, kind.group, kind.namespaced) for kind in kinds)


def _given(name: str, type_: Any, title: str, *rbac: Rbac) -> FactSpec:
    """A fact that files can show as well as a cluster."""
    return FactSpec(name, Scope.CLUSTER, type_, title, flag=_EITHER, rbac=rbac)


def _live(name: str, type_: Any, title: str, *rbac: Rbac) -> FactSpec:
    return FactSpec(name, Scope.CLUSTER, type_, title, live=True, flag=_CONTEXT, rbac=rbac)


FACTS = (
    _given("workload", Workload, "the audited workload and its pod template", *_list(*k.WORKLOAD_KINDS)),
    _given(
        "workload.containers",
        Objects,
        "the pod template's containers: the API's fields plus subject, role (server, sidecar, init), serving and gpus",
    ),
    _given("service.workloads", list[Neighbour], "other inference workloads of the namespace"),
    _given("service.services", Objects, "Services that select the workload's pods", *_list(k.SERVICE)),
    _given("service.ingresses", Objects, "Ingresses to those Services", *_list(k.INGRESS, k.SERVICE)),
    _given(
        "service.routes",
        Objects,
        "HTTPRoutes, GRPCRoutes and VirtualServices to those Services",
        *_list(*_ROUTES),
    ),
    _given(
        "service.fronts",
        Objects,
        "Ingresses and routes to routers of the namespace that pass requests on to those Services",
        *_list(k.INGRESS, *_ROUTES, k.DEPLOYMENT, k.STATEFUL_SET, k.DAEMON_SET),
    ),
    _given(
        "service.lostbackends",
        list[LostBackend],
        "Services and InferencePools that an Ingress or route of the namespace leads to and that do not exist",
        *_list(k.INGRESS, *_ROUTES),
    ),
    _given(
        "service.lostrules",
        list[LostBackend],
        "what DestinationRules and gateways' policies of the namespace are for and that does not exist",
        *_list(k.DESTINATION_RULE, k.SERVICE_ENTRY, k.INGRESS, *_ROUTES, *k.TRAFFIC_POLICIES),
        Rbac("get", k.GATEWAY.plural, k.GATEWAY.group, namespaced=False),
    ),
    _given(
        "service.gateways",
        Objects,
        "the Gateways those routes attach to",
        *_list(*_ROUTES),
        *(Rbac("get", kind.plural, kind.group, namespaced=False) for kind in (k.GATEWAY, k.ISTIO_GATEWAY)),
    ),
    _given("service.inferencepools", Objects, "InferencePools over the workload's pods", *_list(k.INFERENCE_POOL)),
    _given(
        "service.trafficpolicies",
        Objects,
        "vendor policies over the service: rate limits, authentication, mutual TLS, filters",
        *_list(*k.TRAFFIC_POLICIES, *_ROUTES, k.INGRESS),
    ),
    _given(
        "service.autoscalers",
        Objects,
        "HorizontalPodAutoscalers and ScaledObjects of the workload",
        *_list(k.HPA, k.SCALED_OBJECT),
    ),
    _given(
        "service.strayautoscalers",
        Objects,
        "HorizontalPodAutoscalers and ScaledObjects of the namespace whose target does not exist",
        *_list(k.HPA, k.SCALED_OBJECT, k.DEPLOYMENT, k.STATEFUL_SET, k.ROLLOUT),
    ),
    _given("service.pdbs", Objects, "PodDisruptionBudgets over the workload's pods", *_list(k.PDB)),
    _given("service.networkpolicies", Objects, "NetworkPolicies over the workload's pods", *_list(k.NETWORK_POLICY)),
    _given(
        "service.vendornetworkpolicies",
        Objects,
        "network policies of Cilium, Calico and administrators: of the namespace and of the whole cluster",
        *_list(*k.VENDOR_NETWORK_POLICIES),
    ),
    _given(
        "service.configmaps",
        Objects,
        "the ConfigMaps the workload refers to, as far as found; service.references tells which were not",
        *_get(k.CONFIG_MAP),
    ),
    _given(
        "service.secrets",
        list[Secret],
        "the Secrets the workload refers to, without data",
        *_get(k.SECRET, k.SERVICE_ACCOUNT),
        *_list(k.SEALED_SECRET),
    ),
    _given(
        "service.externalsecrets",
        Objects,
        "ExternalSecrets and SecretProviderClasses of the namespace",
        *_list(k.EXTERNAL_SECRET, k.SECRET_PROVIDER_CLASS),
    ),
    _given("service.claims", Objects, "PersistentVolumeClaims the workload mounts", *_list(k.CLAIM)),
    _given(
        "service.serviceaccount",
        dict[str, Any] | None,
        "the ServiceAccount of the pods; null when it does not exist",
        *_get(k.SERVICE_ACCOUNT),
    ),
    _given(
        "service.roles",
        Objects,
        "bindings of that ServiceAccount, each followed by the Role or ClusterRole it grants",
        *_list(k.ROLE_BINDING, k.CLUSTER_ROLE_BINDING),
        *_get(k.ROLE, k.CLUSTER_ROLE),
    ),
    _given(
        "service.access",
        Objects,
        "RoleBindings of the namespace and ClusterRoleBindings of everybody, each followed by its role",
        *_list(k.ROLE_BINDING, k.CLUSTER_ROLE_BINDING),
        *_get(k.ROLE, k.CLUSTER_ROLE),
    ),
    _given(
        "service.monitors",
        Objects,
        "ServiceMonitors and PodMonitors over the workload, of any namespace",
        *_list(k.SERVICE),
        *_list(k.SERVICE_MONITOR, k.POD_MONITOR, clusterwide=True),
    ),
    _given(
        "service.rules",
        Objects,
        "PrometheusRules of any namespace",
        *_list(k.PROMETHEUS_RULE, clusterwide=True),
    ),
    _given(
        "service.rollouts",
        Objects,
        "Argo Rollout, Flagger Canary, InferenceService and DestinationRules of the workload",
        *_list(k.ROLLOUT, k.CANARY, k.INFERENCE_SERVICE, k.DESTINATION_RULE, k.SERVICE),
    ),
    _given(
        "service.analyses",
        Objects,
        "AnalysisTemplates and MetricTemplates of the namespace",
        *_list(k.ANALYSIS_TEMPLATE, k.METRIC_TEMPLATE),
    ),
    _given(
        "service.quotas",
        Objects,
        "ResourceQuotas and LimitRanges of the namespace",
        *_list(k.RESOURCE_QUOTA, k.LIMIT_RANGE),
    ),
    _given(
        "service.priorityclass",
        dict[str, Any] | None,
        "the PriorityClass the pods name; null when they name none, or one that does not exist",
        *_get(k.PRIORITY_CLASS),
    ),
    _given("service.namespace", dict[str, Any] | None, "the Namespace object", *_get(k.NAMESPACE)),
    _given(
        "service.references",
        list[Reference],
        "every object the workload names, and whether it exists",
        *_get(k.CONFIG_MAP, k.SECRET, k.SERVICE_ACCOUNT, k.PRIORITY_CLASS, k.RUNTIME_CLASS, k.STORAGE_CLASS),
        *_list(k.CLAIM, k.SECRET_PROVIDER_CLASS, k.CLAIM_TEMPLATE, k.RESOURCE_CLAIM),
    ),
    _given("service.certificates", Objects, "cert-manager Certificates of the namespace", *_list(k.CERTIFICATE)),
    _given(
        "service.resourceclaims",
        Objects,
        "ResourceClaims and ResourceClaimTemplates of the namespace (DRA)",
        *_list(k.CLAIM_TEMPLATE, k.RESOURCE_CLAIM),
    ),
    _given(
        "service.backups",
        Objects,
        "Velero Schedules and Backups of any namespace",
        *_list(k.BACKUP_SCHEDULE, k.BACKUP, clusterwide=True),
    ),
    _given(
        "service.snapshots",
        Objects,
        "VolumeSnapshots of the claims the workload mounts",
        *_list(k.VOLUME_SNAPSHOT, k.CLAIM),
    ),
    _given(
        "service.dashboards",
        Objects,
        "ConfigMaps labelled grafana_dashboard of the namespace, GrafanaDashboards of any",
        *_list(k.CONFIG_MAP),
        *_list(k.GRAFANA_DASHBOARD, clusterwide=True),
    ),
    _given(
        "service.backends",
        Objects,
        "Envoy Gateway's Backends of the namespace",
        *_list(k.ENVOY_BACKEND),
    ),
    _given("manifests.locations", dict[str, str], "subject to file:line, for objects that came from files"),
    _live("workload.pods", Objects, "the workload's pods with their status", *_list(k.POD, k.REPLICA_SET)),
    _live(
        "workload.replicasets",
        Objects,
        "the workload's ReplicaSets, or ControllerRevisions where its kind has those",
        *_list(k.REPLICA_SET, k.CONTROLLER_REVISION),
    ),
    _live(
        "workload.events",
        Objects,
        "events about the workload, its ReplicaSets, pods and autoscalers",
        *_list(*_EVENTFUL),
    ),
    _live(
        "workload.logs",
        list[LogSample],
        "the last log lines of the serving containers, redacted",
        *_list(k.POD, k.REPLICA_SET),
        Rbac("get", "pods/log", optional=True),
    ),
    _live("service.endpointslices", Objects, "EndpointSlices of the Services", *_list(k.ENDPOINT_SLICE, k.SERVICE)),
    _live(
        "service.daemonsets",
        list[PlatformDaemonSet],
        "DaemonSets of any namespace: device plug-in, DCGM exporter, log collectors",
        *_list(k.DAEMON_SET, clusterwide=True),
    ),
    _live(
        "service.straypools",
        Objects,
        "InferencePools of the namespace that select none of its pods",
        *_list(k.INFERENCE_POOL, k.POD),
    ),
    _live(
        "cluster.platform",
        list[PlatformDeployment],
        "Deployments of any namespace that, by their labels, add nodes or compute costs",
        *_list(k.DEPLOYMENT, clusterwide=True),
    ),
    _live(
        "cluster.autoscaler",
        dict[str, Any] | None,
        "the ConfigMap kube-system/cluster-autoscaler-status; null where there is none",
        Rbac("get", k.CONFIG_MAP.plural, namespaced=False, names=(k.AUTOSCALER_STATUS,)),
    ),
    _live("cluster.nodes", list[Node], "all nodes", *_list(k.NODE)),
    _live(
        "cluster.node_pods",
        list[NodePod],
        "pods on the nodes that the service may run on",
        *_list(k.POD, k.REPLICA_SET),
        *_list(k.NODE),
        *_list(k.POD, clusterwide=True),
    ),
    _live("cluster.version", ClusterVersion, "the API server's version"),
    _live("cluster.crds", list[ApiResource], "the resources that the API server serves, CRDs among them"),
)
