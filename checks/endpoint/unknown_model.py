from collections.abc import Iterator

from inferaudit.api import Judgement, Severity, Snapshot, check
from inferaudit.endpoint_judgements import judge_bad_request


@check(
    title="An unknown model is refused",
    severity=Severity.MEDIUM,
    needs=("endpoint.target", "endpoint.active"),
    active=True,
    remediation="Answer 404 (or 400) to a model that is not served; do not fall back to another one silently.",
)
def unknown_model(snapshot: Snapshot) -> Iterator[Judgement]:
    """A misspelt model that is answered by another one gives wrong answers that nobody notices."""
    why = "the caller must learn that the model is not there"
    yield from judge_bad_request(snapshot, "unknown_model", (400, 404, 422), why)
