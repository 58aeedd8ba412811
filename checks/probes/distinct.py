from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.engine_args import engine_of
from inferaudit.probe_routes import own_liveness
from inferaudit.probe_timing import read_probe


@check(
    title="Liveness and readiness differ where they must",
    severity=Severity.MEDIUM,
    needs=("workload.containers",),
    optional=("service.configmaps",),
    remediation=(
        "Ask the runtime's liveness route in the livenessProbe; where it has only one route, make liveness the "
        "more patient."
    ),
    references=("https://kubernetes.io/docs/concepts/workloads/pods/probes/",),
)
def distinct(snapshot: Snapshot) -> Iterator[Judgement]:
    """Not ready means: send nothing for now. Not alive means: start again, and load the weights again.

    When both probes ask the same and wait the same, every pause becomes a restart of minutes.
    """
    maps = snapshot.fact_or("service.configmaps", ())
    for container in snapshot.fact("workload.containers"):
        if not container["serving"]:
            continue
        subject = container["subject"]
        ready, live = read_probe(container, "readinessProbe"), read_probe(container, "livenessProbe")
        if ready is None or live is None:
            yield not_applicable(
                subject, "it has not both probes", Evidence("readinessProbe, livenessProbe", None, "both")
            )
            continue
        same = (ready.handler, ready.path, ready.port) == (live.handler, live.path, live.port)
        if not engine_of(container, maps).known:
            snapshot.require_read("service.configmaps")
        own = own_liveness(engine_of(container, maps).profile) if engine_of(container, maps).known else None
        asked = f"{live.handler} {live.path}".strip()
        seen = Evidence(
            "readinessProbe, livenessProbe", {"readiness_s": ready.window_s, "liveness_s": live.window_s, "asks": asked}
        )
        if not same:
            yield passed(subject, "liveness and readiness ask for different things", seen)
        elif own and live.handler == "http" and own.route.rstrip("/") != live.path.rstrip("/"):
            yield failed(subject, f"both ask {live.path}; {own.route} speaks of the process alone", seen)
        elif live.window_s <= ready.window_s:
            yield failed(subject, f"both ask {asked}, and liveness gives up no later than readiness", seen)
        else:
            yield passed(subject, f"both ask {asked}, and liveness is the more patient", seen)
