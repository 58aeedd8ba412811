from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, unknown
from inferaudit.endpoint_judgements import judge_bad_request


@check(
    title="A prompt beyond every limit is refused",
    severity=Severity.MEDIUM,
    needs=("endpoint.target", "endpoint.active"),
    optional=("endpoint.models",),
    active=True,
    remediation="Limit the body's size at the gateway and the context's length in the server; answer 400 or 413.",
)
def oversized(snapshot: Snapshot) -> Iterator[Judgement]:
    """One caller's two megabytes of text must not cost the others their service.

    Where it is accepted, it is cut without a word or fills the KV cache. A context that is stated to be as long as the
    prompt, which has 300 000 words at most, may rightly hold it: that is not judged.
    """
    target = snapshot.fact("endpoint.target")
    probe = next((p for p in snapshot.fact("endpoint.active") if p.kind == "oversized"), None)
    models = snapshot.fact_or("endpoint.models", [])
    limit = next((m.max_model_len for m in models if m.id == target.model), None) or 0
    if probe is not None and probe.status is not None and probe.status < 300 and probe.words and limit >= probe.words:
        seen = Evidence("endpoint.active[oversized].status", probe.status, "a prompt beyond the limit")
        said = f"{probe.sent} was answered, and {limit} tokens are stated"
        yield unknown(target.subject, f"{said}: it is not known to be longer than the limit", seen)
        return
    why = "such a prompt must be refused before it reaches the model"
    yield from judge_bad_request(snapshot, "oversized", (400, 413, 414, 422, 431), why)
