from collections.abc import Iterator

from inferaudit.alert_rules import concerns, is_tail, known_alerts, statistics
from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="Latency alerts look at the tail",
    severity=Severity.MEDIUM,
    needs=("workload",),
    optional=("service.rules", "prometheus.rules"),
    remediation="Compute the 99th percentile with `histogram_quantile(0.99, sum by (le) (rate(…_bucket[5m])))`.",
    references=("https://sre.google/workbook/alerting-on-slos/", "https://prometheus.io/docs/practices/alerting/"),
)
def alert_tail(snapshot: Snapshot) -> Iterator[Judgement]:
    """A mean, or a median, is good while one request in twenty takes ten times as long.

    Objectives and alerts belong on the 95th percentile or above, best the 99th.
    """
    workload = snapshot.fact("workload")
    for alert in known_alerts(snapshot):
        if "latency" not in concerns(alert, workload.namespace):
            continue
        looked_at = statistics(alert.expr)
        seen = Evidence(alert.path, looked_at, "p95 or above")
        if any(is_tail(each) for each in looked_at):
            yield passed(alert.subject, f"{alert.name} looks at {', '.join(looked_at)}", seen, key=alert.path)
        else:
            yield failed(alert.subject, f"{alert.name} looks at {', '.join(looked_at)}", seen, key=alert.path)
