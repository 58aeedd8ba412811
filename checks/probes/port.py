from collections.abc import Iterator, Mapping
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.engine_args import Engine, engine_of, engine_port, grpc_port
from inferaudit.probe_timing import port_number, read_probe

_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


@check(
    title="Probes ask a port that the server listens on",
    severity=Severity.HIGH,
    needs=("workload.containers",),
    optional=("service.configmaps",),
    remediation=(
        "Name one of the container's ports in the probe, and let it be the port that the server was told to open."
    ),
    references=(
        "https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/",
    ),
)
def port(snapshot: Snapshot) -> Iterator[Judgement]:
    """A probe on the wrong port fails for ever: the pod is never ready, or is restarted without end.

    A name that no port has is as wrong as a number that the server was not told.
    """
    maps = snapshot.fact_or("service.configmaps", ())
    for container in snapshot.fact("workload.containers"):
        engine = engine_of(container, maps)
        told = engine_port(engine) if container["serving"] else None
        spoken = grpc_port(engine) if container["serving"] else None
        # What a container declares opens nothing: a runtime with one port listens where it was told, and only there.
        only = engine.known and len(set(engine.profile.ports.values())) == 1
        declared = {p.get("containerPort") for p in container.get("ports") or ()}
        for name in _PROBES:
            probe = read_probe(container, name)
            if probe is None or probe.port is None:
                continue
            if probe.handler == "grpc":
                yield _of_grpc(container, engine, name, probe.port)
                continue
            number = port_number(container, probe.port)
            seen = Evidence(f"{name}.port", probe.port, sorted({*declared, *([told] if told else [])} - {None}))
            if number is None:
                yield failed(container["subject"], f"{name}: no port is called {probe.port}", seen, key=name)
            elif told and number != told and (only or number not in declared):
                yield failed(
                    container["subject"], f"{name} asks port {number}; the server opens {told}", seen, key=name
                )
            elif probe.handler == "http" and number == spoken != (told or engine.profile.ports.get("http")):
                text = f"{name} asks port {number} in HTTP, where {engine.title} speaks gRPC"
                yield failed(container["subject"], text, seen, key=name)
            else:
                if container["serving"] and told is None:
                    snapshot.require_read("service.configmaps")  # the server may be told another port
                yield passed(container["subject"], f"{name} asks port {number}", seen, key=name)


def _of_grpc(container: Mapping[str, Any], engine: Engine, name: str, asked: int | str) -> Judgement:
    """A grpc probe takes a number alone, and must not ask the port of HTTP."""
    own = grpc_port(engine) if container["serving"] else None
    seen = Evidence(f"{name}.grpc.port", asked, own)
    if not isinstance(asked, int):
        return failed(container["subject"], f"{name}: a grpc probe takes the number of a port, no name", seen, key=name)
    if own is not None and asked != own:
        text = f"{name} asks port {asked} in gRPC; the server speaks it on {own}"
        return failed(container["subject"], text, seen, key=name)
    return passed(container["subject"], f"{name} asks port {asked} in gRPC", seen, key=name)
