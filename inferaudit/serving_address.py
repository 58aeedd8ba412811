"""Where a workload is reached within its cluster: which port of which Service, and which port of its pods. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inferaudit.engine_args import engine_port, serving_engines
from inferaudit.entrypoints import port_behind
from inferaudit.probe_timing import port_number, read_probe

Object = Mapping[str, Any]

_WEB = ("http", "https", "web", "api", "rest", "openai", "serve", "serving", "inference")
_OTHER = ("metrics", "metric", "grpc", "health", "admin", "debug", "dashboard", "dist", "gcs", "queue", "prometheus")


@dataclass(frozen=True, slots=True)
class Address:
    """A way in. `service` and `service_port` are None where no Service leads to the pods; `note` then says so.

    `headless`: the Service's name resolves to the pods themselves, so that only `pod_port` is open behind it.
    """

    pod_port: int
    scheme: str
    service: str | None = None
    service_port: int | None = None
    headless: bool = False
    note: str = ""

    def url(self, namespace: str) -> str | None:
        """The Service's URL within the cluster; None without a Service. The cluster's own domain is left to DNS."""
        if self.service is None:
            return None
        port = self.pod_port if self.headless else self.service_port
        return f"{self.scheme}://{self.service}.{namespace}.svc:{port}"


def serving_address(
    containers: Sequence[Object], services: Sequence[Object], configmaps: Sequence[Object] = (), *, rpc: bool = False
) -> Address | str:
    """The way in, or why there is none. The port that the server was told wins, then a name that says HTTP.

    With `rpc` a name that says gRPC wins.

    `containers` is the fact ``workload.containers``, `services` are those that select the pods.
    """
    told = {port for _, engine in serving_engines(containers, configmaps) if (port := engine_port(engine))}
    found: list[tuple[tuple[int, int, str], Address]] = []
    lost: list[str] = []
    for service in services:
        spec, name = service.get("spec") or {}, str((service.get("metadata") or {}).get("name"))
        if spec.get("type") == "ExternalName":
            continue
        for at, port in enumerate(spec.get("ports") or ()):
            if port.get("protocol", "TCP") != "TCP":
                continue
            number, _ = port_behind(port, containers)
            if number is None:
                lost.append(f"{name}:{port.get('port')} leads to {port.get('targetPort')}, which no container opens")
                continue
            headless = spec.get("clusterIP") == "None"
            scheme = _scheme(port, number, containers)
            rank = (_rank(port, number in told, rpc=rpc), headless, f"{name}/{at:03}")
            found.append((rank, Address(number, scheme, name, int(port["port"]), headless)))
    if found:
        return min(found, key=lambda each: each[0])[1]
    if lost:
        return f"no port of a Service leads anywhere: {'; '.join(lost[:3])}"
    return _without_service(containers, told, configmaps)


def _rank(port: Object, told: bool, *, rpc: bool = False) -> int:
    words = f"{port.get('name') or ''} {port.get('appProtocol') or ''}".lower()
    if rpc:
        return 0 if "grpc" in words or "h2c" in words else 3 if any(word in words for word in _OTHER) else 1
    if any(word in words for word in _OTHER):
        return 3
    if told:
        return 0
    return 1 if any(word in words for word in _WEB) else 2


def _scheme(port: Object, number: int, containers: Iterable[Object]) -> str:
    words = (str(port.get("name") or "").lower(), str(port.get("appProtocol") or "").lower())
    if any(word == "https" or word.startswith(("https-", "kubernetes.io/wss")) for word in words):
        return "https"
    return "https" if number in _encrypted(containers) or port.get("port") == 443 == number else "http"


def _encrypted(containers: Iterable[Object]) -> set[int]:
    """Ports whose HTTP probes speak TLS."""
    found = set()
    for container in containers:
        for name in ("startupProbe", "readinessProbe", "livenessProbe"):
            asked = (container.get(name) or {}).get("httpGet") or {}
            if asked.get("scheme") == "HTTPS" and (number := port_number(container, asked.get("port"))):
                found.add(number)
    return found


def _without_service(containers: Sequence[Object], told: set[int], configmaps: Sequence[Object]) -> Address | str:
    """The serving container's own port: what it was told, what its probes ask, what it declares, its default."""
    for container, engine in serving_engines(containers, configmaps):
        probes = [read_probe(container, name) for name in ("readinessProbe", "startupProbe", "livenessProbe")]
        asked = [port_number(container, p.port) for p in probes if p and p.handler == "http" and p.port is not None]
        declared = sorted(container.get("ports") or (), key=lambda p: _rank(p, False))
        open_ports = [p.get("containerPort") for p in declared if p.get("protocol", "TCP") == "TCP"]
        known = [engine.profile.ports.get("http")] if engine.known else []
        number = next((n for n in (*sorted(told), *asked, *open_ports, *known) if n), None)
        if number is not None:
            scheme = "https" if number in _encrypted(containers) else "http"
            return Address(
                number, scheme, note=f"no Service selects the pods: port {number} of the pod itself is asked"
            )
    return "no Service selects the pods, and nothing tells which port the server opens"
