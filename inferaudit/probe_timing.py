"""Probes as the kubelet reads them: defaults filled in, budgets in seconds. Pure.

Defaults: https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inferaudit.units import whole_number

_HANDLERS = {"httpGet": "http", "tcpSocket": "tcp", "grpc": "grpc", "exec": "exec"}


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe with its defaults. Times in seconds. `port` as written: a number, or a port's name. `path` of a grpc
    probe is the service it asks for, empty for the whole server."""

    handler: str
    port: int | str | None
    path: str
    initial_delay_s: int
    period_s: int
    timeout_s: int
    failure_threshold: int

    @property
    def window_s(self) -> int:
        """How long the container may fail before the probe acts."""
        return self.period_s * self.failure_threshold

    @property
    def budget_s(self) -> int:
        """How long after its start the container may fail before the probe acts."""
        return self.initial_delay_s + self.window_s


def read_probe(container: Mapping[str, Any], name: str) -> Probe | None:
    """The container's ``startupProbe``, ``readinessProbe`` or ``livenessProbe``; None when it has none."""
    spec = container.get(name)
    if not isinstance(spec, Mapping) or not spec:
        return None
    field = next((f for f in _HANDLERS if f in spec), None)
    handler = spec.get(field) or {} if field else {}
    return Probe(
        handler=_HANDLERS[field] if field else "none",
        port=handler.get("port"),
        path=str(handler.get("path") or "/") if field == "httpGet" else str(handler.get("service") or ""),
        initial_delay_s=int(spec.get("initialDelaySeconds") or 0),
        period_s=int(spec.get("periodSeconds") or 10),
        timeout_s=int(spec.get("timeoutSeconds") or 1),
        failure_threshold=int(spec.get("failureThreshold") or 3),
    )


def startup_budget(container: Mapping[str, Any]) -> tuple[str, int] | None:
    """Which probe ends a start that takes too long, and after how many seconds; None when none ever does."""
    for name in ("startupProbe", "livenessProbe"):
        probe = read_probe(container, name)
        if probe:
            return name, probe.budget_s
    return None


def port_number(container: Mapping[str, Any], port: int | str | None) -> int | None:
    """The number behind a probe's or a Service's port; None for a name that the container does not declare."""
    if isinstance(port, int):
        return port
    if port is not None and (number := whole_number(str(port))) is not None:
        return number
    for declared in container.get("ports") or ():
        if declared.get("name") == port and isinstance(declared.get("containerPort"), int):
            return int(declared["containerPort"])
    return None


def grace_s(pod_spec: Mapping[str, Any]) -> int:
    """``terminationGracePeriodSeconds`` with its default of 30."""
    value = pod_spec.get("terminationGracePeriodSeconds")
    return value if isinstance(value, int) else 30


def pre_stop_s(container: Mapping[str, Any]) -> float | None:
    """Seconds a ``preStop`` hook sleeps; 0 for a hook whose length cannot be read; None without a hook."""
    hook = (container.get("lifecycle") or {}).get("preStop")
    if not hook:
        return None
    if "sleep" in hook:
        return float((hook["sleep"] or {}).get("seconds") or 0)
    words = " ".join(str(word) for word in (hook.get("exec") or {}).get("command") or ()).split()
    for at, word in enumerate(words[:-1]):
        if word.rpartition("/")[2].strip("\"'") == "sleep":
            text = words[at + 1].strip("\"';s")
            return float(text) if whole_number(text.replace(".", "", 1)) is not None else 0.0
    return 0.0
