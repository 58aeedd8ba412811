from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.engine_args import Engine, engine_port, flag_value, serving_engines, silent_engine
from inferaudit.entrypoints import port_behind
from inferaudit.kube.types import Workload
from inferaudit.scraping import Scrape, scrapes_of
from inferaudit.subjects import object_subject
from inferaudit.units import whole_number


@check(
    title="Prometheus scrapes the engine",
    severity=Severity.MEDIUM,
    needs=("workload", "workload.containers", "service.services"),
    optional=("service.monitors", "prometheus.targets"),
    remediation=(
        "Add a ServiceMonitor (or PodMonitor) whose selector and port are those of the Service, with the "
        "runtime's own path."
    ),
    references=("https://prometheus-operator.dev/docs/developer/getting-started/",),
)
def scraped(snapshot: Snapshot) -> Iterator[Judgement]:
    """A monitor that selects nothing is valid, and nobody is told: the dashboards are empty on the day they are
    needed.

    Followed from the monitor over the Service to the port of the container; annotations count where they are used
    instead. What Prometheus itself reports as its targets counts too.
    """
    workload = snapshot.fact("workload")
    containers = [c for c in snapshot.fact("workload.containers") if c["role"] != "init"]
    services = snapshot.fact("service.services")
    monitors = snapshot.fact_or("service.monitors", [])
    targets = snapshot.fact_or("prometheus.targets", [])
    mine = [t for t in targets if t.labels.get("namespace") == workload.namespace and _about(t, workload)]
    found = scrapes_of(monitors, services, containers, workload)
    engines = [engine for _, engine in serving_engines(containers)]
    paths = {e.profile.metrics_path for e in engines if e.known}
    opened = _opened(containers, [engine for engine in engines if engine.known])
    told = _told(engine for engine in engines if engine.known)
    found = [_at_a_port(scrape, opened, told) for scrape in found]
    good = [s for s in found if not s.faults and (not paths or s.path in paths or len(found) > 1)]
    seen = Evidence(
        "monitors", [f"{s.subject} {s.path} on {s.port}" for s in found] or None, "one that selects the service"
    )
    faults = [f"{s.subject}: {fault}" for s in found for fault in s.faults]
    if not good and not mine:
        snapshot.require_read("service.monitors", "prometheus.targets")  # the right one may be among those
    if good:
        yield passed(workload.subject, f"{good[0].subject} fetches {good[0].path} of port {good[0].port}", seen)
    elif mine:
        yield passed(
            workload.subject, f"Prometheus has {len(mine)} targets of it", Evidence("targets", len(mine), ">= 1")
        )
    elif faults:
        broken = next(s.subject for s in found if s.faults)
        lost = next(
            (("network-target-port", object_subject(s)) for s in services if _leads_nowhere(s, containers, opened)),
            None,
        )
        subject = workload.subject if broken == "pod template" else broken
        yield failed(subject, "; ".join(faults), seen, cause=lost)
    elif found:
        yield failed(
            workload.subject, f"{found[0].subject} asks {found[0].path}; the metrics are at {', '.join(paths)}", seen
        )
    elif snapshot.error("service.monitors") is not None:
        snapshot.fact("service.monitors")
    elif monitors:
        yield failed(workload.subject, f"{len(monitors)} monitors, none of which selects its Service or pods", seen)
    else:
        # Without a Service no ServiceMonitor can select anything: that finding says what to mend.
        cause = (
            None if services or not any(c.get("ports") for c in containers) else ("network-service", workload.subject)
        )
        cause = silent_engine(containers) or cause
        yield failed(workload.subject, "neither a monitor nor an annotation has its metrics fetched", seen, cause=cause)


def _opened(containers: list[Any], engines: list[Engine]) -> set[int]:
    """Ports that are known to be open: declared ones, and the runtime's own. Empty where nothing is known."""
    if not engines:
        return set()
    declared = {p["containerPort"] for c in containers for p in c.get("ports") or () if "containerPort" in p}
    own = {port for engine in engines for port in (engine_port(engine), *engine.profile.ports.values())}
    told = [flag_value(engine, "--metrics-port", "--prometheus-port") for engine in engines]
    told += [value for engine in engines for name, value in engine.env.items() if name.endswith("_PORT")]
    return (
        declared
        | {port for port in own if port is not None}
        | {number for text in told if (number := whole_number(text or "")) is not None}
    )


def _told(engines: Iterable[Engine]) -> set[int]:
    """The ports that engines with a server of its own for metrics were told to have it on, whatever is declared."""
    given = [
        whole_number(flag_value(engine, "--metrics-port") or "")
        for engine in engines
        if engine.profile.ports.get("metrics") != engine.profile.ports.get("http")
    ]
    return {number for number in given if number is not None}


def _at_a_port(scrape: Scrape, opened: set[int], told: set[int]) -> Scrape:
    if scrape.faults or scrape.port is None or not opened or scrape.port in (told or opened):
        return scrape
    opened = told or opened
    return replace(scrape, faults=(f"port {scrape.port}, and the pods open {sorted(opened)}",))


def _leads_nowhere(service: Any, containers: list[Any], opened: set[int]) -> bool:
    numbers = [port_behind(port, containers)[0] for port in (service.get("spec") or {}).get("ports") or ()]
    return any(number is None or (opened and number not in opened) for number in numbers)


def _about(target: Any, workload: Workload) -> bool:
    labels = target.labels
    return str(labels.get("pod", "")).startswith(f"{workload.name}-") or workload.name in (
        labels.get("service"),
        target.job,
    )
