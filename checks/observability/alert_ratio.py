from collections.abc import Iterator

from inferaudit.alert_rules import concerns, constant_ratio, known_alerts
from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="Error ratios in alerts can take other values than 0 and 1",
    severity=Severity.MEDIUM,
    needs=("workload",),
    optional=("service.rules", "prometheus.rules"),
    remediation=(
        'Aggregate both sides without the status label: `sum by (model) (rate(…{status=~"5.."}[5m])) / sum by '
        "(model) (rate(…[5m]))`."
    ),
    references=("https://prometheus.io/docs/prometheus/latest/querying/operators/#vector-matching",),
)
def alert_ratio(snapshot: Snapshot) -> Iterator[Judgement]:
    """Dividing two vectors matches them label by label. With the status on both sides each series is divided by
    itself.

    Such an alert fires at the first error, or never.
    """
    workload = snapshot.fact("workload")
    for alert in known_alerts(snapshot):
        if "errors" not in concerns(alert, workload.namespace) or "/" not in alert.expr:
            continue
        seen = Evidence(alert.path, alert.expr[:300], "both sides aggregated without the status label")
        if constant_ratio(alert.expr):
            yield failed(alert.subject, f"{alert.name} divides each series by itself: 0 or 1", seen, key=alert.path)
        else:
            yield passed(alert.subject, f"{alert.name} is a ratio of sums", seen, key=alert.path)
