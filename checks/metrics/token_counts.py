from collections.abc import Iterator
from dataclasses import replace

from inferaudit.api import Judgement, Severity, Snapshot, check
from inferaudit.endpoint_judgements import judge_concept


@check(
    title="Tokens in and out are counted",
    severity=Severity.MEDIUM,
    needs=("endpoint.target", "endpoint.runtime", "endpoint.concepts"),
    remediation="Export prompt and generated token counts; cost and capacity are computed from them.",
)
def token_counts(snapshot: Snapshot) -> Iterator[Judgement]:
    """Cost per request, tokens per second per GPU and the input's drift all start from token counts."""
    for concept, what in (("prompt_tokens", "prompt tokens"), ("generated_tokens", "generated tokens")):
        for judgement in judge_concept(snapshot, concept, what, kinds=("llm",)):
            yield replace(judgement, key=concept)
