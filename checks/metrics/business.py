import re
from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Phase, Severity, Snapshot, check, failed, passed


@check(
    title="Prometheus has a business metric",
    severity=Severity.LOW,
    needs=("prometheus.names",),
    phase=Phase.AFTER,
    remediation="Export what the service is for (clicks, conversions, false positives); name it in `pattern`.",
)
def business(
    snapshot: Snapshot,
    *,
    pattern: str = r"conversion|click|(^|_)ctr(_|$)|revenue|false_positive|escalation|deflection|orders?_total|signup",
) -> Iterator[Judgement]:
    """A service can be healthy and useless. What it is for is measured beside how it runs. Found by name."""
    names = snapshot.fact("prometheus.names")
    found = [name for name in names if re.search(pattern, name, re.IGNORECASE)]
    seen = Evidence("prometheus.names", found[:10], "clicks, conversions, false positives, …")
    if found:
        yield passed("endpoint/prometheus", f"{found[0]} speaks of the business", seen)
    else:
        yield failed("endpoint/prometheus", f"none of {len(names)} metrics speaks of the business", seen)
