from collections.abc import Iterator

from inferaudit.alert_rules import alerts_about, concerns
from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="An alert watches the error rate",
    severity=Severity.MEDIUM,
    needs=("workload",),
    optional=("service.rules", "prometheus.rules"),
    remediation=(
        "Add an alert on the ratio of failed requests above 0.1 % for two minutes; `inferaudit generate alerts` "
        "writes the rule for this runtime's metrics."
    ),
    references=("https://sre.google/workbook/alerting-on-slos/", "https://prometheus.io/docs/practices/alerting/"),
)
def alert_errors(snapshot: Snapshot) -> Iterator[Judgement]:
    """A new version that answers 500 to one request in a hundred breaks a 99.9 % objective ten times over.

    The rule should fire within minutes, and be critical.
    """
    workload = snapshot.fact("workload")
    about = alerts_about(snapshot, workload.namespace)
    found = [a for a in about if "errors" in concerns(a, workload.namespace)]
    seen = Evidence("alerting rules", [a.path for a in found] or None, "errors")
    if found:
        yield passed(workload.subject, f"watched by {', '.join(a.name for a in found[:3])}", seen)
    else:
        snapshot.require_read("prometheus.rules")
        cause = None if about else ("observability-alerts", workload.subject)
        yield failed(workload.subject, "no alert watches how many requests fail", seen, cause=cause)
