from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown


@check(
    title="Every ready pod's server says so itself",
    severity=Severity.HIGH,
    needs=("endpoint.replicas",),
    remediation="Let the readinessProbe ask the route that proves the model; see the log of the pod that is named.",
)
def replica_ready(snapshot: Snapshot) -> Iterator[Judgement]:
    """Kubernetes sends traffic to every pod that its probe calls ready, and a probe may ask too little.

    One replica of several that cannot serve shows as a share of errors which no single request finds. Each ready pod is
    asked on the route by which its runtime tells readiness.
    """
    replicas = snapshot.fact("endpoint.replicas")
    answers, subject = replicas.answers, replicas.subject
    lost = [a for a in answers if a.error]
    said = [a for a in answers if a.ready is not None]
    wrong = [a for a in said if not a.ready]
    states = {a.pod: a.error or f"{a.ready_route} {a.ready_status}" for a in answers if a.error or a.ready_route}
    seen = Evidence("endpoint.replicas.answers[].ready_status", states, "ready")
    if wrong:
        first = wrong[0]
        text = f"{len(wrong)} of {len(said)} pods that count as ready do not say so: {first.pod} answers "
        yield failed(subject, f"{text}{first.ready_status} on {first.ready_route}", seen)
    elif lost:
        yield unknown(subject, f"{lost[0].pod} was not reached: {lost[0].error}", seen)
    elif not answers:
        yield unknown(subject, "no pod was asked", seen)
    elif not said:
        yield not_applicable(subject, f"{answers[0].runtime} has no readiness route that can be asked")
    elif len(said) < replicas.total:
        yield unknown(subject, f"{len(said)} of {replicas.total} ready pods were asked; those say ready", seen)
    else:
        yield passed(subject, f"all {len(said)} say ready on {said[0].ready_route}", seen)
