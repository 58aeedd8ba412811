from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, not_applicable, review
from inferaudit.engine_args import engine_of
from inferaudit.probe_routes import asks_model, find_route, foreign_route, grpc_answer
from inferaudit.probe_timing import read_probe


@check(
    title="The readiness of a server that is not recognised speaks of the model",
    severity=Severity.MEDIUM,
    needs=("workload.containers",),
    optional=("service.configmaps",),
    remediation=(
        "Let the route answer 200 only after one inference has succeeded, and attest it for the row of health checks."
    ),
    references=("https://kubernetes.io/docs/concepts/workloads/pods/probes/#readiness-probe",),
    tags=("never-passes", "never-fails"),
)
def readiness_custom(snapshot: Snapshot) -> Iterator[Judgement]:
    """What a route of a server of one's own, or a command, answers while the model loads cannot be seen from outside.

    A person must look at it once.
    """
    maps = snapshot.fact_or("service.configmaps", ())
    for container in snapshot.fact("workload.containers"):
        probe = read_probe(container, "readinessProbe")
        if not container["serving"] or probe is None:
            continue
        engine, subject = engine_of(container, maps), container["subject"]
        seen = Evidence("readinessProbe", container["readinessProbe"], "answers only once the model serves")
        named = find_route(engine.profile, probe.path) or asks_model(engine.profile, probe.path)
        if probe.handler == "http" and foreign_route(engine, probe.path):
            yield not_applicable(subject, f"{engine.title} has no such route", seen)
        elif probe.handler == "grpc" and (answer := grpc_answer(engine)):
            yield not_applicable(subject, f"{answer[1]}: what that proves is known", seen)
        elif probe.handler in ("grpc", "exec"):
            yield review(subject, f"does the {probe.handler} probe succeed before the model is loaded?", seen)
        elif not engine.known or not (named or probe.handler == "tcp"):
            where = probe.path or f"port {probe.port}"
            yield review(subject, f"does {where} answer before the model is loaded?", seen)
        else:
            yield not_applicable(subject, f"{engine.title} is recognised, and what its route proves is known", seen)
