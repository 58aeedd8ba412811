from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.endpoint_judgements import asked


@check(
    title="The server is up by its own word",
    severity=Severity.CRITICAL,
    needs=("endpoint.target", "endpoint.health"),
    optional=("endpoint.runtime", "endpoint.plain"),
    remediation="Start the server, or correct the route: see the runtime's health routes in docs/runtimes.md.",
)
def live(snapshot: Snapshot) -> Iterator[Judgement]:
    """A server that does not answer its own health route is not there for anyone else either."""
    subject = snapshot.fact("endpoint.target").subject
    answers = snapshot.fact("endpoint.health")
    alive = [a for a in answers if a.ready]
    if alive:
        seen = Evidence(f"endpoint.health[{alive[0].route}].status", alive[0].status, 200)
        yield passed(subject, f"{asked(alive[0].route)} answers {alive[0].status}", seen)
        return
    if not answers:
        return
    seen = Evidence("endpoint.health", {a.route: a.error if a.status is None else a.status for a in answers})
    runtime, plain = snapshot.fact_or("endpoint.runtime", None), snapshot.fact_or("endpoint.plain", None)
    shut = [a for a in answers if a.status in (401, 403)]
    hidden = [a for a in answers if a.status in (404, 405)]  # gateways often let the API alone through
    if len(shut) + len(hidden) == len(answers) and plain is not None and plain.status == 200 and plain.error is None:
        answered = Evidence("endpoint.plain.status", plain.status, 200)
        yield passed(subject, "no health route is open to us, and a real request is answered", answered)
    elif shut and len(shut) + len(hidden) == len(answers):
        yield unknown(subject, "its health routes want credentials", seen)
    elif len(hidden) == len(answers) and runtime is not None and runtime.name == "unknown":
        yield unknown(subject, "the runtime is not known, and no usual health route is there", seen)
    else:
        yield failed(subject, "no health route answers as it does when all is well", seen)
