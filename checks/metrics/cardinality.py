from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="The metrics page stays within bounds",
    severity=Severity.LOW,
    needs=("endpoint.target", "endpoint.metrics_page"),
    remediation="Drop labels that callers choose (user, prompt, unknown model) by relabelling, and set a sampleLimit.",
)
def cardinality(snapshot: Snapshot, *, max_series: int = 10000, max_family: int = 2000) -> Iterator[Judgement]:
    """A label that callers choose grows without end, until Prometheus drops the target or runs out of memory."""
    subject, page = snapshot.fact("endpoint.target").subject, snapshot.fact("endpoint.metrics_page")
    if page.series > max_series:
        seen = Evidence("endpoint.metrics_page.series", page.series, f"<= {max_series}")
        yield failed(subject, f"the page has {page.series} series", seen)
    elif page.largest_series > max_family:
        seen = Evidence("endpoint.metrics_page.largest_series", page.largest_series, f"<= {max_family}")
        yield failed(subject, f"{page.largest} alone has {page.largest_series} series", seen)
    else:
        seen = Evidence("endpoint.metrics_page.series", page.series, f"<= {max_series}")
        yield passed(subject, f"{page.series} series, {page.bytes / 1024:.0f} KiB", seen)
