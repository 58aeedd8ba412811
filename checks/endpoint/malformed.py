from collections.abc import Iterator

from inferaudit.api import Judgement, Severity, Snapshot, check
from inferaudit.endpoint_judgements import judge_bad_request


@check(
    title="Malformed JSON is a client error",
    severity=Severity.MEDIUM,
    needs=("endpoint.target", "endpoint.active"),
    active=True,
    remediation="Validate the body before it reaches the model, and answer 400 or 422.",
)
def malformed(snapshot: Snapshot) -> Iterator[Judgement]:
    """A client's mistake answered with 5xx counts against the error budget, pages the on-call and is retried.

    Answered with 200 it hides from the client.
    """
    why = "a client's mistake must be a 4xx, or it looks like an outage"
    yield from judge_bad_request(snapshot, "malformed", (400, 415, 422), why)
