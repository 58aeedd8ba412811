from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.resilience import ejections_of


@check(
    title="A replica that keeps failing is left out, and never all of them",
    severity=Severity.LOW,
    needs=("service.rollouts", "service.trafficpolicies"),
    remediation=(
        "Set `outlierDetection` (DestinationRule) or `healthCheck.passive` (Envoy Gateway) with "
        "`maxEjectionPercent: 50`, and a limit of waiting requests beside it."
    ),
    references=(
        "https://istio.io/latest/docs/tasks/traffic-management/circuit-breaking/",
        "https://gateway.envoyproxy.io/docs/tasks/traffic/circuit-breaker/",
    ),
)
def outlier_ejection(snapshot: Snapshot, *, most_percent: int = 60) -> Iterator[Judgement]:
    """A replica with a broken GPU still answers its probe, and every n-th request fails.

    Where a mesh or a gateway of Envoy carries the traffic it can leave such a replica out. If it may leave out all of
    them, a moment of overload becomes an outage. Without mesh this is the client's business, and nothing is said.
    """
    rules = [obj for obj in snapshot.fact("service.rollouts") if obj.get("kind") == "DestinationRule"]
    for each in ejections_of(rules, snapshot.fact("service.trafficpolicies")):
        said = {"ejects": each.ejects, "maxEjectionPercent": each.most_percent, "circuit breaker": each.breaks}
        seen = Evidence(each.source, said, f"set, with at most {most_percent} % left out")
        if each.most_percent is not None and each.most_percent > most_percent:
            yield failed(each.subject, f"may leave out {each.most_percent} % of the replicas at once", seen)
        elif each.ejects:
            yield passed(each.subject, f"leaves out failing replicas, at most {each.most_percent} % of them", seen)
        elif each.breaks:
            yield passed(each.subject, "limits what waits for it; failing replicas stay in", seen)
        else:
            yield failed(each.subject, "replicas that keep failing stay in", seen)
