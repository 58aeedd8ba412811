from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, review
from inferaudit.engine_args import engine_of
from inferaudit.probe_routes import grpc_answer
from inferaudit.probe_timing import read_probe

_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


@check(
    title="A grpc probe asks a health service that the server has",
    severity=Severity.HIGH,
    needs=("workload.containers",),
    optional=("service.configmaps",),
    remediation=(
        "Switch the server's grpc.health.v1 service on, or ask an HTTP route: `httpGet: {path: /v2/models/NAME/ready}`."
    ),
    references=(
        "https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/",
        "https://github.com/grpc/grpc/blob/master/doc/health-checking.md",
    ),
)
def grpc_service(snapshot: Snapshot) -> Iterator[Judgement]:
    """The kubelet asks grpc.health.v1.Health and nothing else; a server without it answers UNIMPLEMENTED.

    Many serving runtimes speak gRPC and do not have that service: the pod is then never ready, or is restarted for
    ever.
    """
    maps = snapshot.fact_or("service.configmaps", ())
    for container in snapshot.fact("workload.containers"):
        if not container["serving"]:
            continue
        engine, subject = engine_of(container, maps), container["subject"]
        asking = [name for name in _PROBES if (probe := read_probe(container, name)) and probe.handler == "grpc"]
        if not asking:
            yield not_applicable(
                subject, "none of its probes is a grpc probe", Evidence("probes", None, "a grpc probe")
            )
        answer = grpc_answer(engine)
        for name in asking:
            seen = Evidence(name, container[name], "a server with grpc.health.v1")
            if answer is None:
                yield review(subject, f"{name}: does {engine.title} serve grpc.health.v1?", seen, key=name)
            elif answer[0] == "never":
                yield failed(subject, f"{name}: {answer[1]}", seen, key=name)
            else:
                yield passed(subject, f"{name}: {answer[1]}", seen, key=name)
