"""Which port of which Service leads to the server, and which of the pod where no Service does."""

from __future__ import annotations

from typing import Any

import pytest

from inferaudit.serving_address import Address, serving_address


def container(**changes: Any) -> dict[str, Any]:
    base = {"name": "server", "subject": "deployment/a/b/server", "role": "server", "serving": True, "gpus": 1}
    return {**base, "image": "vllm/vllm-openai:v0.11.0", "ports": [{"name": "http", "containerPort": 8000}], **changes}


def service(*ports: dict[str, Any], name: str = "chat", **spec: Any) -> dict[str, Any]:
    return {"kind": "Service", "metadata": {"name": name}, "spec": {"clusterIP": "10.0.0.1", "ports": ports, **spec}}


def found(containers: list[dict[str, Any]], *services: dict[str, Any]) -> Address:
    address = serving_address(containers, services)
    assert isinstance(address, Address), address
    return address


def test_a_named_target_is_looked_up_in_the_container() -> None:
    address = found([container()], service({"port": 80, "targetPort": "http"}))
    assert (address.service, address.service_port, address.pod_port, address.scheme) == ("chat", 80, 8000, "http")
    assert address.url("llm") == "http://chat.llm.svc:80"


@pytest.mark.parametrize(
    ("ports", "wanted"),
    [
        # The port that the server was told wins, wherever it stands and whatever it is called.
        ([{"name": "metrics", "port": 9090, "targetPort": 9090}, {"name": "x", "port": 81, "targetPort": 8123}], 81),
        # A name that says HTTP goes before one that says nothing, and that before one that says something else.
        ([{"name": "other", "port": 70, "targetPort": 7000}, {"name": "http-api", "port": 80, "targetPort": 8000}], 80),
        ([{"name": "grpc", "port": 90, "targetPort": 9000}, {"name": "a", "port": 70, "targetPort": 7000}], 70),
        ([{"port": 90, "targetPort": 9000, "appProtocol": "grpc"}, {"name": "b", "port": 7, "targetPort": 7000}], 7),
        (
            [{"name": "u", "port": 53, "targetPort": 53, "protocol": "UDP"}, {"name": "t", "port": 5, "targetPort": 5}],
            5,
        ),
    ],
)
def test_the_port_of_a_service_that_is_for_requests(ports: list[dict[str, Any]], wanted: int) -> None:
    told = container(args=["--port", "8123"], ports=[])
    assert found([told], service(*ports)).service_port == wanted


def test_over_grpc_the_port_that_says_so_wins() -> None:
    ports = ({"name": "http", "port": 80, "targetPort": 8000}, {"name": "grpc", "port": 81, "targetPort": 8001})
    chosen = serving_address([container()], [service(*ports)], rpc=True)
    assert isinstance(chosen, Address)
    assert (chosen.service_port, chosen.pod_port) == (81, 8001)


def test_a_headless_service_has_its_pods_ports_and_comes_second() -> None:
    headless = service({"port": 80, "targetPort": 8000}, name="a-headless", clusterIP="None")
    assert found([container()], headless).url("llm") == "http://a-headless.llm.svc:8000"
    assert found([container()], headless, service({"port": 80, "targetPort": 8000})).service == "chat"


def test_a_service_of_another_name_outside_is_no_way() -> None:
    assert found([container()], service({"port": 80}, type="ExternalName")).service is None


@pytest.mark.parametrize(
    ("port", "probe", "scheme"),
    [
        ({"name": "https", "port": 443, "targetPort": 8000}, None, "https"),
        ({"name": "web", "port": 443, "targetPort": 8000, "appProtocol": "https"}, None, "https"),
        ({"name": "web", "port": 443, "targetPort": 443}, None, "https"),
        ({"name": "web", "port": 443, "targetPort": 8000}, None, "http"),
        ({"name": "web", "port": 80, "targetPort": 8000}, {"scheme": "HTTPS", "port": "http"}, "https"),
        ({"name": "web", "port": 80, "targetPort": 8000}, {"port": "http"}, "http"),
    ],
)
def test_tls_is_told_by_the_port_or_by_the_probe(port: dict[str, Any], probe: Any, scheme: str) -> None:
    server = container(readinessProbe={"httpGet": probe}) if probe else container()
    assert found([server], service(port)).scheme == scheme


def test_a_port_that_leads_nowhere_is_said() -> None:
    said = serving_address([container()], [service({"port": 80, "targetPort": "htpp"})])
    assert said == "no port of a Service leads anywhere: chat:80 leads to htpp, which no container opens"


@pytest.mark.parametrize(
    ("server", "port"),
    [
        (container(args=["--port", "8123"]), 8123),
        (container(ports=[], readinessProbe={"httpGet": {"path": "/health", "port": 8001}}), 8001),
        (container(ports=[{"name": "metrics", "containerPort": 9}, {"name": "http", "containerPort": 8002}]), 8002),
        (container(ports=[]), 8000),
    ],
)
def test_without_a_service_the_pod_is_asked_on_its_own_port_and_that_is_said(server: Any, port: int) -> None:
    address = found([server])
    assert (address.service, address.pod_port) == (None, port)
    assert address.note == f"no Service selects the pods: port {port} of the pod itself is asked"
    assert address.url("llm") is None


def test_when_nothing_tells_the_port() -> None:
    said = serving_address([container(image="registry.example.com/own:1", ports=[])], [])
    assert said == "no Service selects the pods, and nothing tells which port the server opens"
