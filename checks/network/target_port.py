from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.engine_args import engine_port, other_ports, serving_engines
from inferaudit.entrypoints import port_behind
from inferaudit.probe_timing import port_number, read_probe
from inferaudit.subjects import object_subject


@check(
    title="The Service leads to a port that is open",
    severity=Severity.HIGH,
    needs=("workload.containers", "service.services"),
    optional=("service.configmaps",),
    remediation="Let `targetPort` be the name or number of a port that the serving container opens.",
    references=("https://kubernetes.io/docs/concepts/services-networking/service/#field-spec-ports",),
)
def target_port(snapshot: Snapshot) -> Iterator[Judgement]:
    """A Service with a wrong target has endpoints, all of which refuse the connection.

    A name must be declared by a container; a number should be one that is declared, or that the server was told.
    """
    containers = snapshot.fact("workload.containers")
    maps = snapshot.fact_or("service.configmaps", ())
    if not all(engine_port(engine) for _, engine in serving_engines(containers, maps)):
        snapshot.require_read("service.configmaps")  # the port may be set there
    told = {port for _, engine in serving_engines(containers, maps) if (port := engine_port(engine))}
    shut = _shut(containers, maps)
    for service in snapshot.fact("service.services"):
        subject = object_subject(service)
        for port in (service.get("spec") or {}).get("ports") or ():
            number, declared = port_behind(port, containers)
            key = str(port.get("name") or port.get("port"))
            target = port.get("targetPort") or port.get("port")
            seen = Evidence(f"spec.ports[{key}].targetPort", target, "a port that a container opens")
            if number is None:
                yield failed(subject, f"no container has a port called {target}", seen, key=key)
            elif number in shut:
                listed = ", ".join(str(each) for each in sorted(told))
                text = f"leads to {number}, which is declared; the server opens {listed}"
                yield failed(subject, text, seen, key=key, cause=shut[number])
            elif declared or number in told:
                yield passed(subject, f"port {port.get('port')} leads to {number}", seen, key=key)
            elif told:
                listed = ", ".join(str(each) for each in sorted(told))
                yield failed(subject, f"leads to {number}; the server opens {listed}", seen, key=key)
            elif any(c.get("ports") for c in containers if c["serving"]):
                yield failed(subject, f"leads to {number}, which no container declares", seen, key=key)
            else:
                yield passed(
                    subject, f"leads to {number}; the containers declare no ports to hold against it", seen, key=key
                )


def _shut(
    containers: Iterable[Mapping[str, Any]], maps: Iterable[Mapping[str, Any]]
) -> dict[int, tuple[str, str] | None]:
    """Ports that a container declares and its server, which has one port, does not open; with the finding of a probe
    that asks the same port."""
    shut: dict[int, tuple[str, str] | None] = {}
    for container, engine in serving_engines(containers, maps):
        told = engine_port(engine)
        if told is None or not engine.known or len(set(engine.profile.ports.values())) != 1:
            continue
        probes = [read_probe(container, name) for name in ("startupProbe", "readinessProbe", "livenessProbe")]
        asked = {port_number(container, probe.port) for probe in probes if probe and probe.port is not None}
        for port in container.get("ports") or ():
            number = port.get("containerPort")
            if number != told and number not in other_ports(engine):
                shut[number] = ("probes-port", container["subject"]) if number in asked else None
    others = {p.get("containerPort") for c in containers if not c["serving"] for p in c.get("ports") or ()}
    return {number: cause for number, cause in shut.items() if number not in others}
