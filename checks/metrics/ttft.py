from collections.abc import Iterator

from inferaudit.api import Judgement, Severity, Snapshot, check
from inferaudit.endpoint_judgements import judge_concept


@check(
    title="Time to first token is a histogram",
    severity=Severity.MEDIUM,
    needs=("endpoint.target", "endpoint.runtime", "endpoint.concepts"),
    optional=("prometheus.series",),
    remediation="Use a runtime or gateway that exports TTFT, or derive it from prefill and queue time.",
)
def ttft(snapshot: Snapshot) -> Iterator[Judgement]:
    """What users of a stream feel is the time to the first token; the request's whole duration hides it."""
    yield from judge_concept(
        snapshot, "ttft", "time to first token", types=("histogram",), kinds=("llm",), series="ttft_p99"
    )
