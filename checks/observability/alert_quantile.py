from collections.abc import Iterator

from inferaudit.alert_rules import concerns, known_alerts, quantile_faults
from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="Quantiles in alerts are computed rightly",
    severity=Severity.MEDIUM,
    needs=("workload",),
    optional=("service.rules", "prometheus.rules"),
    remediation="Keep `le` in the aggregation inside histogram_quantile, and never average quantiles.",
    references=("https://prometheus.io/docs/practices/histograms/",),
)
def alert_quantile(snapshot: Snapshot) -> Iterator[Judgement]:
    """A quantile of buckets that were summed without `le` does not exist, and an average of quantiles is the quantile
    of nothing.

    Both look right on a dashboard, and fire late or never.
    """
    workload = snapshot.fact("workload")
    for alert in known_alerts(snapshot):
        if not concerns(alert, workload.namespace) or "quantile" not in alert.expr:
            continue
        faults = quantile_faults(alert.expr)
        if "histogram_quantile" in alert.expr and "_bucket" in alert.expr and "[" not in alert.expr:
            faults.append("buckets count since the server's start; without rate() yesterday outweighs now")
        seen = Evidence(alert.path, alert.expr[:300], "sum by (le, …) inside histogram_quantile")
        if faults:
            yield failed(alert.subject, f"{alert.name}: {'; '.join(faults)}", seen, key=alert.path)
        else:
            yield passed(alert.subject, f"{alert.name} computes its quantile from buckets", seen, key=alert.path)
