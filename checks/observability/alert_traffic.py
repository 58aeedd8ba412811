from collections.abc import Iterator

from inferaudit.alert_rules import alerts_about, concerns
from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="An alert watches for a sudden change of traffic",
    severity=Severity.LOW,
    needs=("workload",),
    optional=("service.rules", "prometheus.rules"),
    remediation=(
        "Add an alert that compares the request rate with an hour ago; `inferaudit generate alerts` writes the "
        "rule for this runtime's metrics."
    ),
    references=("https://sre.google/workbook/alerting-on-slos/", "https://prometheus.io/docs/practices/alerting/"),
)
def alert_traffic(snapshot: Snapshot) -> Iterator[Judgement]:
    """When traffic stops arriving, no request is slow and none fails.

    A surge is worth knowing before the queue is full.
    """
    workload = snapshot.fact("workload")
    about = alerts_about(snapshot, workload.namespace)
    found = [a for a in about if "traffic" in concerns(a, workload.namespace)]
    seen = Evidence("alerting rules", [a.path for a in found] or None, "sudden changes of traffic")
    if found:
        yield passed(workload.subject, f"watched by {', '.join(a.name for a in found[:3])}", seen)
    else:
        snapshot.require_read("prometheus.rules")
        cause = None if about else ("observability-alerts", workload.subject)
        yield failed(workload.subject, "no alert compares the traffic with what is usual", seen, cause=cause)
