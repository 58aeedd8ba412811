from collections.abc import Iterator

from inferaudit.alert_rules import alerts_about, concerns
from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="An alert watches the error budget",
    severity=Severity.LOW,
    needs=("workload",),
    optional=("service.rules", "prometheus.rules"),
    remediation=(
        "Add multi-window burn-rate alerts on the availability objective; `inferaudit generate slo` writes them."
    ),
    references=("https://sre.google/workbook/alerting-on-slos/", "https://prometheus.io/docs/practices/alerting/"),
)
def alert_burn_rate(snapshot: Snapshot) -> Iterator[Judgement]:
    """A fixed threshold is either too slow for an outage or too loud for a bad minute.

    Burn rates over two windows are both quick and quiet.
    """
    workload = snapshot.fact("workload")
    about = alerts_about(snapshot, workload.namespace)
    found = [a for a in about if "burn_rate" in concerns(a, workload.namespace)]
    seen = Evidence("alerting rules", [a.path for a in found] or None, "the burn rate of the error budget")
    if found:
        yield passed(workload.subject, f"watched by {', '.join(a.name for a in found[:3])}", seen)
    else:
        snapshot.require_read("prometheus.rules")
        cause = None if about else ("observability-alerts", workload.subject)
        yield failed(workload.subject, "no alert watches how fast the error budget burns", seen, cause=cause)
