from collections.abc import Iterator

from inferaudit.alert_rules import alerts_about, concerns
from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="An alert watches the age of the model",
    severity=Severity.MEDIUM,
    needs=("workload",),
    optional=("service.rules", "prometheus.rules"),
    remediation=(
        "Add an alert on the age of the deployed revision against the freshness objective; `inferaudit generate "
        "alerts` writes the rule for this runtime's metrics."
    ),
    references=("https://sre.google/workbook/alerting-on-slos/", "https://prometheus.io/docs/practices/alerting/"),
)
def alert_staleness(snapshot: Snapshot) -> Iterator[Judgement]:
    """A training pipeline that stopped is noticed by nobody until the predictions are wrong.

    For a model that is never retrained, waive this with that reason.
    """
    workload = snapshot.fact("workload")
    about = alerts_about(snapshot, workload.namespace)
    found = [a for a in about if "staleness" in concerns(a, workload.namespace)]
    seen = Evidence("alerting rules", [a.path for a in found] or None, "the model's age")
    if found:
        yield passed(workload.subject, f"watched by {', '.join(a.name for a in found[:3])}", seen)
    else:
        snapshot.require_read("prometheus.rules")
        cause = None if about else ("observability-alerts", workload.subject)
        yield failed(workload.subject, "no alert watches how old the deployed model is", seen, cause=cause)
