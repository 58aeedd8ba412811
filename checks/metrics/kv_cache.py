from collections.abc import Iterator

from inferaudit.api import Judgement, Severity, Snapshot, check
from inferaudit.endpoint_judgements import judge_concept


@check(
    title="KV-cache use is measured",
    severity=Severity.MEDIUM,
    needs=("endpoint.target", "endpoint.runtime", "endpoint.concepts"),
    remediation="Export KV-cache use; engines that preallocate show their memory pressure there and nowhere else.",
)
def kv_cache(snapshot: Snapshot) -> Iterator[Judgement]:
    """GPU memory of a preallocating engine is full from the start.

    Only its cache's use tells how near it is to preempting or refusing requests.
    """
    yield from judge_concept(snapshot, "kv_cache_usage", "KV-cache use", kinds=("llm",))
