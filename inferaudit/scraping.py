"""Whether a monitor really selects the service: its labels, its port, its path. Pure.

https://prometheus-operator.dev/docs/api-reference/api/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inferaudit.entrypoints import port_behind
from inferaudit.kube.selectors import selects
from inferaudit.kube.types import Workload
from inferaudit.probe_timing import port_number
from inferaudit.subjects import object_subject
from inferaudit.units import whole_number

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Scrape:
    """One way in which metrics are fetched. `faults` say why it fetches nothing; `port` is the pod's, None if lost."""

    subject: str
    port: int | None
    path: str
    faults: tuple[str, ...]


def scrapes_of(
    monitors: Iterable[Object], services: Sequence[Object], containers: Sequence[Object], workload: Workload
) -> list[Scrape]:
    """Every ServiceMonitor and PodMonitor that is about the workload, and the annotations of its pods and Services."""
    found = []
    for monitor in monitors:
        if monitor.get("kind") == "PodMonitor":
            found += _pod_monitor(monitor, containers, workload)
        else:
            found += _service_monitor(monitor, services, containers, workload)
    holders = [("pod template", (workload.template.get("metadata") or {}).get("annotations") or {})]
    holders += [(object_subject(s), (s.get("metadata") or {}).get("annotations") or {}) for s in services]
    for subject, notes in holders:
        if str(notes.get("prometheus.io/scrape", "")).lower() == "true":
            port = str(notes.get("prometheus.io/port", ""))
            path = str(notes.get("prometheus.io/path") or "/metrics")
            found.append(Scrape(subject, whole_number(port), path, ()))
    return found


def _in_scope(monitor: Object, namespace: str) -> bool:
    """``namespaceSelector``: any, named, or the monitor's own namespace."""
    chosen = (monitor.get("spec") or {}).get("namespaceSelector") or {}
    own = (monitor.get("metadata") or {}).get("namespace")
    return bool(chosen.get("any")) or namespace in (chosen.get("matchNames") or [own])


def _service_monitor(
    monitor: Object, services: Sequence[Object], containers: Sequence[Object], workload: Workload
) -> list[Scrape]:
    spec, subject = monitor.get("spec") or {}, object_subject(monitor)
    if not _in_scope(monitor, workload.namespace):
        return []
    chosen = [s for s in services if selects(spec.get("selector") or {}, (s.get("metadata") or {}).get("labels") or {})]
    if not chosen:
        return []
    found = []
    for endpoint in spec.get("endpoints") or ():
        wanted, path = endpoint.get("port"), str(endpoint.get("path") or "/metrics")
        ports = [p for s in chosen for p in (s.get("spec") or {}).get("ports") or ()]
        if wanted is None and endpoint.get("targetPort") is not None:
            number, _ = port_behind({"targetPort": endpoint["targetPort"]}, containers)
            found.append(Scrape(subject, number, path, () if number else ("no container has that targetPort",)))
            continue
        named = [p for p in ports if p.get("name") == wanted or (wanted is None and len(ports) == 1)]
        if not named:
            found.append(Scrape(subject, None, path, (f"the Service has no port called {wanted}",)))
        for port in named[:1]:
            number, _ = port_behind(port, containers)
            found.append(Scrape(subject, number, path, () if number else ("the Service's port leads nowhere",)))
    return found


def _pod_monitor(monitor: Object, containers: Sequence[Object], workload: Workload) -> list[Scrape]:
    spec, subject = monitor.get("spec") or {}, object_subject(monitor)
    labels = (workload.template.get("metadata") or {}).get("labels") or {}
    if not _in_scope(monitor, workload.namespace) or not selects(spec.get("selector") or {}, labels):
        return []
    found = []
    for endpoint in spec.get("podMetricsEndpoints") or ():
        wanted = endpoint.get("port") or endpoint.get("portNumber") or endpoint.get("targetPort")
        number = next((n for c in containers if (n := port_number(c, wanted)) is not None), None)
        faults = () if number else (f"no container has a port called {wanted}",)
        found.append(Scrape(subject, number, str(endpoint.get("path") or "/metrics"), faults))
    return found
