"""The Kubernetes kinds an audit looks at: names, API groups, and whether a kind ships with a workload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

BUILTIN_GROUPS = frozenset(
    {
        "",
        "apps",
        "autoscaling",
        "batch",
        "policy",
        "networking.k8s.io",
        "rbac.authorization.k8s.io",
        "storage.k8s.io",
        "scheduling.k8s.io",
        "node.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "resource.k8s.io",
        "coordination.k8s.io",
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "certificates.k8s.io",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "flowcontrol.apiserver.k8s.io",
    }
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object. `ships`: its absence from a rendered chart is a fact, for it comes with a workload.

    With `label` it is those objects of the kind alone that carry it, with one of `values` where there are any.
    """

    name: str
    group: str
    plural: str
    namespaced: bool = True
    ships: bool = False
    label: str = ""
    values: tuple[str, ...] = ()

    @property
    def builtin(self) -> bool:
        """True when every API server has it; the others are CRDs and may be absent."""
        return self.group in BUILTIN_GROUPS

    @property
    def label_selector(self) -> str:
        """As the API takes it: ``key``, or ``key in (a,b)``; empty for all objects of the kind."""
        return f"{self.label} in ({','.join(self.values)})" if self.values else self.label

    def carried_by(self, labels: Mapping[str, Any]) -> bool:
        """True for the labels of an object that is one of these."""
        return not self.label or (self.label in labels and (not self.values or labels[self.label] in self.values))


POD = Kind("Pod", "", "pods")
SERVICE = Kind("Service", "", "services", ships=True)
CONFIG_MAP = Kind("ConfigMap", "", "configmaps")
SECRET = Kind("Secret", "", "secrets")
CLAIM = Kind("PersistentVolumeClaim", "", "persistentvolumeclaims")
SERVICE_ACCOUNT = Kind("ServiceAccount", "", "serviceaccounts")
NAMESPACE = Kind("Namespace", "", "namespaces", namespaced=False)
NODE = Kind("Node", "", "nodes", namespaced=False)
EVENT = Kind("Event", "", "events")
RESOURCE_QUOTA = Kind("ResourceQuota", "", "resourcequotas")
LIMIT_RANGE = Kind("LimitRange", "", "limitranges")

DEPLOYMENT = Kind("Deployment", "apps", "deployments")
STATEFUL_SET = Kind("StatefulSet", "apps", "statefulsets")
DAEMON_SET = Kind("DaemonSet", "apps", "daemonsets")
REPLICA_SET = Kind("ReplicaSet", "apps", "replicasets")
CONTROLLER_REVISION = Kind("ControllerRevision", "apps", "controllerrevisions")

HPA = Kind("HorizontalPodAutoscaler", "autoscaling", "horizontalpodautoscalers", ships=True)
SCALED_OBJECT = Kind("ScaledObject", "keda.sh", "scaledobjects", ships=True)
PDB = Kind("PodDisruptionBudget", "policy", "poddisruptionbudgets", ships=True)

INGRESS = Kind("Ingress", "networking.k8s.io", "ingresses")
NETWORK_POLICY = Kind("NetworkPolicy", "networking.k8s.io", "networkpolicies", ships=True)
HTTP_ROUTE = Kind("HTTPRoute", "gateway.networking.k8s.io", "httproutes")
GRPC_ROUTE = Kind("GRPCRoute", "gateway.networking.k8s.io", "grpcroutes")
GATEWAY = Kind("Gateway", "gateway.networking.k8s.io", "gateways")
VIRTUAL_SERVICE = Kind("VirtualService", "networking.istio.io", "virtualservices")
ISTIO_GATEWAY = Kind("Gateway", "networking.istio.io", "gateways")
DESTINATION_RULE = Kind("DestinationRule", "networking.istio.io", "destinationrules")
SERVICE_ENTRY = Kind("ServiceEntry", "networking.istio.io", "serviceentries")
INFERENCE_POOL = Kind("InferencePool", "inference.networking.k8s.io", "inferencepools")
ENVOY_BACKEND = Kind("Backend", "gateway.envoyproxy.io", "backends")

# Where gateways keep rate limits, timeouts, authentication and mutual TLS: every vendor has its own kind.
TRAFFIC_POLICIES = (
    Kind("BackendTrafficPolicy", "gateway.envoyproxy.io", "backendtrafficpolicies"),
    Kind("ClientTrafficPolicy", "gateway.envoyproxy.io", "clienttrafficpolicies"),
    Kind("SecurityPolicy", "gateway.envoyproxy.io", "securitypolicies"),
    Kind("RateLimitPolicy", "kuadrant.io", "ratelimitpolicies"),
    Kind("AuthPolicy", "kuadrant.io", "authpolicies"),
    Kind("TrafficPolicy", "gateway.kgateway.dev", "trafficpolicies"),
    Kind("EnvoyFilter", "networking.istio.io", "envoyfilters"),
    Kind("AuthorizationPolicy", "security.istio.io", "authorizationpolicies"),
    Kind("RequestAuthentication", "security.istio.io", "requestauthentications"),
    Kind("PeerAuthentication", "security.istio.io", "peerauthentications"),
    Kind("Middleware", "traefik.io", "middlewares"),
    Kind("KongPlugin", "configuration.konghq.com", "kongplugins"),
    Kind("BackendTLSPolicy", "gateway.networking.k8s.io", "backendtlspolicies"),
)

# What lets through what a NetworkPolicy does not, or the reverse.
VENDOR_NETWORK_POLICIES = (
    Kind("CiliumNetworkPolicy", "cilium.io", "ciliumnetworkpolicies"),
    Kind("CiliumClusterwideNetworkPolicy", "cilium.io", "ciliumclusterwidenetworkpolicies", namespaced=False),
    Kind("NetworkPolicy", "crd.projectcalico.org", "networkpolicies"),
    Kind("NetworkPolicy", "projectcalico.org", "networkpolicies"),
    Kind("GlobalNetworkPolicy", "crd.projectcalico.org", "globalnetworkpolicies", namespaced=False),
    Kind("GlobalNetworkPolicy", "projectcalico.org", "globalnetworkpolicies", namespaced=False),
    Kind("AdminNetworkPolicy", "policy.networking.k8s.io", "adminnetworkpolicies", namespaced=False),
    Kind("BaselineAdminNetworkPolicy", "policy.networking.k8s.io", "baselineadminnetworkpolicies", namespaced=False),
    Kind("ClusterNetworkPolicy", "policy.networking.k8s.io", "clusternetworkpolicies", namespaced=False),
)

ROLLOUT = Kind("Rollout", "argoproj.io", "rollouts")
ANALYSIS_TEMPLATE = Kind("AnalysisTemplate", "argoproj.io", "analysistemplates")
CANARY = Kind("Canary", "flagger.app", "canaries")
METRIC_TEMPLATE = Kind("MetricTemplate", "flagger.app", "metrictemplates")
INFERENCE_SERVICE = Kind("InferenceService", "serving.kserve.io", "inferenceservices")
SERVING_RUNTIME = Kind("ServingRuntime", "serving.kserve.io", "servingruntimes")
LEADER_WORKER_SET = Kind("LeaderWorkerSet", "leaderworkerset.x-k8s.io", "leaderworkersets")
RAY_SERVICE = Kind("RayService", "ray.io", "rayservices")

SERVICE_MONITOR = Kind("ServiceMonitor", "monitoring.coreos.com", "servicemonitors", ships=True)
POD_MONITOR = Kind("PodMonitor", "monitoring.coreos.com", "podmonitors", ships=True)
PROMETHEUS_RULE = Kind("PrometheusRule", "monitoring.coreos.com", "prometheusrules", ships=True)

CERTIFICATE = Kind("Certificate", "cert-manager.io", "certificates")
EXTERNAL_SECRET = Kind("ExternalSecret", "external-secrets.io", "externalsecrets")
SEALED_SECRET = Kind("SealedSecret", "bitnami.com", "sealedsecrets")
SECRET_PROVIDER_CLASS = Kind("SecretProviderClass", "secrets-store.csi.x-k8s.io", "secretproviderclasses")
BACKUP_SCHEDULE = Kind("Schedule", "velero.io", "schedules")
BACKUP = Kind("Backup", "velero.io", "backups")
VOLUME_SNAPSHOT = Kind("VolumeSnapshot", "snapshot.storage.k8s.io", "volumesnapshots")
GRAFANA_DASHBOARD = Kind("GrafanaDashboard", "grafana.integreatly.org", "grafanadashboards")

ROLE = Kind("Role", "rbac.authorization.k8s.io", "roles")
ROLE_BINDING = Kind("RoleBinding", "rbac.authorization.k8s.io", "rolebindings")
CLUSTER_ROLE = Kind("ClusterRole", "rbac.authorization.k8s.io", "clusterroles", namespaced=False)
CLUSTER_ROLE_BINDING = Kind("ClusterRoleBinding", "rbac.authorization.k8s.io", "clusterrolebindings", namespaced=False)

PRIORITY_CLASS = Kind("PriorityClass", "scheduling.k8s.io", "priorityclasses", namespaced=False)
RUNTIME_CLASS = Kind("RuntimeClass", "node.k8s.io", "runtimeclasses", namespaced=False)
STORAGE_CLASS = Kind("StorageClass", "storage.k8s.io", "storageclasses", namespaced=False)
ENDPOINT_SLICE = Kind("EndpointSlice", "discovery.k8s.io", "endpointslices")
CLAIM_TEMPLATE = Kind("ResourceClaimTemplate", "resource.k8s.io", "resourceclaimtemplates")
RESOURCE_CLAIM = Kind("ResourceClaim", "resource.k8s.io", "resourceclaims")

# Where the Cluster Autoscaler says what it may add: https://github.com/kubernetes/autoscaler, cluster-autoscaler/FAQ.md
AUTOSCALER_STATUS, SYSTEM_NAMESPACE = "cluster-autoscaler-status", "kube-system"
WORKLOAD_KINDS = (
    DEPLOYMENT,
    STATEFUL_SET,
    DAEMON_SET,
    LEADER_WORKER_SET,
    ROLLOUT,
    INFERENCE_SERVICE,
    RAY_SERVICE,
    POD,
)
ENTRY_KINDS = (INGRESS, HTTP_ROUTE, GRPC_ROUTE, VIRTUAL_SERVICE)

KINDS: tuple[Kind, ...] = tuple(
    dict.fromkeys(
        kind
        for value in list(globals().values())
        for kind in (value if isinstance(value, tuple) else (value,))
        if isinstance(kind, Kind)
    )
)
# Below: a part of a kind, and so no kind that an object could be said to be of.
DASHBOARD_MAP = replace(CONFIG_MAP, label="grafana_dashboard")
# Deployments that add nodes or compute costs, whatever namespace they are in, by what their charts label them.
_CHARTS = ("cluster-autoscaler", "aws-cluster-autoscaler", "clusterapi-cluster-autoscaler", "karpenter", "opencost",
           "cost-analyzer", "kubecost", "finops-agent")  # fmt: skip
PLATFORM_DEPLOYMENTS = (
    replace(DEPLOYMENT, label="app.kubernetes.io/name", values=_CHARTS),
    replace(DEPLOYMENT, label="app", values=("cluster-autoscaler", "cost-analyzer", "opencost", "kubecost")),
    replace(DEPLOYMENT, label="k8s-app", values=("cluster-autoscaler",)),
)
_BY_NAME = {(kind.group, kind.name): kind for kind in KINDS}

# What people type after --workload; kubectl's short names among them.
_WORKLOAD_ALIASES = {
    **{kind.name.lower(): kind for kind in WORKLOAD_KINDS},
    **{kind.plural: kind for kind in WORKLOAD_KINDS},
    **{f"{kind.name.lower()}.{kind.group}": kind for kind in WORKLOAD_KINDS if kind.group},
    **{f"{kind.plural}.{kind.group}": kind for kind in WORKLOAD_KINDS if kind.group},
    "deploy": DEPLOYMENT,
    "sts": STATEFUL_SET,
    "ds": DAEMON_SET,
    "po": POD,
    "lws": LEADER_WORKER_SET,
    "isvc": INFERENCE_SERVICE,
    "ro": ROLLOUT,
}


def group_of(api_version: str) -> str:
    """``apps`` of ``apps/v1``, the empty string of ``v1``."""
    return api_version.rpartition("/")[0]


def kind_of(obj: Mapping[str, Any]) -> Kind | None:
    """The registered kind of an object, or None for one an audit does not know."""
    return _BY_NAME.get((group_of(str(obj.get("apiVersion", ""))), str(obj.get("kind", ""))))


def workload_kind(text: str) -> Kind | None:
    """The kind behind what a user typed before the slash of ``--workload``: ``deploy``, ``Deployment``, ``sts`` …"""
    return _WORKLOAD_ALIASES.get(text.lower())
