from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.engine_args import engine_port, serving_engines
from inferaudit.probe_routes import find_route, foreign_route
from inferaudit.probe_timing import port_number, read_probe

_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


@check(
    title="The probes ask routes that the server has",
    severity=Severity.HIGH,
    needs=("workload.containers",),
    optional=("service.configmaps",),
    remediation="Point the probe at a health route of this runtime, for example `/health` (vLLM, SGLang, TGI).",
    references=("https://kubernetes.io/docs/concepts/workloads/pods/probes/",),
)
def route(snapshot: Snapshot) -> Iterator[Judgement]:
    """A probe that was copied from another server's manifest gets 404: the pod is never ready, or restarted for ever.

    Judged are routes known to be another runtime's, or of a common name, on the port of a server whose routes are its
    own alone; what nobody knows is left to a person.
    """
    maps = snapshot.fact_or("service.configmaps", ())
    for container, engine in serving_engines(snapshot.fact("workload.containers"), maps):
        own = engine_port(engine) or engine.profile.ports.get("http")
        for name in _PROBES:
            probe = read_probe(container, name)
            if probe is None or probe.handler != "http" or port_number(container, probe.port) != own:
                continue
            seen = Evidence(f"{name}.httpGet.path", probe.path, [each.route for each in engine.profile.health])
            if owner := foreign_route(engine, probe.path):
                text = f"{name} asks {probe.path}, a route of {owner}; {engine.title} has none such"
                yield failed(container["subject"], text, seen, key=name)
            elif engine.known and find_route(engine.profile, probe.path):
                yield passed(container["subject"], f"{name} asks {probe.path} of {engine.title}", seen, key=name)
