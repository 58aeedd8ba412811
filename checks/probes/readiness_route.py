from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.engine_args import engine_of, flag_value
from inferaudit.probe_routes import asks_model, find_route, grpc_answer
from inferaudit.probe_timing import read_probe

# Pages of the web server around the engine: they answer also when the engine behind it has died.
_NO_HEALTH = frozenset({"/", "/version", "/metrics", "/docs", "/openapi.json", "/favicon.ico"})


@check(
    title="The readiness route proves that the model is loaded",
    severity=Severity.HIGH,
    needs=("workload.containers",),
    optional=("service.configmaps",),
    remediation="Point the readinessProbe at the runtime's route that answers only once the model serves.",
    references=("https://kubernetes.io/docs/concepts/workloads/pods/probes/#readiness-probe",),
)
def readiness_route(snapshot: Snapshot) -> Iterator[Judgement]:
    """Many runtimes have a route that answers while the model still loads, or after it failed.

    With it as readiness, traffic reaches a web server that has no model behind it.
    """
    maps = snapshot.fact_or("service.configmaps", ())
    for container in snapshot.fact("workload.containers"):
        probe = read_probe(container, "readinessProbe")
        if not container["serving"] or probe is None:
            continue
        engine, subject = engine_of(container, maps), container["subject"]
        seen = Evidence("readinessProbe", container["readinessProbe"], "a route that proves the model")
        if not engine.known:
            snapshot.require_read("service.configmaps")
            yield not_applicable(subject, "the runtime is not recognised, and its routes are not known", seen)
        elif probe.handler == "tcp":
            late = all("refused" in route.loading for route in engine.profile.health if route.proves == "model")
            known = any(route.proves == "model" for route in engine.profile.health)
            if known and late:
                yield passed(subject, f"{engine.title} opens its port only once the model is loaded", seen)
            else:
                yield failed(subject, f"an open port proves no model: {engine.title} opens it before", seen)
        elif probe.handler == "grpc" and (answer := grpc_answer(engine)):
            proves, why = answer
            if proves == "never":
                cause = ("probes-grpc-service", subject)
                yield failed(subject, f"{why}: the probe never succeeds", seen, cause=cause)
            elif proves == "model":
                yield passed(subject, f"{why}, and it speaks of the models", seen)
            else:
                yield failed(subject, f"{why}, which proves the {proves}, not the model", seen)
        elif probe.handler in ("grpc", "exec"):
            yield not_applicable(subject, f"a {probe.handler} probe: what it proves cannot be seen from outside", seen)
        elif route := find_route(engine.profile, probe.path):
            if route.proves == "model" and str(flag_value(engine, "--strict-readiness")).lower() in ("false", "0"):
                told = "--strict-readiness=false: it answers 200 when a model failed to load"
                yield failed(subject, told, seen, Evidence("args", "--strict-readiness=false", "true"))
            elif route.proves == "model" and route.probe:
                yield passed(subject, f"{probe.path} of {engine.title} proves the model", seen)
            elif route.proves == "model":
                yield failed(subject, f"{probe.path} of {engine.title} costs a generation each time it is asked", seen)
            else:
                yield failed(subject, f"{probe.path} of {engine.title} proves the {route.proves}, not the model", seen)
        elif asks_model(engine.profile, probe.path):
            yield passed(subject, f"{probe.path} lists the served model", seen)
        elif (probe.path.partition("?")[0].rstrip("/") or "/") in _NO_HEALTH:
            yield failed(subject, f"{probe.path} of {engine.title} answers whatever became of the model", seen)
        else:
            yield not_applicable(subject, f"nothing is known about {probe.path} of {engine.title}", seen)
