from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.endpoint_judgements import asked


@check(
    title="The server says that it is ready",
    severity=Severity.HIGH,
    needs=("endpoint.target", "endpoint.health", "endpoint.runtime"),
    optional=("endpoint.plain",),
    remediation="Wait until the model is loaded; if it never is, read the server's log for the reason.",
)
def ready(snapshot: Snapshot) -> Iterator[Judgement]:
    """A server that is up and not ready is loading, draining, or has lost its model.

    Requests sent to it now are refused or wait, and so would the users' be.
    """
    subject = snapshot.fact("endpoint.target").subject
    answers = [a for a in snapshot.fact("endpoint.health") if a.role == "ready"]
    if snapshot.fact("endpoint.runtime").name == "unknown":  # routes were tried that many servers have: one is enough
        there = [a for a in answers if a.status not in (404, 405)]
        if answers and not there:
            tried = Evidence("endpoint.health[].status", {a.route: a.status for a in answers}, 200)
            yield unknown(subject, "the runtime is not known, and no usual readiness route is there", tried)
        answers = there
    plain = snapshot.fact_or("endpoint.plain", None)
    serves = plain is not None and plain.status == 200 and plain.error is None
    for answer in answers:
        seen = Evidence(f"endpoint.health[{answer.route}].status", answer.status, 200)
        if answer.ready:
            yield passed(subject, f"{asked(answer.route)} says ready", seen, key=answer.route)
        elif answer.status in (401, 403):
            yield unknown(subject, f"{asked(answer.route)} wants credentials", seen, key=answer.route)
        elif serves and answer.status in (404, 405):
            said = f"{asked(answer.route)} is not let through here, and a real request is answered"
            yield unknown(subject, said, seen, key=answer.route)
        else:
            said = answer.error or f"status {answer.status}"
            yield failed(subject, f"{asked(answer.route)} does not say ready: {said}", seen, key=answer.route)
