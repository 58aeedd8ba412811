from collections.abc import Iterator

from inferaudit.api import Judgement, Severity, Snapshot, check
from inferaudit.endpoint_judgements import judge_bad_request


@check(
    title="A prompt beyond every limit is refused",
    severity=Severity.MEDIUM,
    needs=("endpoint.target", "endpoint.active"),
    active=True,
    remediation="Limit the body's size at the gateway and the context's length in the server; answer 400 or 413.",
)
def oversized(snapshot: Snapshot) -> Iterator[Judgement]:
    """One caller's two megabytes of text must not cost the others their service.

    Where it is accepted, it is cut without a word or fills the KV cache.
    """
    why = "such a prompt must be refused before it reaches the model"
    yield from judge_bad_request(snapshot, "oversized", (400, 413, 414, 422, 431), why)
