from collections.abc import Iterator

from inferaudit.alert_rules import concerns, known_alerts
from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="Every alert links to what to do",
    severity=Severity.LOW,
    needs=("workload",),
    optional=("service.rules", "prometheus.rules"),
    remediation="Add the annotation `runbook_url` to each alert that the finding names.",
    references=("https://prometheus.io/docs/practices/alerting/",),
)
def alert_runbook(snapshot: Snapshot) -> Iterator[Judgement]:
    """Whoever is woken reads the alert first. The next step should be one click away.

    Judged are the alerts about this service.
    """
    workload = snapshot.fact("workload")
    about = [a for a in known_alerts(snapshot) if concerns(a, workload.namespace)]
    by_object: dict[str, list[str]] = {}
    for alert in about:
        by_object.setdefault(alert.subject, [])
        if not any("runbook" in name for name in alert.annotations):
            by_object[alert.subject].append(alert.name)
    for subject, names in by_object.items():
        seen = Evidence("annotations.runbook_url", names or "set", "on every alert")
        if names:
            yield failed(subject, f"{len(names)} alerts without a runbook: {', '.join(names[:5])}", seen)
        else:
            yield passed(subject, "every alert links to a runbook", seen)
