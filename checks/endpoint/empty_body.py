from collections.abc import Iterator

from inferaudit.api import Judgement, Severity, Snapshot, check
from inferaudit.endpoint_judgements import judge_bad_request


@check(
    title="An empty body is a client error",
    severity=Severity.MEDIUM,
    needs=("endpoint.target", "endpoint.active"),
    active=True,
    remediation="Answer 400 or 422 to a request without a body.",
)
def empty_body(snapshot: Snapshot) -> Iterator[Judgement]:
    """Health checkers and broken clients send empty bodies; a server that answers 5xx to them raises false alarms."""
    why = "a client's mistake must be a 4xx, or it looks like an outage"
    yield from judge_bad_request(snapshot, "empty", (400, 411, 415, 422), why)
