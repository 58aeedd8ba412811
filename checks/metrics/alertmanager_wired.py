from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="Prometheus sends its alerts to an Alertmanager",
    severity=Severity.HIGH,
    needs=("prometheus.config",),
    remediation="Name the Alertmanager under `alerting.alertmanagers` of Prometheus.",
)
def alertmanager_wired(snapshot: Snapshot) -> Iterator[Judgement]:
    """An alert that fires in Prometheus and is sent nowhere wakes nobody."""
    found = snapshot.fact("prometheus.config").alertmanagers
    seen = Evidence("prometheus.config.alertmanagers", found, "at least one")
    if found:
        yield passed("endpoint/prometheus", f"alerts go to {', '.join(found[:3])}", seen)
    else:
        yield failed("endpoint/prometheus", "no Alertmanager is connected", seen)
