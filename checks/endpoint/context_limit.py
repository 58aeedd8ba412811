from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.endpoint_judgements import BUSY


@check(
    title="The context limit is stated and enforced",
    severity=Severity.MEDIUM,
    needs=("endpoint.target", "endpoint.models", "endpoint.active"),
    active=True,
    remediation="Refuse prompts beyond the context with 400 (Ollama: num_ctx cuts them silently, and llama.cpp may "
    "shift the context), and state the limit in the list of models.",
    references=("https://docs.vllm.ai/en/latest/serving/openai_compatible_server/",),
)
def context_limit(snapshot: Snapshot) -> Iterator[Judgement]:
    """A prompt that is cut without a word is answered, and wrongly: the end of it, or its instructions, were not read.

    One prompt of twice the stated context is sent, of 300 000 words at most: a longer context may hold it and is not
    judged by its answer. Where no limit is stated, it has 50 000 words.
    """
    target = snapshot.fact("endpoint.target")
    probe = next((p for p in snapshot.fact("endpoint.active") if p.kind == "oversized"), None)
    if probe is None:
        yield not_applicable(target.subject, "the API takes no text")
        return
    limit = next((m.max_model_len for m in snapshot.fact("endpoint.models") if m.id == target.model), None)
    seen = Evidence("endpoint.active[oversized].status", probe.status, "400, 413 or 422")
    stated = f"{limit} tokens are stated" if limit else "no limit is stated"
    if probe.status in (400, 413, 422):
        yield passed(target.subject, f"{stated}, and {probe.sent} is refused with {probe.status}", seen)
    elif probe.status is not None and probe.status < 300 and limit and (probe.words is None or limit >= probe.words):
        said = f"{stated}, and {probe.sent} was answered"
        yield unknown(target.subject, f"{said}: it is not known to be longer than the limit", seen)
    elif probe.status is not None and probe.status < 300 and limit:
        yield failed(target.subject, f"{stated}, and {probe.sent} was answered: it was cut silently", seen)
    elif probe.status is not None and probe.status < 300:
        yield unknown(target.subject, f"{stated}, and {probe.sent} was answered: the context may be that long", seen)
    elif probe.status is not None and probe.status >= 500 and probe.status not in BUSY:
        yield failed(target.subject, f"{probe.sent} is answered with {probe.status}: the limit is met by a crash", seen)
    else:
        said = probe.error if probe.status is None else probe.status
        yield unknown(target.subject, f"{probe.sent} got {said}: neither yes nor no", seen)
