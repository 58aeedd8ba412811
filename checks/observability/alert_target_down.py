from collections.abc import Iterator

from inferaudit.alert_rules import alerts_about, concerns
from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="An alert watches whether replicas can be scraped",
    severity=Severity.MEDIUM,
    needs=("workload",),
    optional=("service.rules", "prometheus.rules"),
    remediation=(
        "Add an alert on `up == 0` and on `absent(up)` for the service's job; `inferaudit generate alerts` writes "
        "the rule for this runtime's metrics."
    ),
    references=("https://sre.google/workbook/alerting-on-slos/", "https://prometheus.io/docs/practices/alerting/"),
)
def alert_target_down(snapshot: Snapshot) -> Iterator[Judgement]:
    """Every other alert is silent when its metrics are gone.

    A target that is down, or absent, must wake somebody by itself.
    """
    workload = snapshot.fact("workload")
    about = alerts_about(snapshot, workload.namespace)
    found = [a for a in about if "target_down" in concerns(a, workload.namespace)]
    seen = Evidence("alerting rules", [a.path for a in found] or None, "targets that are down")
    if found:
        yield passed(workload.subject, f"watched by {', '.join(a.name for a in found[:3])}", seen)
    else:
        snapshot.require_read("prometheus.rules")
        cause = None if about else ("observability-alerts", workload.subject)
        yield failed(workload.subject, "no alert fires when metrics stop coming", seen, cause=cause)
