from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.endpoint_judgements import asked


@check(
    title="The server is up by its own word",
    severity=Severity.CRITICAL,
    needs=("endpoint.target", "endpoint.health"),
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
    elif answers:
        said = {a.route: a.status if a.status is not None else a.error for a in answers}
        yield failed(subject, "no health route answers as it does when all is well", Evidence("endpoint.health", said))
