from collections.abc import Iterator

from inferaudit.alert_rules import alerts_about
from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="Alerts about the service exist",
    severity=Severity.MEDIUM,
    needs=("workload",),
    optional=("service.rules", "prometheus.rules"),
    remediation="Write the rules with `inferaudit generate alerts`, and load them into Prometheus.",
    references=("https://sre.google/workbook/alerting-on-slos/", "https://prometheus.io/docs/practices/alerting/"),
)
def alerts(snapshot: Snapshot) -> Iterator[Judgement]:
    """Without a rule nobody is woken, and the users are the monitoring.

    Rules count that name the service's namespace or lie in it, or that watch what only model servers and GPUs
    report. Which of the usual alerts are missing is told one by one.
    """
    workload = snapshot.fact("workload")
    found = alerts_about(snapshot, workload.namespace)
    seen = Evidence("alerting rules", [a.path for a in found[:20]] or None, "at least one")
    if found:
        yield passed(workload.subject, f"{len(found)} alerts are about it", seen)
    else:
        snapshot.require_read("prometheus.rules")
        yield failed(workload.subject, "no alert is about it", seen)
