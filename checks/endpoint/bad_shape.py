from collections.abc import Iterator

from inferaudit.api import Judgement, Severity, Snapshot, check
from inferaudit.endpoint_judgements import judge_bad_request


@check(
    title="A tensor of the wrong shape is a client error",
    severity=Severity.MEDIUM,
    needs=("endpoint.target", "endpoint.active"),
    active=True,
    remediation="Check shapes before the model runs (a gateway or the client's library), and leave 5xx of bad shapes "
    "out of the error budget.",
)
def bad_shape(snapshot: Snapshot) -> Iterator[Judgement]:
    """A client's mistake answered with 5xx counts against the error budget, pages the on-call and is retried.

    Triton answers 500 where a tensor's data do not fill its shape.
    """
    why = "a client's mistake must be a 4xx, or it looks like an outage"
    yield from judge_bad_request(snapshot, "bad_shape", (400, 413, 422), why)
