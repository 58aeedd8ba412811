from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown


@check(
    title="Metrics are scraped often enough",
    severity=Severity.MEDIUM,
    needs=("prometheus.config",),
    remediation="Scrape the service every 30 seconds or more often (`interval: 15s` on its monitor).",
)
def scrape_interval(snapshot: Snapshot, *, max_seconds: float = 30.0) -> Iterator[Judgement]:
    """A P99 over five minutes from one sample a minute is guesswork, and a burst between two scrapes is not seen."""
    config = snapshot.fact("prometheus.config")
    seen = Evidence("prometheus.config.scrape_interval_s", config.scrape_interval_s, f"<= {max_seconds:g}")
    if config.scrape_interval_s is None:
        yield unknown("endpoint/prometheus", "Prometheus does not say how often it scrapes", seen)
    elif config.scrape_interval_s > max_seconds:
        yield failed("endpoint/prometheus", f"one scrape every {config.scrape_interval_s:g} s", seen)
    else:
        yield passed("endpoint/prometheus", f"one scrape every {config.scrape_interval_s:g} s", seen)
