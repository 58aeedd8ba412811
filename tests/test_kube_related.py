"""What belongs to a workload: who selects, routes to, scales, guards and watches it, and who only seems to."""

from __future__ import annotations

from typing import Any

import pytest

from inferaudit.catalog import load_catalog
from inferaudit.kube import kinds as k
from inferaudit.kube.access import access, roles
from inferaudit.kube.assemble import service_facts, status_facts
from inferaudit.kube.backends import lost_backends, lost_rules
from inferaudit.kube.existence import named_secrets, references
from inferaudit.kube.related import Surroundings
from inferaudit.kube.view import FileView, OverlayView, StoredView, UnreadError, name_of
from inferaudit.kube.workloads import normalise
from inferaudit.model import FactError, FactErrorKind, Outcome, Snapshot, Target

LABELS = {"app": "chat", "serving.kserve.io/inferenceservice": "isvc"}
POD_SPEC = {"serviceAccountName": "runner", "containers": [{"name": "server", "image": "vllm/vllm-openai:v1"}]}
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "chat", "namespace": "ml", "ownerReferences": [{"kind": "Rollout", "name": "above"}]},
    "spec": {
        "selector": {"matchLabels": {"app": "chat"}},
        "template": {"metadata": {"labels": LABELS}, "spec": POD_SPEC},
    },
}


def obj(kind: k.Kind, name: str, spec: Any = None, namespace: str = "ml", **more: Any) -> dict[str, Any]:
    version = f"{kind.group}/v1" if kind.group else "v1"
    meta = {"name": name, **({"namespace": namespace} if kind.namespaced else {})}
    return {"apiVersion": version, "kind": kind.name, "metadata": meta, "spec": spec or {}, **more}


SERVICE = obj(k.SERVICE, "chat", {"selector": {"app": "chat"}})
SERVICE["metadata"]["labels"] = {"watch": "me"}


def around(*objects: dict[str, Any], dump: bool = True) -> Surroundings:
    found: dict[k.Kind, list[dict[str, Any]]] = {}
    for each in (DEPLOYMENT, SERVICE, *objects):
        kind = k.kind_of(each)
        assert kind is not None, each
        found.setdefault(kind, []).append(each)
    return Surroundings(FileView(found, dump=dump), normalise(DEPLOYMENT))


def named(objects: list[dict[str, Any]]) -> list[str]:
    return [name_of(each) for each in objects]


def test_services_by_selector() -> None:
    found = around(
        obj(k.SERVICE, "other", {"selector": {"app": "other"}}),
        obj(k.SERVICE, "narrow", {"selector": {"app": "chat", "track": "canary"}}),
        obj(k.SERVICE, "external", {"type": "ExternalName"}),
        obj(k.SERVICE, "far", {"selector": {"app": "chat"}}, "elsewhere"),
    )
    assert named(found.services) == ["chat"]


def test_argo_rollouts_narrows_its_services_to_a_revision() -> None:
    hashed = {"app": "chat", "rollouts-pod-template-hash": "7d9c"}
    found = around(
        obj(k.SERVICE, "chat-canary", {"selector": hashed}),
        obj(k.SERVICE, "other-canary", {"selector": {**hashed, "app": "other"}}),
    )
    assert named(found.services) == ["chat", "chat-canary"]


def rules(name: str) -> dict[str, Any]:
    return {"rules": [{"http": {"paths": [{"path": "/", "backend": {"service": {"name": name}}}]}}]}


def test_ingresses_by_backend() -> None:
    found = around(
        obj(k.INGRESS, "yes", rules("chat")),
        obj(k.INGRESS, "default", {"defaultBackend": {"service": {"name": "chat"}}}),
        obj(k.INGRESS, "no", rules("other")),
        obj(k.INGRESS, "empty"),
        obj(k.INGRESS, "far", rules("chat"), "elsewhere"),
    )
    assert named(found.ingresses) == ["yes", "default"]


def backends(*refs: dict[str, str]) -> dict[str, Any]:
    return {
        "rules": [{"backendRefs": list(refs)}],
        "parentRefs": [{"name": "gate"}, {"name": "wide", "namespace": "gw"}],
    }


def virtual(host: str) -> dict[str, Any]:
    return {"http": [{"route": [{"destination": {"host": host}}]}], "gateways": ["mesh", "gw/istio", "local"]}


def test_routes_by_backend_or_host() -> None:
    found = around(
        obj(k.HTTP_ROUTE, "yes", backends({"name": "chat"})),
        obj(k.HTTP_ROUTE, "no", backends({"name": "other"})),
        obj(k.GRPC_ROUTE, "pool", backends({"kind": "InferencePool", "name": "pool"})),
        obj(k.HTTP_ROUTE, "other-pool", backends({"kind": "InferencePool", "name": "chat"})),
        obj(k.INFERENCE_POOL, "pool", {"selector": {"matchLabels": {"app": "chat"}}}),
        obj(k.INFERENCE_POOL, "no-pool", {"selector": {"matchLabels": {"app": "other"}}}),
        obj(k.VIRTUAL_SERVICE, "short", virtual("chat")),
        obj(k.VIRTUAL_SERVICE, "full", virtual("chat.ml.svc.cluster.local")),
        obj(k.VIRTUAL_SERVICE, "far", virtual("chat.elsewhere.svc.cluster.local")),
    )
    assert named(found.routes) == ["yes", "pool", "short", "full"]
    assert named(found.pools) == ["pool"]


def test_gateways_by_name() -> None:
    routes = (obj(k.HTTP_ROUTE, "r", backends({"name": "chat"})), obj(k.VIRTUAL_SERVICE, "v", virtual("chat")))
    gateways = (
        obj(k.GATEWAY, "gate"),
        obj(k.GATEWAY, "wide", namespace="gw"),
        obj(k.GATEWAY, "unused"),
        obj(k.ISTIO_GATEWAY, "istio", namespace="gw"),
    )
    found = around(*routes, *gateways)
    assert named(found.gateways) == ["gate", "wide", "istio"]
    assert (k.ISTIO_GATEWAY, "ml", "local") in found.gateway_names()


def target(kind: str, name: str, field: str = "scaleTargetRef") -> dict[str, Any]:
    return {field: {"kind": kind, "name": name}}


def test_autoscalers_by_target() -> None:
    found = around(
        obj(k.HPA, "yes", target("Deployment", "chat")),
        obj(k.HPA, "owner", target("Rollout", "above")),
        obj(k.HPA, "kind", target("StatefulSet", "chat")),
        obj(k.HPA, "none"),
        obj(k.SCALED_OBJECT, "keda", {"scaleTargetRef": {"name": "chat"}}),  # Deployment is KEDA's default
        obj(k.SCALED_OBJECT, "keda-no", {"scaleTargetRef": {"name": "other"}}),
    )
    assert named(found.autoscalers) == ["yes", "owner", "keda"]


def test_guards_by_selector() -> None:
    match = {"matchLabels": {"app": "chat"}}
    found = around(
        obj(k.PDB, "yes", {"selector": match}),
        obj(k.PDB, "all", {"selector": {}}),
        obj(k.PDB, "none", {}),
        obj(k.NETWORK_POLICY, "default-deny", {"podSelector": {}}),
        obj(k.NETWORK_POLICY, "yes", {"podSelector": match}),
        obj(k.NETWORK_POLICY, "no", {"podSelector": {"matchLabels": {"app": "other"}}}),
    )
    assert named(found.pdbs) == ["yes", "all"]
    assert named(found.network_policies) == ["default-deny", "yes"]


def test_monitors_of_any_namespace() -> None:
    watch = {"selector": {"matchLabels": {"watch": "me"}}}
    found = around(
        obj(k.SERVICE_MONITOR, "same", watch),
        obj(k.SERVICE_MONITOR, "any", {**watch, "namespaceSelector": {"any": True}}, "monitoring"),
        obj(k.SERVICE_MONITOR, "named", {**watch, "namespaceSelector": {"matchNames": ["ml"]}}, "monitoring"),
        obj(k.SERVICE_MONITOR, "own-namespace-only", watch, "monitoring"),
        obj(k.SERVICE_MONITOR, "other", {"selector": {"matchLabels": {"watch": "him"}}}),
        obj(k.POD_MONITOR, "pods", {"selector": {"matchLabels": {"app": "chat"}}}),
        obj(k.POD_MONITOR, "no-pods", {"selector": {"matchLabels": {"watch": "me"}}}),
    )
    assert named(found.monitors) == ["same", "any", "named", "pods"]


def test_rollouts_and_what_drives_them() -> None:
    found = around(
        obj(k.ROLLOUT, "above"),
        obj(k.ROLLOUT, "by-reference", target("Deployment", "chat", "workloadRef")),
        obj(k.ROLLOUT, "no"),
        obj(k.CANARY, "flagger", target("Deployment", "chat", "targetRef")),
        obj(k.CANARY, "no-flagger", target("Deployment", "other", "targetRef")),
        obj(k.INFERENCE_SERVICE, "isvc"),
        obj(k.INFERENCE_SERVICE, "no-isvc"),
        obj(k.DESTINATION_RULE, "limits", {"host": "chat.ml.svc.cluster.local"}),
        obj(k.DESTINATION_RULE, "no-limits", {"host": "other"}),
    )
    assert named(found.rollouts) == ["above", "by-reference", "flagger", "isvc", "limits"]


def binding(kind: k.Kind, name: str, subject: dict[str, str], role: str = "r", **labels: str) -> dict[str, Any]:
    role_kind = "ClusterRole" if kind == k.CLUSTER_ROLE_BINDING else "Role"
    made = obj(kind, name, subjects=[subject], roleRef={"kind": role_kind, "name": role})
    made["metadata"]["labels"] = labels
    return made


def test_roles_of_the_account_and_of_every_account() -> None:
    us = {"kind": "ServiceAccount", "name": "runner", "namespace": "ml"}
    everyone = {"kind": "Group", "name": "system:authenticated"}
    default = binding(k.CLUSTER_ROLE_BINDING, "default", everyone)
    default["metadata"]["labels"] = {"kubernetes.io/bootstrapping": "rbac-defaults"}
    found = around(
        binding(k.ROLE_BINDING, "ours", us),
        binding(k.ROLE_BINDING, "implied", {"kind": "ServiceAccount", "name": "runner"}),
        binding(k.ROLE_BINDING, "other", {**us, "name": "other"}),
        binding(k.ROLE_BINDING, "far", {**us, "namespace": "far"}),
        binding(k.CLUSTER_ROLE_BINDING, "everyone", everyone, "admin"),
        binding(k.CLUSTER_ROLE_BINDING, "group", {"kind": "Group", "name": "system:serviceaccounts:ml"}, "gone"),
        default,
        obj(k.ROLE, "r"),
        obj(k.CLUSTER_ROLE, "admin"),
    )
    assert named(roles(found)) == ["ours", "r", "implied", "r", "everyone", "admin", "group"]


def test_access_of_strangers_and_of_pods_without_an_account() -> None:
    def given(name: str, kind: str, subject: str, **more: str) -> dict[str, Any]:
        return binding(k.CLUSTER_ROLE_BINDING, name, {"kind": kind, "name": subject, **more}, "cluster-admin")

    found = around(
        given("anonymous", "User", "system:anonymous"),
        given("unauthenticated", "Group", "system:unauthenticated"),
        given("default", "ServiceAccount", "default", namespace="ml"),
        given("far", "ServiceAccount", "default", namespace="elsewhere"),
        given("deployer", "ServiceAccount", "deployer", namespace="ml"),
        given("named-so", "User", "default"),
        {**obj(k.CLUSTER_ROLE, "cluster-admin"), "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]},
    )
    assert named(access(found)) == ["anonymous", "unauthenticated", "default"]
    facts = service_facts(found.view, found.workload, lambda name: name in ("workload", "service.access"))
    seen = Snapshot("", Target(), facts)
    check = load_catalog().checks["security-changers"]
    assert {(each.outcome, each.subject) for each in check(seen)} == {
        (Outcome.FAIL, f"clusterrolebinding/{name}") for name in ("anonymous", "unauthenticated", "default")
    }


def policy(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return obj(next(each for each in k.TRAFFIC_POLICIES if each.name == kind), name, spec)


def test_traffic_policies_of_what_is_ours() -> None:
    def to(kind: str, name: str, **more: str) -> dict[str, str]:
        return {"group": "x", "kind": kind, "name": name, **more}

    def by_label(team: str) -> dict[str, Any]:
        return {"kind": "HTTPRoute", "matchLabels": {"team": team}}

    route, other = obj(k.HTTP_ROUTE, "ours", backends({"name": "chat"})), obj(k.HTTP_ROUTE, "other")
    route["metadata"]["labels"] = {"team": "chat"}
    waypoint = obj(k.NAMESPACE, "ml")
    waypoint["metadata"]["labels"] = {"istio.io/use-waypoint": "way"}
    policies = (
        policy("SecurityPolicy", "route", targetRefs=[to("HTTPRoute", "other"), to("HTTPRoute", "ours")]),
        policy("SecurityPolicy", "other-route", targetRefs=[to("HTTPRoute", "other")]),
        policy("BackendTrafficPolicy", "gateway", targetRef=to("Gateway", "gate")),
        policy("BackendTrafficPolicy", "other-gateway", targetRef=to("Gateway", "unused")),
        policy("BackendTrafficPolicy", "far-gateway", targetRef=to("Gateway", "wide", namespace="gw")),
        policy("BackendTrafficPolicy", "chosen", targetSelectors=[by_label("chat")]),
        policy("BackendTrafficPolicy", "not-chosen", targetSelectors=[by_label("x")]),
        policy("BackendTLSPolicy", "service", targetRefs=[to("Service", "chat")]),
        policy("BackendTLSPolicy", "other-service", targetRefs=[to("Service", "other")]),
        policy("TrafficPolicy", "ingress", targetRefs=[to("Ingress", "in")]),
        policy("EnvoyFilter", "pods", workloadSelector={"labels": {"app": "chat"}}),
        policy("EnvoyFilter", "other-pods", workloadSelector={"labels": {"app": "other"}}),
        policy("AuthorizationPolicy", "selected", selector={"matchLabels": {"app": "chat"}}),
        policy("AuthorizationPolicy", "not-selected", selector={"matchLabels": {"app": "other"}}),
        policy("AuthorizationPolicy", "waypoint", targetRefs=[to("Gateway", "way")]),
        policy("PeerAuthentication", "namespace", mtls={"mode": "STRICT"}),
    )  # fmt: skip
    found = around(route, other, waypoint, obj(k.INGRESS, "in", rules("chat")), *policies)
    assert set(named(found.traffic_policies)) == {
        "route", "gateway", "far-gateway", "chosen", "service", "ingress", "pods", "selected", "waypoint", "namespace",
    }  # fmt: skip


def test_a_policy_of_another_service_is_no_authentication_of_ours() -> None:
    ours, theirs = backends({"name": "chat"}), backends({"name": "other"})
    refs = [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "theirs"}]
    found = around(
        obj(k.HTTP_ROUTE, "ours", ours),
        obj(k.HTTP_ROUTE, "theirs", theirs),
        policy("SecurityPolicy", "p", targetRefs=refs, jwt={}, apiKeyAuth={}),
    )
    facts = service_facts(found.view, found.workload, lambda _: True)
    check = load_catalog().checks["network-authentication"]
    said = list(check(Snapshot("", Target(), facts)))
    assert [each.outcome for each in said] == [Outcome.REVIEW]


def test_a_policy_of_a_route_is_not_told_where_routes_are_out_of_view() -> None:
    named_route = policy("SecurityPolicy", "p", targetRefs=[{"kind": "HTTPRoute", "name": "r"}])
    with pytest.raises(UnreadError):
        _ = around(named_route, dump=False).traffic_policies
    assert named(around(policy("SecurityPolicy", "all"), dump=False).traffic_policies) == ["all"]


def test_the_service_of_a_groups_leaders() -> None:
    index = "leaderworkerset.sigs.k8s.io/worker-index"
    group = obj(k.LEADER_WORKER_SET, "chat", {
        "leaderWorkerTemplate": {"size": 2, "workerTemplate": {"metadata": {"labels": LABELS}, "spec": POD_SPEC}}
    })  # fmt: skip
    services = [
        obj(k.SERVICE, name, {"selector": {"leaderworkerset.sigs.k8s.io/name": workload, index: number}})
        for name, workload, number in (("leaders", "chat", "0"), ("workers", "chat", "1"), ("other", "x", "0"))
    ]
    view = FileView({k.LEADER_WORKER_SET: [group], k.SERVICE: services}, dump=True)
    assert named(Surroundings(view, normalise(group)).services) == ["leaders"]


def test_backups_that_take_the_namespace_in() -> None:
    found = around(
        obj(k.BACKUP_SCHEDULE, "all", {"template": {}}, "velero"),
        obj(k.BACKUP_SCHEDULE, "ours", {"template": {"includedNamespaces": ["ml"]}}, "velero"),
        obj(k.BACKUP_SCHEDULE, "others", {"template": {"includedNamespaces": ["x"]}}, "velero"),
        obj(k.BACKUP_SCHEDULE, "not-us", {"template": {"excludedNamespaces": ["ml"]}}, "velero"),
    )
    assert named(found.backups) == ["all", "ours"]


def test_a_pool_that_selects_no_pod_of_the_namespace() -> None:
    pod = obj(k.POD, "other-1")
    pod["metadata"]["labels"] = {"app": "other"}
    found = around(
        pod,
        obj(k.INFERENCE_POOL, "ours", {"selector": {"matchLabels": {"app": "chat"}}}),
        obj(k.INFERENCE_POOL, "theirs", {"selector": {"app": "other"}}),
        obj(k.INFERENCE_POOL, "nobodys", {"selector": {"matchLabels": {"app": "chatt"}}}),
        obj(k.INFERENCE_POOL, "far", {"selector": {"matchLabels": {"app": "chatt"}}}, "elsewhere"),
    )
    assert named(found.stray_pools) == ["nobodys"]


def http_route(name: str, *backends: dict[str, Any]) -> dict[str, Any]:
    return obj(k.HTTP_ROUTE, name, {"rules": [{"backendRefs": list(backends)}]})


def lost(*objects: dict[str, Any], dump: bool = True) -> list[tuple[str, str, bool | None]]:
    found = lost_backends(around(*objects, dump=dump))
    return [(each.subject.rpartition("/")[2], each.name, each.found) for each in found]


def test_backends_that_are_not_there() -> None:
    actions = {"service": {"name": "redirect", "port": {"name": "use-annotation"}}}
    weighted = [{"destination": {"host": "chat"}}, {"destination": {"host": "caht"}, "weight": 10}]
    hosts = ["chat.ml.svc.cluster.local", "chta.ml", "api.example.com", "chat.elsewhere.svc.cluster.local"]
    objects = (
        obj(k.INGRESS, "typo", rules("chatt")),
        obj(k.INGRESS, "alb", {**rules("chat"), "defaultBackend": actions}),
        obj(k.INGRESS, "bucket", {"defaultBackend": {"resource": {"kind": "Bucket", "name": "files"}}}),
        obj(k.SERVICE, "hosted", {"type": "ExternalName", "externalName": "api.example.com"}),
        http_route("external", {"name": "hosted"}),
        http_route("granted", {"name": "chatt", "namespace": "elsewhere"}),
        http_route("vendor", {"group": "gateway.envoyproxy.io", "kind": "Backend", "name": "chatt"}),
        http_route("later", {"name": "chat"}, {"name": "chat-next", "weight": 0}),
        http_route("pool", {"group": k.INFERENCE_POOL.group, "kind": "InferencePool", "name": "chatt"}),
        obj(k.VIRTUAL_SERVICE, "weights", {"http": [{"route": weighted}]}),
        obj(k.VIRTUAL_SERVICE, "hosts", {"http": [{"route": [{"destination": {"host": h}} for h in hosts]}]}),
        obj(k.HTTP_ROUTE, "far", {"rules": [{"backendRefs": [{"name": "nobody"}]}]}, "elsewhere"),
    )
    expected = [("typo", "chatt"), ("pool", "chatt"), ("weights", "caht"), ("hosts", "chta")]
    assert lost(*objects) == [(*each, False) for each in expected]
    # Files that show Services show all of them, and those with no pool leave pools open.
    assert lost(*objects, dump=False) == [(*each, None if each[0] == "pool" else False) for each in expected]


def test_a_backend_that_files_may_not_hold() -> None:
    ours = {k.DEPLOYMENT: [DEPLOYMENT], k.INGRESS: [obj(k.INGRESS, "only", rules("chat"))]}
    nim = {
        "apiVersion": "apps.nvidia.com/v1alpha1",
        "kind": "NIMService",
        "metadata": {"name": "nim", "namespace": "ml"},
    }
    isvc, refused = obj(k.INFERENCE_SERVICE, "isvc"), FactErrorKind.DENIED
    alone = lost_backends(Surroundings(FileView(ours), normalise(DEPLOYMENT)))
    assert [(each.name, each.found) for each in alone] == [("chat", None)]
    made = [obj(k.INGRESS, name, rules(name)) for name in ("isvc-predictor", "nim", "nimm")]
    files = FileView({k.SERVICE: [SERVICE], k.INGRESS: made, k.INFERENCE_SERVICE: [isvc]}, strangers=[nim])
    for view in (files, OverlayView(files, StoredView({(kind, "ml"): () for kind in k.KINDS}))):
        answers = lost_backends(Surroundings(view, normalise(DEPLOYMENT)))
        assert [(each.name, each.found) for each in answers] == [
            ("isvc-predictor", None),
            ("nim", None),
            ("nimm", False),
        ]
    hidden = StoredView({(kind, "ml"): made if kind == k.INGRESS else () for kind in k.ENTRY_KINDS})
    hidden.lists[k.SERVICE, "ml"] = FactError(refused, "may not list services")
    with pytest.raises(UnreadError, match="may not list"):
        lost_backends(Surroundings(hidden, normalise(DEPLOYMENT)))


def test_rules_of_the_mesh_for_hosts_that_nobody_has() -> None:
    hosts = ["chat", "chta", "chta.ml", "chta.ml.svc.cluster.local", "*.ml.svc.cluster.local", "api.example.com", "far"]
    rules = [obj(k.DESTINATION_RULE, f"rule-{i}", {"host": host}) for i, host in enumerate(hosts)]
    entry = obj(k.SERVICE_ENTRY, "outside", {"hosts": ["far"]})
    found = lost_rules(around(*rules, entry))
    assert [(each.name, each.found) for each in found] == [("chta", False), ("chta.ml.svc.cluster.local", False)]
    elsewhere = obj(k.DESTINATION_RULE, "elsewhere", {"host": "chat.other.svc.cluster.local"})
    assert [each.found for each in lost_rules(around(elsewhere, dump=True))] == [False]
    assert [each.found for each in lost_rules(around(elsewhere, dump=False))] == [None]


def test_entries_that_an_external_secret_does_not_make_and_names_that_are_alike() -> None:
    env = [{"name": n, "valueFrom": {"secretKeyRef": {"name": "keys", "key": n}}} for n in ("api-key", "apikey")]
    volume = {"name": "models", "persistentVolumeClaim": {"claimName": "model-caches"}}
    pod = {"containers": [{**POD_SPEC["containers"][0], "env": env}], "volumes": [volume]}
    workload = {**DEPLOYMENT, "spec": {**DEPLOYMENT["spec"], "template": {"metadata": {}, "spec": pod}}}
    maker = obj(k.EXTERNAL_SECRET, "from-vault", {"target": {"name": "keys"}, "data": [{"secretKey": "api-key"}]})
    files = {k.DEPLOYMENT: [workload], k.EXTERNAL_SECRET: [maker], k.CLAIM: [obj(k.CLAIM, "model-cache")]}
    found = references(Surroundings(FileView(files), normalise(workload)))
    assert {each.key: each.key_found for each in found if each.kind == "Secret"} == {"api-key": True, "apikey": False}
    assert [(each.found, each.like) for each in found if each.kind == k.CLAIM.name] == [(None, "model-cache")]


def test_policies_of_gateways_for_routes_that_nobody_has() -> None:
    route, kind = http_route("way", {"name": "chat"}), k.TRAFFIC_POLICIES[0]
    targets = {
        "right": [{"kind": "HTTPRoute", "name": "way"}],
        "typo": [{"kind": "HTTPRoute", "name": "weg"}],
        "one-of-two": [{"kind": "HTTPRoute", "name": "weg"}, {"kind": "HTTPRoute", "name": "way"}],
        "far": [{"kind": "HTTPRoute", "name": "weg", "namespace": "other"}],
        "unknown-kind": [{"kind": "TCPRoute", "name": "weg"}],
    }
    policies = [obj(kind, name, {"targetRefs": refs}) for name, refs in targets.items()]
    found = lost_rules(around(*policies, route, dump=False))
    assert [(each.subject.rpartition("/")[2], each.name, each.found) for each in found] == [("typo", "weg", False)]
    alone = lost_rules(around(policies[1], dump=False))  # routes may be elsewhere: these files show none
    assert [each.found for each in alone] == [None]


def router(name: str, image: str, *args: str, maps: str = "") -> list[dict[str, Any]]:
    """A Deployment, its Service, an Ingress to it and a ConfigMap for it."""
    volumes = [{"name": "config", "configMap": {"name": name}}] if maps else []
    pod = {"containers": [{"name": "router", "image": image, "args": list(args)}], "volumes": volumes}
    template = {"metadata": {"labels": {"app": name}}, "spec": pod}
    return [
        obj(k.DEPLOYMENT, name, {"template": template}),
        obj(k.SERVICE, name, {"selector": {"app": name}}),
        obj(k.INGRESS, name, rules(name)),
        obj(k.CONFIG_MAP, name, data={"config": maps}),
    ]


@pytest.mark.parametrize(
    ("image", "args", "maps"),
    [
        ("lmcache/lmstack-router:v0.1.6", ["--static-backends", "http://chat:8000,http://big.ml.svc:8000"], ""),
        ("lmcache/lmstack-router:v0.1.6", ["--service-discovery=k8s", "--k8s-label-selector", "app=chat"], ""),
        (
            "ghcr.io/berriai/litellm:v1.80",
            ["--config", "/app/config.yaml"],
            "api_base: http://chat.ml.svc.cluster.local/v1",
        ),
        ("nginx:1.29", [], "upstream llm { server chat:8000; keepalive 32; }"),
    ],
)
def test_entries_to_a_router_in_front_of_the_service(image: str, args: list[str], maps: str) -> None:
    found = around(*router("front", image, *args, maps=maps))
    assert named(found.fronts) == ["front"]
    assert found.ingresses == []


@pytest.mark.parametrize(
    ("image", "args"),
    [
        ("lmcache/lmstack-router:v0.1.6", ["--static-backends", "http://chat-v2:8000", "--model", "chat"]),
        ("lmcache/lmstack-router:v0.1.6", ["--static-backends", "http://chat.other.svc:8000"]),
        ("lmcache/lmstack-router:v0.1.6", ["--k8s-label-selector", "app=other"]),
        ("ghcr.io/open-webui/open-webui:0.6", ["--api", "http://chat:8000"]),
    ],
)
def test_entries_to_what_is_no_router_to_the_service(image: str, args: list[str]) -> None:
    assert around(*router("front", image, *args)).fronts == []


def test_the_gateway_and_the_policies_of_a_route_to_a_router_are_the_services_too() -> None:
    route = obj(
        k.HTTP_ROUTE, "way", {"parentRefs": [{"name": "door"}], "rules": [{"backendRefs": [{"name": "front"}]}]}
    )
    policy = obj(k.TRAFFIC_POLICIES[0], "limits", {"targetRef": {"kind": "HTTPRoute", "name": "way"}})
    found = around(*router("front", "nginx:1.29", "http://chat"), route, obj(k.GATEWAY, "door"), policy)
    assert named(found.fronts) == ["front", "way"]
    assert (named(found.gateways), named(found.traffic_policies)) == (["door"], ["limits"])


def test_policies_of_other_makers_are_those_of_the_namespace_and_of_the_cluster() -> None:
    calico, cilium = (k.VENDOR_NETWORK_POLICIES[i] for i in (2, 1))
    policies = [obj(calico, "ours"), obj(calico, "theirs", namespace="other"), obj(cilium, "all")]
    assert {name_of(each) for each in around(*policies).vendor_network_policies} == {"ours", "all"}


def test_a_route_to_another_namespace_is_not_ours() -> None:
    found = around(
        http_route("granted", {"name": "chat", "namespace": "elsewhere"}), http_route("ours", {"name": "chat"})
    )
    assert named(found.routes) == ["ours"]


def test_dashboards_by_label_and_by_kind() -> None:
    board = obj(k.CONFIG_MAP, "board")
    board["metadata"]["labels"] = {"grafana_dashboard": "1"}
    far = obj(k.CONFIG_MAP, "far", namespace="monitoring")
    far["metadata"]["labels"] = {"grafana_dashboard": "1"}
    found = around(
        board, far, obj(k.CONFIG_MAP, "settings"), obj(k.GRAFANA_DASHBOARD, "llm", {"json": "{}"}, "monitoring")
    )
    assert named(found.dashboards) == ["board", "llm"]
    with pytest.raises(UnreadError):
        assert around(obj(k.CONFIG_MAP, "settings"), dump=False).dashboards


def test_snapshots_of_the_claims_that_are_mounted() -> None:
    spec = {**POD_SPEC, "volumes": [{"name": "m", "persistentVolumeClaim": {"claimName": "models"}}]}
    mounting = {**DEPLOYMENT, "spec": {"template": {"metadata": {"labels": LABELS}, "spec": spec}}}
    objects = {
        k.CLAIM: [obj(k.CLAIM, "models")],
        k.VOLUME_SNAPSHOT: [
            obj(k.VOLUME_SNAPSHOT, "ours", {"source": {"persistentVolumeClaimName": "models"}}),
            obj(k.VOLUME_SNAPSHOT, "theirs", {"source": {"persistentVolumeClaimName": "db"}}),
        ],
    }
    facts = service_facts(FileView(objects, dump=True), normalise(mounting), lambda name: name == "service.snapshots")
    assert named(facts["service.snapshots"].value) == ["ours"]


def test_deployments_that_serve_the_cluster() -> None:
    def deployed(name: str, image: str, labels: dict[str, str], ready: int) -> dict[str, Any]:
        spec = {"replicas": 1, "template": {"spec": {"containers": [{"image": image}]}}}
        made = obj(k.DEPLOYMENT, name, spec, "platform", status={"readyReplicas": ready})
        made["metadata"]["labels"] = labels
        return made

    view = around(
        deployed("ca", "registry.k8s.io/autoscaling/cluster-autoscaler:v1.33.0", {"k8s-app": "cluster-autoscaler"}, 1),
        deployed("costs", "ghcr.io/opencost/opencost:1", {"app.kubernetes.io/name": "opencost", "app": "opencost"}, 0),
        deployed("web", "nginx", {"app": "web"}, 1),
    ).view
    found = status_facts(view, normalise(DEPLOYMENT), lambda name: name == "cluster.platform")["cluster.platform"].value
    assert [(each.name, each.role, each.ready) for each in found] == [
        ("costs", "cost-monitor", 0),
        ("ca", "node-autoscaler", 1),
    ]


def test_certificates_name_their_secrets() -> None:
    listeners = {"listeners": [{"tls": {"certificateRefs": [{"name": "gate-tls"}, {"name": "far", "namespace": "x"}]}}]}
    found = around(
        obj(k.INGRESS, "in", {**rules("chat"), "tls": [{"secretName": "in-tls"}, {}]}),
        obj(k.HTTP_ROUTE, "r", {**backends({"name": "chat"}), "parentRefs": [{"name": "gate"}]}),
        obj(k.GATEWAY, "gate", listeners),
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "runner", "namespace": "ml"},
         "imagePullSecrets": [{"name": "pull"}]},
    )  # fmt: skip
    assert named_secrets(found) == ["pull", "in-tls", "gate-tls"]


def test_files_that_show_one_kind_answer_for_its_kin() -> None:
    rollout = obj(k.ROLLOUT, "above")
    assert named(around(rollout, dump=False).rollouts) == ["above"]  # no word of Flagger or KServe is needed
    with pytest.raises(UnreadError) as caught:
        _ = around(dump=False).rollouts
    assert caught.value.error.kind is FactErrorKind.OUT_OF_VIEW


def test_one_malformed_object_costs_one_fact() -> None:
    found = around(obj(k.HPA, "evil", {"scaleTargetRef": 5}), obj(k.PDB, "evil", {"selector": {"matchLabels": 5}}))
    facts = service_facts(found.view, found.workload, lambda _: True)
    broken = {name for name, fact in facts.items() if fact.error is not None}
    assert broken == {"service.pdbs"}
    error = facts["service.pdbs"].error
    assert error is not None
    assert (error.kind, error.reason[:18]) == (FactErrorKind.FAILED, "a malformed object")


def test_only_wanted_facts_are_made() -> None:
    found = around()
    assert set(service_facts(found.view, found.workload, lambda name: name == "service.pdbs")) == {"service.pdbs"}
    assert set(status_facts(found.view, found.workload, lambda name: name == "cluster.nodes")) == {"cluster.nodes"}


def test_the_service_that_kuberay_makes() -> None:
    ray = {"apiVersion": "ray.io/v1", "kind": "RayService", "metadata": {"name": "llm", "namespace": "ml"}, "spec": {}}
    selectors = {"llm-serve-svc": "llm-x7k2p", "other-serve-svc": "other-x7k2p"}
    made = [
        obj(k.SERVICE, name, {"selector": {"ray.io/serve": "true", "ray.io/cluster": cluster}})
        for name, cluster in selectors.items()
    ]
    found = Surroundings(FileView({k.SERVICE: made}, dump=True), normalise(ray))
    assert named(found.services) == ["llm-serve-svc"]


def test_autoscalers_of_nothing() -> None:
    def scaler(kind: k.Kind, name: str, target: str, of: str = "Deployment") -> dict[str, Any]:
        return obj(kind, name, {"scaleTargetRef": {"kind": of, "name": target}})

    scalers = (
        scaler(k.HPA, "ours", "chat"),
        scaler(k.HPA, "typo", "caht"),
        scaler(k.SCALED_OBJECT, "keda", "chta"),
        scaler(k.HPA, "kind", "chat", "StatefulSet"),
        scaler(k.HPA, "elsewhere", "search", "StatefulSet"),
        scaler(k.HPA, "unknown", "chat", "RayCluster"),
    )
    assert named(around(*scalers).stray_autoscalers) == ["typo", "kind", "elsewhere", "keda"]
    # Files need not hold what another autoscaler scales, unless they show its kind.
    assert named(around(*scalers, dump=False).stray_autoscalers) == ["typo", "kind", "keda"]
