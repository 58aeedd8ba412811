"""The pure readers behind the Kubernetes checks: probes, pods, placement, entries, scaling, canaries, logs."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferaudit.canaries import canaries_of
from inferaudit.entrypoints import notes_of, port_behind, time_limits, tls_of
from inferaudit.kube.types import Node, NodePod, Workload
from inferaudit.log_lines import decisive_line, gpu_out_of_memory
from inferaudit.no_place import update_is_stuck
from inferaudit.placement import free_gpus, gpu_quota, limit_range_defaults, placeable, pod_requests
from inferaudit.pod_state import measured_start_s, parse_time, seconds_between, start_seconds
from inferaudit.probe_timing import port_number, pre_stop_s, read_probe, startup_budget
from inferaudit.scaling import fenceposts, pod_count, scalers_of


def workload(**spec: Any) -> Workload:
    return Workload(
        kind="Deployment",
        namespace="a",
        name="b",
        subject="deployment/a/b",
        replicas=2,
        object={},
        template={"spec": spec},
        uses_gpu=True,
        gpus_per_pod=2,
        gpu_resources={"nvidia.com/gpu": 2},
    )


def test_probe_defaults_are_the_apis() -> None:
    probe = read_probe({"livenessProbe": {"httpGet": {"port": "http"}}}, "livenessProbe")
    assert probe is not None
    assert (probe.path, probe.period_s, probe.timeout_s, probe.failure_threshold) == ("/", 10, 1, 3)
    assert (probe.window_s, probe.budget_s) == (30, 30)
    assert read_probe({"livenessProbe": {}}, "livenessProbe") is None


def test_the_startup_probe_sets_the_budget() -> None:
    live = {"livenessProbe": {"tcpSocket": {"port": 1}, "initialDelaySeconds": 60}}
    assert startup_budget(live) == ("livenessProbe", 90)
    assert startup_budget({**live, "startupProbe": {"grpc": {"port": 1}, "failureThreshold": 90}}) == (
        "startupProbe",
        900,
    )
    assert startup_budget({}) is None


@given(st.integers(0, 10_000), st.integers(1, 10_000), st.integers(1, 1000))
def test_a_budget_is_delay_and_window(delay: int, period: int, failures: int) -> None:
    spec = {
        "initialDelaySeconds": delay,
        "periodSeconds": period,
        "failureThreshold": failures,
        "exec": {"command": ["x"]},
    }
    probe = read_probe({"startupProbe": spec}, "startupProbe")
    assert probe is not None
    assert probe.budget_s == delay + period * failures


@pytest.mark.parametrize(
    ("hook", "seconds"),
    [
        ({"sleep": {"seconds": 15}}, 15),
        ({"exec": {"command": ["sleep", "10"]}}, 10),
        ({"exec": {"command": ["sh", "-c", "/bin/sleep 5; kill 1"]}}, 5),
        ({"httpGet": {"path": "/drain"}}, 0),
        ({"exec": {"command": ["sh", "-c", "sleep $WAIT"]}}, 0),
    ],
)
def test_pre_stop_pauses(hook: dict[str, Any], seconds: float) -> None:
    assert pre_stop_s({"lifecycle": {"preStop": hook}}) == seconds
    assert pre_stop_s({}) is None


def test_ports_by_name_and_number() -> None:
    container = {"ports": [{"name": "http", "containerPort": 8000}]}
    assert [port_number(container, p) for p in ("http", 80, "80", "web", None)] == [8000, 80, 80, None, None]
    assert port_behind({"port": 80, "targetPort": "http"}, [container]) == (8000, True)
    assert port_behind({"port": 80}, [container]) == (80, False)
    assert port_behind({"port": 80, "targetPort": "web"}, [container]) == (None, False)


def pod(started: str, ready: str, restarts: int = 0) -> dict[str, Any]:
    status = {"name": "s", "restartCount": restarts, "state": {"running": {"startedAt": started}}}
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": ready}
    return {"metadata": {"name": "p"}, "status": {"conditions": [condition], "containerStatuses": [status]}}


def test_a_start_is_from_running_to_ready_of_a_pod_that_never_restarted() -> None:
    good = pod("2026-01-01T00:00:00Z", "2026-01-01T00:03:20Z")
    later = pod("2026-01-01T00:00:00Z", "2026-01-03T00:00:00Z")
    assert start_seconds(good, "s") == 200
    assert start_seconds(pod("2026-01-01T00:00:00Z", "2026-01-01T00:03:20Z", restarts=1), "s") is None
    assert start_seconds(pod("2026-01-01T00:10:00Z", "2026-01-01T00:00:00Z"), "s") is None
    assert measured_start_s([good, later], "s", 900) == (200, "p")
    assert measured_start_s([later], "s", 900) is None
    assert parse_time("soon") is None
    assert seconds_between(None, "2026-01-01T00:00:00Z") is None


def test_free_gpus_are_those_nobody_holds_on_nodes_that_let_it_in() -> None:
    room = {"nvidia.com/gpu": "8"}
    nodes = [
        Node(name="open", capacity=room, allocatable=room),
        Node(name="cordoned", capacity=room, allocatable=room, unschedulable=True),
        Node(name="cpu", capacity={"cpu": "8"}, allocatable={"cpu": "8"}),
    ]
    pods = [
        NodePod(namespace="x", name="y", node="open", phase="Running", gpus={"nvidia.com/gpu": 5}),
        NodePod(namespace="x", name="z", node="open", phase="Succeeded", gpus={"nvidia.com/gpu": 3}),
    ]
    assert free_gpus(workload(), nodes, pods) == {"open": 3}
    assert placeable({"a": 3, "b": 1}, 2) == 1
    assert placeable({"a": 3}, 0) == 0


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 16), max_size=6), st.integers(1, 8))
def test_pods_never_span_nodes(free: dict[str, int], per_pod: int) -> None:
    assert placeable(free, per_pod) * per_pod <= sum(free.values())


def test_requests_of_a_pod_add_up_and_init_containers_do_not() -> None:
    spec = {
        "containers": [{"resources": {"limits": {"cpu": "2"}}}, {"resources": {"requests": {"cpu": "500m"}}}],
        "initContainers": [
            {"resources": {"requests": {"cpu": "8"}}},
            {"restartPolicy": "Always", "resources": {"requests": {"memory": "1Gi"}}},
        ],
    }
    assert pod_requests(workload(**spec)) == {"cpu": 8, "memory": 2**30}


def test_the_smallest_quota_counts() -> None:
    quotas = [
        {
            "kind": "ResourceQuota",
            "metadata": {"name": n},
            "spec": {"hard": {"requests.nvidia.com/gpu": v, "pods": "1"}},
        }
        for n, v in (("x", "8"), ("y", "4"))
    ]
    assert gpu_quota(quotas) == {"nvidia.com/gpu": (4, "y")}


def test_a_quota_of_some_pods_is_left_out() -> None:
    hard = {"requests.nvidia.com/gpu": "1"}
    selector = {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "Exists"}]}
    quotas = [
        {"kind": "ResourceQuota", "metadata": {"name": "x"}, "spec": {"hard": hard, **some}}
        for some in ({"scopes": ["Terminating"]}, {"scopeSelector": selector})
    ]
    assert gpu_quota(quotas) == {}


def test_defaults_of_a_limit_range_are_completed_as_the_api_server_does() -> None:
    def given(field: str, **limit: dict[str, str]) -> dict[str, Any]:
        return limit_range_defaults(
            [{"kind": "LimitRange", "spec": {"limits": [{"type": "Container", **limit}]}}], field
        )

    assert given("default", max={"cpu": "4"}) == {"cpu": "4"}
    assert given("defaultRequest", max={"cpu": "4"}, min={"cpu": "1", "memory": "1Gi"}) == {"cpu": "4", "memory": "1Gi"}
    assert given("defaultRequest", default={"cpu": "2"}, defaultRequest={"cpu": "1"}) == {"cpu": "1"}
    assert given("default", min={"cpu": "1"}) == {}


def entry(kind: str, spec: dict[str, Any], notes: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": "e", "namespace": "a", "annotations": notes},
        "spec": spec,
    }


def test_time_limits_of_entries() -> None:
    nginx = entry("Ingress", {"ingressClassName": "nginx"})
    off = entry("HTTPRoute", {"rules": [{"timeouts": {"request": "0s"}}, {"timeouts": {"request": "1m30s"}}]})
    (first,) = time_limits([nginx], [])
    assert (first.seconds, first.idle, first.default) == (60, True, True)
    assert [limit.seconds for limit in time_limits([], [off])] == [None, 90]
    assert notes_of(nginx) == {}


def test_a_plain_listener_beside_one_with_tls_is_no_tls() -> None:
    gateway = entry("Gateway", {"listeners": [{"name": "h", "protocol": "HTTP"}, {"name": "s", "protocol": "HTTPS"}]})
    assert tls_of(entry("HTTPRoute", {"parentRefs": [{"name": "e", "sectionName": "s"}]}), [gateway]) is True
    assert tls_of(entry("HTTPRoute", {"parentRefs": [{"name": "e"}]}), [gateway]) is False
    assert tls_of(entry("HTTPRoute", {"parentRefs": [{"name": "other"}]}), [gateway]) is None


def test_the_autoscaler_that_keda_made_is_not_counted_twice() -> None:
    keda = entry("ScaledObject", {"triggers": [{"type": "cpu"}]})
    made = entry("HorizontalPodAutoscaler", {})
    made["metadata"]["ownerReferences"] = [{"kind": "ScaledObject"}]
    (scaler,) = scalers_of([keda, made])
    assert (scaler.minimum, scaler.maximum, scaler.weak) == (0, 100, True)
    assert [s.signals for s in scalers_of([made])] == [("cpu",)]


@pytest.mark.parametrize(
    ("value", "up", "count"), [("25%", True, 1), ("25%", False, 0), (1, True, 1), ("100%", False, 2), ("x", True, 0)]
)
def test_shares_of_replicas_round_as_the_api_does(value: Any, up: bool, count: int) -> None:
    assert pod_count(value, 2, up=up) == count


def test_canaries_of_every_maker() -> None:
    argo = entry(
        "Rollout",
        {"strategy": {"canary": {"steps": [{"setWeight": 5}, {"analysis": {"templates": [{"templateName": "t"}]}}]}}},
    )
    green = entry("Rollout", {"strategy": {"blueGreen": {}}})
    route = entry("HTTPRoute", {"rules": [{"backendRefs": [{"weight": 99}, {"weight": 1}]}]})
    assert [(c.first_percent, c.analysis) for c in canaries_of([argo])] == [(5, ("t",))]
    assert [c.kind for c in canaries_of([green])] == ["blue-green"]
    assert [c.first_percent for c in canaries_of([route])] == [1]
    assert canaries_of([entry("HTTPRoute", {"rules": [{"backendRefs": [{}, {}]}]}), entry("Deployment", {})]) == []


def test_the_decisive_line_is_the_last_error_and_no_stack_frame() -> None:
    lines = ["INFO start", "ValueError: no such model", '  File "x.py", line 1, in error', "INFO bye"]
    assert decisive_line(lines) == "ValueError: no such model"
    assert decisive_line(["", "INFO bye"]) == "INFO bye"
    assert decisive_line([]) is None


def test_gpu_memory_that_ran_out_is_not_called_more_than_the_log_proves() -> None:
    assert gpu_out_of_memory(["INFO all well"]) is None
    alone = gpu_out_of_memory(["torch.OutOfMemoryError: CUDA out of memory. Process 7 has 70 GiB memory in use."])
    shared = gpu_out_of_memory(
        ["CUDA out of memory. Process 7 has 40 GiB memory in use, this process has 38 GiB memory in use"]
    )
    assert alone is not None
    assert alone.cause == ""
    assert shared is not None
    assert "another process" in shared.cause


@pytest.mark.parametrize(
    ("rolling", "replicas", "posts"),
    [
        ({}, 2, (1, 0)),
        ({"maxSurge": 0, "maxUnavailable": "25%"}, 2, (0, 1)),
        ({"maxSurge": 0, "maxUnavailable": "25%"}, 8, (0, 2)),
        ({"maxSurge": 0, "maxUnavailable": "25%"}, 0, (0, 0)),
        ({"maxSurge": 1, "maxUnavailable": 0}, 3, (1, 0)),
        ({"maxSurge": None, "maxUnavailable": None}, 4, (1, 1)),
        ({"maxUnavailable": 5}, 3, (1, 3)),
    ],
)
def test_fenceposts_of_an_update_are_those_of_the_controller(
    rolling: dict[str, Any], replicas: int, posts: tuple[int, int]
) -> None:
    assert fenceposts(rolling, replicas) == posts


def test_an_update_that_may_end_a_pod_waits_for_no_gpu() -> None:
    def stuck(rolling: dict[str, Any]) -> bool:
        spec = {"strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}
        asked = msgspec.structs.replace(workload(), replicas=2, object={"spec": spec})
        return update_is_stuck(asked) is not None

    assert stuck({"maxSurge": 1, "maxUnavailable": "25%"})
    assert not stuck({"maxSurge": 0, "maxUnavailable": "25%"})
