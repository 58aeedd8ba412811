import re
from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Phase, Severity, Snapshot, check, failed, passed


@check(
    title="Prometheus has a metric of the answers' quality",
    severity=Severity.MEDIUM,
    needs=("prometheus.names",),
    phase=Phase.DURING,
    remediation="Export prediction values, confidence, drift or feedback; name them in the parameter `pattern`.",
    references=("https://sre.google/workbook/implementing-slos/",),
)
def online_quality(
    snapshot: Snapshot,
    *,
    pattern: str = r"predict(ion|ed)_(value|score|class|distribution)|confidence|drift|accuracy|feedback|thumbs"
    r"|hallucinat|toxicity|relevance|golden_score|eval_score",
) -> Iterator[Judgement]:
    """A model that answers fast and wrong is green on every system metric.

    Only the distribution of its answers, its confidence, or what users do with them shows it. Found by name.
    """
    names = snapshot.fact("prometheus.names")
    found = [name for name in names if re.search(pattern, name, re.IGNORECASE)]
    seen = Evidence("prometheus.names", found[:10], "a metric of predictions, confidence, drift or feedback")
    if found:
        yield passed("endpoint/prometheus", f"{found[0]} speaks of quality", seen)
    else:
        yield failed("endpoint/prometheus", f"none of {len(names)} metrics speaks of the answers' quality", seen)
