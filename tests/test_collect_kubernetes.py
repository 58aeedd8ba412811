"""The live collector: a real control plane for what is true, a fake server for what goes wrong."""

from __future__ import annotations

import gzip
import http.server
import json
import threading
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from support.cluster import SERVICE, ControlPlane, documents

from inferaudit.catalog import load_catalog
from inferaudit.collect.kube_client import ApiError, Asked, PlainPage, connect
from inferaudit.collect.kubernetes import SeveralWorkloads, collect_kubernetes, list_inference_workloads
from inferaudit.collect.kubernetes import merge_manifests_over_live as merged
from inferaudit.collect.manifests import load_manifests
from inferaudit.errors import UsageError
from inferaudit.facts import fact_specs
from inferaudit.facts.kubernetes import FACTS
from inferaudit.kube.kinds import PLATFORM_DEPLOYMENTS
from inferaudit.model import Fact, FactErrorKind
from inferaudit.plan import KubernetesPlan, ManifestsPlan
from inferaudit.rbac import rbac_manifests
from inferaudit.snapshot import decode_fact

Answer = tuple[int, dict[str, str], bytes]
Handler = Callable[[str, dict[str, str]], Answer | None]

DISCOVERY = {
    "": ["pods", "services", "events", "configmaps", "secrets", "namespaces", "nodes", "serviceaccounts",
         "persistentvolumeclaims", "resourcequotas", "limitranges"],
    "apps": ["deployments", "statefulsets", "daemonsets", "replicasets", "controllerrevisions"],
    "autoscaling": ["horizontalpodautoscalers"],
}  # fmt: skip


def discovery(groups: dict[str, list[str]], stale: str = "") -> bytes:
    items = [
        {
            "metadata": {"name": group},
            "versions": [
                {
                    "version": "v1",
                    "freshness": "Stale" if group == stale else "Current",
                    "resources": [
                        {"resource": r, "scope": "Namespaced", "responseKind": {"kind": r}} for r in resources
                    ],
                }
            ],
        }
        for group, resources in groups.items()
    ]
    return json.dumps({"kind": "APIGroupDiscoveryList", "items": items}).encode()


DEPLOYMENT = {
    "metadata": {"name": "chat", "namespace": "ml"},
    "spec": {
        "selector": {"matchLabels": {"app": "chat"}},
        "template": {
            "metadata": {"labels": {"app": "chat"}},
            "spec": {
                "containers": [{"name": "s", "image": "vllm/vllm-openai:v1"}],
                "imagePullSecrets": [{"name": "pull"}],
            },
        },
    },
}


def ok(body: Any) -> Answer:
    return 200, {"Content-Type": "application/json"}, body if isinstance(body, bytes) else json.dumps(body).encode()


def status(code: int, message: str = "", **headers: str) -> Answer:
    return code, headers, json.dumps({"kind": "Status", "message": message, "code": code}).encode()


class Server:
    """A server that answers as told. `rules` are asked in order; what none answers is an empty list, or 404."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.seen: Counter[str] = Counter()
        self.accepts: dict[str, str] = {}
        self.credentials: set[str] = set()
        self.rules: list[Handler] = []
        self.groups = DISCOVERY
        self.stale = ""
        config = {
            "current-context": "fake",
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {"token": "planted-token"}}],
            "contexts": [{"name": "fake", "context": {"cluster": "c", "user": "u", "namespace": "ml"}}],
        }
        self.kubeconfig = folder / "config"
        self.kubeconfig.write_text(json.dumps(config))

    def on(self, path: str, answer: Answer | Callable[[dict[str, str]], Answer | None]) -> None:
        def rule(asked: str, query: dict[str, str]) -> Answer | None:
            if asked != path:
                return None
            return answer(query) if callable(answer) else answer

        self.rules.insert(0, rule)

    def answer(self, path: str, query: dict[str, str]) -> Answer:
        for rule in self.rules:
            if (found := rule(path, query)) is not None:
                return found
        if path in ("/api", "/apis"):
            core = path == "/api"
            return ok(discovery({g: r for g, r in self.groups.items() if (g == "") == core}, self.stale))
        if path == "/version":
            return ok({"gitVersion": "v1.35.0"})
        if path.endswith("/deployments"):
            return ok({"items": [DEPLOYMENT], "metadata": {}})
        last = path.rpartition("/")[2]
        if any(last in resources for resources in self.groups.values()):
            return ok({"items": [], "metadata": {}})
        return status(404, "not found")

    def plan(self, **more: Any) -> KubernetesPlan:
        return KubernetesPlan(**{"kubeconfig": str(self.kubeconfig), "call_timeout_s": 2.0, "page_size": 2, **more})


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    class Requests(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urllib.parse.urlsplit(self.path)
            fake.seen[url.path] += 1
            fake.accepts[url.path] = self.headers["Accept"]
            fake.credentials.add(self.headers["Authorization"])
            code, headers, body = fake.answer(url.path, dict(urllib.parse.parse_qsl(url.query)))
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", headers.get("X-Length", str(len(body))))
            self.end_headers()
            self.wfile.write(body)
            if "X-Length" in headers:
                released.wait(10)  # the rest of the body never comes

        def log_message(self, *_: Any) -> None:
            """Silence."""

    released = threading.Event()
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Requests)
    httpd.daemon_threads = True
    fake = Server(f"http://127.0.0.1:{httpd.server_address[1]}", tmp_path)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.05,))
    thread.start()
    yield fake
    released.set()
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def collect(server: Server, **more: Any) -> dict[str, Fact]:
    return collect_kubernetes(server.plan(**more))


HPAS = "/apis/autoscaling/v1/namespaces/ml/horizontalpodautoscalers"
PODS = "/api/v1/namespaces/ml/pods"


def pod(number: int) -> dict[str, Any]:
    return {"metadata": {"name": f"p{number}", "namespace": "ml"}}


def page(first: int, token: str = "") -> Answer:
    return ok({"items": [pod(first), pod(first + 1)], "metadata": {"continue": token}})


def read_pods(server: Server) -> list[str]:
    found = connect(server.plan()).items(PODS, Asked("list", "pods", "ml"), PlainPage, lambda page: page.items or ())
    return [item["metadata"]["name"] for item in found]


def test_a_small_cluster_is_read(server: Server) -> None:
    facts = collect(server)
    assert set(facts) == {spec.name for spec in FACTS}
    assert facts["workload"].value.subject == "deployment/ml/chat"
    assert facts["cluster.version"].value.git_version == "v1.35.0"
    assert facts["service.routes"].value == []  # no such CRD: known to be none
    assert facts["service.serviceaccount"].value is None  # asked for, and not there


def test_pages_are_followed(server: Server) -> None:
    server.on(PODS, lambda q: page(2) if q.get("continue") == "next" else page(0, "next"))
    assert read_pods(server) == ["p0", "p1", "p2", "p3"]


def test_an_expired_list_starts_again(server: Server) -> None:
    expired = iter([True])

    def answer(query: dict[str, str]) -> Answer:
        if "continue" not in query:
            return page(0, "next")
        return status(410, "expired") if next(expired, False) else page(2)

    server.on(PODS, answer)
    assert read_pods(server) == ["p0", "p1", "p2", "p3"]  # once each, though the first page came twice
    assert server.seen[PODS] == 4


def test_a_list_that_always_expires_is_an_error(server: Server) -> None:
    server.on(PODS, lambda q: status(410, "expired") if "continue" in q else page(0, "next"))
    with pytest.raises(ApiError, match="410: expired"):
        read_pods(server)


@pytest.mark.parametrize("code", [429, 500, 503])
def test_what_may_pass_is_tried_again(server: Server, code: int) -> None:
    answers = iter([status(code, "busy", **{"Retry-After": "0"}), page(0)])
    server.on(PODS, lambda _: next(answers))
    assert read_pods(server) == ["p0", "p1"]


def test_pages_come_compressed_and_half_of_one_is_an_error(server: Server) -> None:
    def compressed(cut: int | None) -> Answer:
        code, headers, body = page(0, "")
        return code, {**headers, "Content-Encoding": "gzip"}, gzip.compress(body)[:cut]

    server.on(PODS, compressed(None))
    assert read_pods(server) == ["p0", "p1"]
    for broken in (compressed(-20), (200, {"Content-Encoding": "gzip"}, b"{}")):
        server.on(PODS, broken)
        with pytest.raises(ApiError):
            read_pods(server)


def test_patience_ends(server: Server) -> None:
    server.on(PODS, status(429, "busy", **{"Retry-After": "0"}))
    with pytest.raises(ApiError, match="429: busy"):
        read_pods(server)
    assert server.seen[PODS] == 5


def test_a_wait_beyond_the_time_limit_is_not_begun(server: Server) -> None:
    server.on(PODS, status(429, "busy", **{"Retry-After": "3600"}))
    client = connect(server.plan(total_timeout_s=1.0))
    with pytest.raises(ApiError, match="429"):
        client.items(PODS, Asked("list", "pods"), PlainPage, lambda page: page.items or ())
    assert server.seen[PODS] == 1


def test_a_list_that_stalls_in_its_middle_is_an_error_not_a_shorter_list(server: Server) -> None:
    stalled = (200, {"X-Length": "100000"}, b'{"items": [')
    server.on(PODS, lambda q: stalled if "continue" in q else page(0, "next"))
    fact = collect(server, call_timeout_s=0.3)["workload.pods"]
    assert fact.value is None
    assert fact.error is not None
    assert fact.error.kind is FactErrorKind.FAILED
    assert "no complete answer within 0.3 s" in fact.error.reason


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"<html>", b"\xff", b'{"items": 5}', b'{"items": [5]}', b'{"metadata": 1}']
)
def test_malformed_answers_are_errors(server: Server, body: bytes) -> None:
    server.on(PODS, ok(body))
    error = collect(server)["workload.pods"].error
    assert error is not None
    assert (error.kind, error.resource, error.namespace) == (FactErrorKind.FAILED, "pods", "ml")
    assert "malformed" in error.reason


def test_one_forbidden_resource_costs_its_facts_alone(server: Server) -> None:
    server.on(HPAS, status(403, "User cannot list"))
    facts = collect(server)
    error = facts["service.autoscalers"].error
    assert error is not None
    assert error.kind is FactErrorKind.DENIED
    assert error.reason == "may not list horizontalpodautoscalers in ml: forbidden"
    assert (error.verb, error.resource, error.namespace) == ("list", "horizontalpodautoscalers", "ml")
    assert error.remedy == "inferaudit generate rbac"
    # Events about autoscalers cannot be told apart without them; the other events are still events.
    blind = {name for name, fact in facts.items() if fact.error is not None}
    assert blind == {"service.autoscalers", "service.strayautoscalers"}


def test_the_workload_that_may_not_be_listed(server: Server) -> None:
    server.on("/apis/apps/v1/namespaces/ml/deployments", status(403))
    for workload in ("", "deployment/chat", "chat"):
        facts = collect(server, workload=workload)
        assert facts["workload"].error == facts["service.pdbs"].error
        assert facts["workload"].error is not None
        assert facts["workload"].error.kind is FactErrorKind.DENIED
        assert facts["cluster.nodes"].value == []
    with pytest.raises(UsageError, match="no statefulset/chat"):
        collect(server, workload="statefulset/chat")


def test_an_expired_token_is_one_error_after_one_call(server: Server) -> None:
    server.on("/api", status(401, "Unauthorized"))
    facts = collect(server)
    assert set(facts) == {spec.name for spec in FACTS}
    assert len({fact.error for fact in facts.values()}) == 1
    error = facts["workload"].error
    assert error is not None
    assert (error.kind, error.source) == (FactErrorKind.DENIED, f"kubernetes API {server.url}")
    assert sum(server.seen.values()) == 1


def test_a_token_that_expires_on_the_way(server: Server) -> None:
    server.on(PODS, status(401))
    facts = collect(server)
    broken = [fact.error for fact in facts.values() if fact.error]
    assert broken
    assert {error.key for error in broken} == {broken[0].key}


def test_an_unreachable_server_is_one_error(server: Server) -> None:
    text = server.kubeconfig.read_text().replace(server.url, "http://127.0.0.1:9")
    server.kubeconfig.write_text(text)
    facts = collect(server)
    errors = {fact.error for fact in facts.values()}
    assert len(errors) == 1
    (error,) = errors
    assert error is not None
    assert error.reason.startswith("the API server http://127.0.0.1:9 cannot be reached")
    assert "\n" not in error.reason


def test_files_still_say_what_they_say_without_the_cluster(server: Server, tmp_path: Path) -> None:
    server.on("/api", status(401))
    (tmp_path / "m.yaml").write_text(yaml.safe_dump({"apiVersion": "apps/v1", "kind": "Deployment", **DEPLOYMENT}))
    facts = merged(load_manifests(ManifestsPlan(paths=(str(tmp_path / "m.yaml"),))), server.plan())
    assert facts["workload"].value.subject == "deployment/ml/chat"
    assert [c["name"] for c in facts["workload.containers"].value] == ["s"]
    for name in ("workload.pods", "service.services", "service.pdbs", "cluster.nodes"):
        assert facts[name].error is not None, name
        assert "401" in facts[name].error.reason  # not "no PDB": the cluster's were not seen


def test_credentials_of_a_plug_in(server: Server, tmp_path: Path) -> None:
    said = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "from-plugin"},
    }
    plugin = tmp_path / "plugin"
    plugin.write_text(f"#!/bin/sh\necho '{json.dumps(said)}'\n")
    plugin.chmod(0o755)
    config = json.loads(server.kubeconfig.read_text())
    how = {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin), "interactiveMode": "Never"}
    config["users"][0]["user"] = {"exec": how}
    server.kubeconfig.write_text(json.dumps(config))
    assert collect(server)["workload"].error is None
    assert server.credentials == {"Bearer from-plugin"}


def test_a_group_that_does_not_answer_is_not_an_absent_one(server: Server) -> None:
    server.groups = {**DISCOVERY, "keda.sh": []}
    server.stale = "keda.sh"
    error = collect(server)["service.autoscalers"].error
    assert error is not None
    assert error.kind is FactErrorKind.FAILED
    assert "keda.sh" in error.reason


def test_old_servers_are_discovered_too(server: Server) -> None:
    server.on("/api", ok({"kind": "APIVersions", "versions": ["v1"]}))
    server.on("/apis", ok({"kind": "APIGroupList", "groups": [{"name": "apps", "versions": [{"version": "v1"}]}]}))
    core = [{"name": n, "kind": n, "namespaced": True} for n in (*DISCOVERY[""], "pods/log")]
    apps = [{"name": n, "kind": n, "namespaced": True} for n in DISCOVERY["apps"]]
    server.on("/api/v1", ok({"resources": core}))
    server.on("/apis/apps/v1", ok({"resources": apps}))
    facts = collect(server)
    assert facts["workload"].value.subject == "deployment/ml/chat"
    assert {r.resource for r in facts["cluster.crds"].value} == {*DISCOVERY[""], *DISCOVERY["apps"]}


def test_secrets_are_read_as_tables_without_objects(server: Server) -> None:
    path = "/api/v1/namespaces/ml/secrets/pull"
    columns = [{"name": "Name"}, {"name": "Type"}, {"name": "Data"}, {"name": "Age"}]

    def answer(query: dict[str, str]) -> Answer:
        assert query == {"includeObject": "None"}
        row = {"cells": ["pull", "kubernetes.io/dockerconfigjson", 1, "5d"], "object": {"data": "planted"}}
        return ok({"kind": "Table", "columnDefinitions": columns, "rows": [row]})

    server.on(path, answer)
    facts = collect(server)
    (secret,) = facts["service.secrets"].value
    assert (secret.found, secret.type, secret.keys) == (True, "kubernetes.io/dockerconfigjson", 1)
    assert server.accepts[path] == "application/json;as=Table;g=meta.k8s.io;v=v1"
    assert "/api/v1/namespaces/ml/secrets" not in server.seen  # never listed


def test_a_server_that_sends_the_secret_all_the_same(server: Server) -> None:
    server.on("/api/v1/namespaces/ml/secrets/pull", ok({"kind": "Secret", "type": "x", "data": {"a": "planted"}}))
    facts = collect(server)
    assert facts["service.secrets"].value[0].found
    assert b"planted" not in msgspec.json.encode({n: f.value for n, f in facts.items()})


def test_the_token_is_in_no_fact_and_no_error(server: Server) -> None:
    server.on(PODS, status(500, "Bearer planted-token was refused", **{"Retry-After": "0"}))
    assert "planted" not in repr(collect(server))


def test_only_what_checks_need_is_read_of_the_whole_cluster(server: Server) -> None:
    facts = collect(server, needs=frozenset({"workload", "service.services"}))
    assert set(facts) == {"workload", "service.services"}
    wide = {path for path in server.seen if "/namespaces/" not in path} - {"/api", "/apis", "/version"}
    assert wide == set()


def log_server(server: Server, answer: Answer) -> list[dict[str, str]]:
    """A cluster with one pod of the workload that was restarted once; what its log was asked for."""
    asked: list[dict[str, str]] = []
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat"}
    replica_set = {"metadata": {"name": "chat-1", "namespace": "ml", "ownerReferences": [owner]}}
    meta = {"name": "chat-1-x", "namespace": "ml", "labels": {"app": "chat"}}
    meta |= {"ownerReferences": [{**owner, "kind": "ReplicaSet", "name": "chat-1"}]}
    ours = {"metadata": meta, "status": {"containerStatuses": [{"name": "s", "restartCount": 1}]}}
    server.on("/apis/apps/v1/namespaces/ml/replicasets", ok({"items": [replica_set], "metadata": {}}))
    server.on(PODS, ok({"items": [ours], "metadata": {}}))
    server.on(f"{PODS}/chat-1-x/log", lambda query: (asked.append(query), answer)[1])
    return asked


def test_logs_are_sampled_and_redacted(server: Server) -> None:
    asked = log_server(server, (200, {}, b"loading\nHF_TOKEN=planted-in-log\n\xff"))
    now, before = collect(server)["workload.logs"].value
    assert (now.pod, now.container, now.previous, before.previous) == ("chat-1-x", "s", False, True)
    assert now.lines[0] == "loading"
    assert "planted" not in repr(now)
    assert {query["tailLines"] for query in asked} == {"400"}


def test_logs_are_a_permission_apart(server: Server) -> None:
    log_server(server, status(403))
    error = collect(server)["workload.logs"].error
    assert error is not None
    assert error.kind is FactErrorKind.OUT_OF_VIEW  # not denied: the optional role was not given
    assert "optional Role" in error.reason


def test_a_container_without_a_log_is_left_out(server: Server) -> None:
    log_server(server, status(400, "previous terminated container not found"))
    assert collect(server)["workload.logs"].value == []


def anywhere(server: Server) -> None:
    """The context names no namespace: the workload may be in any."""
    server.kubeconfig.write_text(server.kubeconfig.read_text().replace(', "namespace": "ml"', ""))


def test_without_a_namespace_all_are_searched(server: Server) -> None:
    anywhere(server)
    facts = collect(server, needs=frozenset({"workload", "workload.pods"}))
    assert facts["workload"].value.subject == "deployment/ml/chat"
    assert server.seen[PODS] == 1
    assert "/api/v1/pods" not in server.seen  # the pods of all namespaces are nobody's business


@pytest.mark.parametrize("workload", ["", "pod/p0"])
def test_a_bare_pod_anywhere(server: Server, workload: str) -> None:
    anywhere(server)
    alone = {**pod(0), "spec": {"containers": [{"name": "s", "image": "vllm/vllm-openai:v1"}]}}
    server.on("/apis/apps/v1/deployments", ok({"items": [], "metadata": {}}))
    server.on("/api/v1/pods", ok({"items": [alone], "metadata": {}}))
    assert collect(server, workload=workload)["workload"].value.subject == "pod/ml/p0"


def test_a_server_that_falls_silent_is_given_up(server: Server) -> None:
    def silence(path: str, _: dict[str, str]) -> Answer | None:
        return (200, {"X-Length": "100000"}, b"{") if "/namespaces/ml/" in path else None

    server.rules.insert(0, silence)
    server.on("/apis/apps/v1/namespaces/ml/deployments", ok({"items": [DEPLOYMENT], "metadata": {}}))
    facts = collect(server, call_timeout_s=0.2, concurrency=1)
    error = facts["service.pdbs"].error
    assert facts["service.pdbs"].value == []  # no such group here
    assert error is None
    silent = {fact.error for name, fact in facts.items() if fact.error is not None}
    assert any("does not answer: 3 calls in a row" in error.reason for error in silent if error)


def test_kubeconfig_mistakes_are_usage_errors(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"context nope is not in the kubeconfig .* it has fake"):
        collect(server, context="nope")
    with pytest.raises(UsageError, match="no kubeconfig at"):
        collect(server, kubeconfig=str(tmp_path / "gone"))
    for text in ("", "[]", "{", "kind: Config", "current-context: x\ncontexts: []\nclusters: []\nusers: []\n"):
        server.kubeconfig.write_text(text)
        with pytest.raises(UsageError, match="kubeconfig"):
            collect(server)


def test_several_workloads_are_listed(server: Server) -> None:
    two = {**DEPLOYMENT, "metadata": {"name": "other", "namespace": "ml"}}
    server.on("/apis/apps/v1/namespaces/ml/deployments", ok({"items": [DEPLOYMENT, two], "metadata": {}}))
    with pytest.raises(SeveralWorkloads) as caught:
        collect(server)
    assert caught.value.choices == [("ml", "deployment/chat"), ("ml", "deployment/other")]
    assert list_inference_workloads(server.plan()) == caught.value.choices


# From here on: a real control plane.


@contextmanager
def changed(plane: ControlPlane, *objects: dict[str, Any]) -> Iterator[None]:
    text = yaml.safe_dump_all(objects)
    plane.apply(text)
    try:
        yield
    finally:
        plane.kubectl("delete", "--wait=false", "-f", "-", input=text)


def live(plane: ControlPlane, account: str = "auditor-full", **more: Any) -> dict[str, Fact]:
    kubeconfig = plane.kubeconfig_for(account, "audit")
    return collect_kubernetes(KubernetesPlan(**{"kubeconfig": str(kubeconfig), "namespace": "llm-prod", **more}))


@pytest.mark.controlplane
def test_the_complete_service_is_seen_whole(gpu_service: ControlPlane) -> None:
    facts = live(gpu_service)
    missing = {name: fact.error for name, fact in facts.items() if fact.error is not None}
    assert set(missing) <= {"workload.logs"}, missing  # KWOK's pods have no logs
    assert set(facts) == {spec.name for spec in FACTS}
    for name in ("services", "routes", "gateways", "autoscalers", "pdbs", "networkpolicies", "monitors", "rules",
                 "roles", "quotas", "claims", "certificates", "endpointslices", "configmaps"):  # fmt: skip
        assert facts[f"service.{name}"].value, name
    assert facts["workload"].value.subject == "deployment/llm-prod/chat"
    assert len(facts["workload.pods"].value) == facts["workload"].value.replicas
    assert all(reference.found for reference in facts["service.references"].value)
    assert {s.name for s in facts["service.secrets"].value} == {"hf-token", "chat-api-key", "registry-pull", "chat-tls"}
    assert {d.role for d in facts["service.daemonsets"].value} >= {"device-plugin", "dcgm-exporter", "log-collector"}


@pytest.mark.controlplane
def test_live_values_are_of_the_declared_types(gpu_service: ControlPlane) -> None:
    for name, fact in live(gpu_service).items():
        if fact.error is None:
            assert decode_fact(name, json.loads(msgspec.json.encode(fact.value))) == fact.value, name


@pytest.mark.controlplane
def test_no_secret_data_is_in_any_fact(gpu_service: ControlPlane) -> None:
    written = msgspec.json.encode({name: fact.value for name, fact in live(gpu_service).items()}).decode()
    for planted in ("hf_invented_for_tests", "sk-invented-for-tests", "invented certificate", "aW52ZW50ZW"):
        assert planted not in written


@pytest.mark.controlplane
def test_only_declared_permissions_are_used(gpu_service: ControlPlane) -> None:
    begun = gpu_service.audit_log.stat().st_size  # other tests use this account too
    live(gpu_service)
    declared = {(rule.verb, rule.resource) for spec in fact_specs().values() for rule in spec.rbac}
    used = {(verb, res) for verb, res, _ in gpu_service.audited("system:serviceaccount:audit:auditor-full", begun)}
    assert used - declared == set()
    absent = {
        resource for verb, resource in declared if ("list", resource) in declared and ("list", resource) not in used
    }
    served = {
        r["name"] for group in gpu_service.get("crd")["items"] for r in [{"name": group["spec"]["names"]["plural"]}]
    }
    assert absent & served == set()  # nothing that is there goes unread
    writes = {"create", "update", "patch", "delete", "deletecollection", "watch"}
    assert not {verb for verb, _ in used} & writes
    assert ("list", "secrets") not in used


@pytest.mark.controlplane
@pytest.mark.parametrize("name", [spec.name for spec in FACTS if spec.rbac and spec.name != "workload.logs"])
def test_a_fact_takes_what_it_declares_and_no_more(gpu_service: ControlPlane, name: str) -> None:
    """Each fact alone, with a role made of its own declaration: the value is that of an auditor who sees all."""
    account = "only-" + name.replace(".", "-").replace("_", "-")
    rules = [r for fact in (name, "workload") for r in fact_specs()[fact].rbac]
    api = "rbac.authorization.k8s.io"
    subjects = [{"kind": "ServiceAccount", "name": account, "namespace": "audit"}]
    objects = [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": "audit"}}]
    for namespaced, role, kind, where in (
        (True, account, "RoleBinding", {"namespace": "llm-prod"}),
        (False, account + "-wide", "ClusterRoleBinding", {}),
    ):
        chosen = [
            {"apiGroups": [r.group], "resources": [r.resource], "verbs": [r.verb]}
            for r in rules
            if r.namespaced is namespaced
        ]
        head = {"apiVersion": f"{api}/v1"}
        objects.append({**head, "kind": "ClusterRole", "metadata": {"name": role}, "rules": chosen})
        ref = {"apiGroup": api, "kind": "ClusterRole", "name": role}
        objects.append(
            {**head, "kind": kind, "metadata": {"name": role, **where}, "roleRef": ref, "subjects": subjects}
        )
    with changed(gpu_service, *objects):
        alone = live(gpu_service, account, needs=frozenset({name}))
        whole = live(gpu_service, needs=frozenset({name}))  # the account's own bindings are among what some facts hold
    assert set(alone) == {name}
    assert alone[name].error is None
    refused = {each for each in gpu_service.audited(f"system:serviceaccount:audit:{account}") if each[2] == 403}
    assert refused == set()
    if name not in ("workload.events", "cluster.nodes"):  # these change while we look
        assert alone[name] == whole[name]


@pytest.mark.controlplane
def test_half_the_permissions_give_half_the_facts(gpu_service: ControlPlane) -> None:
    facts = live(gpu_service, "auditor-half")
    for name in ("workload", "workload.pods", "service.services", "service.configmaps", "workload.events"):
        assert facts[name].error is None, name
    for name in ("cluster.nodes", "service.secrets", "service.autoscalers", "service.pdbs", "service.quotas"):
        error = facts[name].error
        assert error is not None, name
        assert error.kind is FactErrorKind.DENIED
        assert error.remedy == "inferaudit generate rbac"
    assert facts["service.pdbs"].error is not None
    assert facts["service.pdbs"].error.reason == "may not list poddisruptionbudgets in llm-prod: forbidden"


@pytest.mark.controlplane
def test_a_server_that_cannot_be_trusted(gpu_service: ControlPlane, tmp_path: Path) -> None:
    config = json.loads(gpu_service.kubeconfig.read_text())
    del config["clusters"][0]["cluster"]["certificate-authority"]
    (tmp_path / "config").write_text(json.dumps(config))
    facts = collect_kubernetes(KubernetesPlan(kubeconfig=str(tmp_path / "config"), namespace="llm-prod"))
    (error,) = {fact.error for fact in facts.values()}
    assert error is not None
    assert "CERTIFICATE_VERIFY_FAILED" in error.reason


@pytest.mark.controlplane
def test_the_network_need_not_be_trusted_when_the_kubeconfig_says_so(gpu_service: ControlPlane, tmp_path: Path) -> None:
    config = json.loads(gpu_service.kubeconfig.read_text())
    cluster = config["clusters"][0]["cluster"]
    del cluster["certificate-authority"]
    cluster["insecure-skip-tls-verify"] = True
    (tmp_path / "config").write_text(json.dumps(config))
    plan = KubernetesPlan(kubeconfig=str(tmp_path / "config"), namespace="llm-prod", needs=frozenset({"workload"}))
    assert collect_kubernetes(plan)["workload"].error is None


@pytest.mark.controlplane
def test_pages_of_any_size_give_the_same_facts(gpu_service: ControlPlane) -> None:
    names = ("cluster.nodes", "cluster.node_pods", "workload.pods", "service.daemonsets")
    small, large = live(gpu_service, page_size=1), live(gpu_service, page_size=500)
    for name in names:
        assert small[name].value, name
        assert sorted(map(repr, small[name].value)) == sorted(map(repr, large[name].value)), name


@pytest.mark.controlplane
def test_the_same_service_from_files_and_live(gpu_service: ControlPlane) -> None:
    from inferaudit.collect.manifests import collect_manifests

    given, found = collect_manifests(ManifestsPlan(paths=(str(SERVICE),))), live(gpu_service)
    for name in ("services", "routes", "gateways", "autoscalers", "pdbs", "networkpolicies", "monitors", "configmaps"):
        both = [sorted(o["metadata"]["name"] for o in facts[f"service.{name}"].value) for facts in (given, found)]
        assert both[0] == both[1], name
    for field in ("subject", "replicas", "gpus_per_pod", "uses_gpu"):
        assert getattr(given["workload"].value, field) == getattr(found["workload"].value, field)


@pytest.mark.controlplane
def test_files_over_the_live_cluster(gpu_service: ControlPlane, tmp_path: Path) -> None:
    (deployment,) = [d for d in documents(SERVICE) if d["kind"] == "Deployment"]
    deployment["spec"]["replicas"] = 7
    (tmp_path / "new.yaml").write_text(yaml.safe_dump(deployment))
    plan = KubernetesPlan(kubeconfig=str(gpu_service.kubeconfig_for("auditor-full", "audit")), namespace="llm-prod")
    facts = merged(load_manifests(ManifestsPlan(paths=(str(tmp_path / "new.yaml"),))), plan)
    workload = facts["workload"].value
    assert (workload.replicas, workload.source) == (7, f"{tmp_path / 'new.yaml'}:1")
    assert workload.object["status"]["readyReplicas"] == 2  # how it is, is the cluster's to say
    assert all(reference.found for reference in facts["service.references"].value)
    assert len(facts["workload.pods"].value) == 2


@pytest.mark.controlplane
def test_a_missing_reference_is_known_to_be_missing(gpu_service: ControlPlane) -> None:
    container = {
        "name": "server",
        "image": "example.com/vllm/vllm-openai:v1",
        "envFrom": [{"secretRef": {"name": "not-there"}}, {"configMapRef": {"name": "nor-this"}}],
    }
    spec = {
        "replicas": 0,
        "selector": {"matchLabels": {"app": "lost"}},
        "template": {"metadata": {"labels": {"app": "lost"}}, "spec": {"containers": [container]}},
    }
    lost = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "lost", "namespace": "default"},
        "spec": spec,
    }
    with changed(gpu_service, lost):
        plan = KubernetesPlan(kubeconfig=str(gpu_service.kubeconfig), workload="deployment/lost", namespace="default")
        facts = collect_kubernetes(plan)
        assert {r.name for r in facts["service.references"].value if r.found is False} == {"not-there", "nor-this"}
        assert [(s.name, s.found) for s in facts["service.secrets"].value] == [("not-there", False)]
        assert facts["service.configmaps"].value == []
        assert facts["workload.pods"].value == []


def test_of_some_kinds_only_what_carries_a_label_is_read(server: Server) -> None:
    asked: set[str] = set()

    def board(query: dict[str, str]) -> Answer:
        asked.add(query.get("labelSelector", ""))
        return ok({"items": [{"metadata": {"name": "board", "namespace": "ml"}}], "metadata": {}})

    def platform(query: dict[str, str]) -> Answer:
        asked.add(query.get("labelSelector", ""))
        made = {"metadata": {"name": "opencost", "namespace": "costs"}, "spec": {"replicas": 1}, "status": {}}
        return ok({"items": [made], "metadata": {}})

    server.on("/api/v1/namespaces/ml/configmaps", board)
    server.on("/apis/apps/v1/deployments", platform)
    facts = collect(server, namespace="ml")
    assert asked == {"grafana_dashboard", *(kind.label_selector for kind in PLATFORM_DEPLOYMENTS)}
    assert [each["metadata"]["name"] for each in facts["service.dashboards"].value] == ["board"]
    assert [each.name for each in facts["cluster.platform"].value] == ["opencost"]
    assert facts["service.configmaps"].value == [], "the part of a list is not the list"
    assert facts["cluster.autoscaler"].value is None


def test_the_status_of_the_autoscaler_is_the_only_configmap_of_its_namespace_that_may_be_read() -> None:
    text = rbac_manifests(load_catalog().checks.values(), namespace="ml", service_account="auditor")
    rules = [
        (document["kind"], rule)
        for document in yaml.safe_load_all(text)
        if document["kind"] in ("Role", "ClusterRole")
        for rule in document["rules"]
        if "configmaps" in rule["resources"]
    ]
    wide = [rule for kind, rule in rules if kind == "ClusterRole"]
    assert wide == [
        {
            "apiGroups": [""],
            "resources": ["configmaps"],
            "resourceNames": ["cluster-autoscaler-status"],
            "verbs": ["get"],
        }
    ]
    assert any(kind == "Role" and rule["verbs"] == ["get", "list"] for kind, rule in rules)
