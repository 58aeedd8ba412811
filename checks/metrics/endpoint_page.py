from collections.abc import Iterator

from inferaudit.api import Evidence, FactErrorKind, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="The server exports metrics",
    severity=Severity.MEDIUM,
    needs=("endpoint.target", "endpoint.runtime"),
    optional=("endpoint.metrics_page",),
    remediation="Switch metrics on (SGLang `--enable-metrics`, llama.cpp `--metrics`), or give --metrics-url.",
)
def endpoint_page(snapshot: Snapshot) -> Iterator[Judgement]:
    """Without the server's own metrics nobody sees queueing, errors or cache pressure before users do."""
    subject, runtime = snapshot.fact("endpoint.target").subject, snapshot.fact("endpoint.runtime")
    error = snapshot.error("endpoint.metrics_page")
    if error is not None and error.kind is FactErrorKind.OUT_OF_VIEW and runtime.metrics_default == "none":
        seen = Evidence("endpoint.runtime.metrics_default", "none", "a metrics page")
        yield failed(subject, f"{runtime.title} has no metrics page at all", seen)
        return
    page = snapshot.fact("endpoint.metrics_page")
    seen = Evidence("endpoint.metrics_page.series", page.series, "at least 1")
    yield passed(subject, f"GET {page.url} shows {page.families} metrics with {page.series} series", seen)
