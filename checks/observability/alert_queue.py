from collections.abc import Iterator

from inferaudit.alert_rules import alerts_about, concerns
from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.engine_args import silent_engine


@check(
    title="An alert watches the queue",
    severity=Severity.MEDIUM,
    needs=("workload",),
    optional=("workload.containers", "service.rules", "prometheus.rules"),
    remediation=(
        "Add an alert on waiting requests, for example more than 50 for two minutes; `inferaudit generate alerts` "
        "writes the rule for this runtime's metrics."
    ),
    references=("https://sre.google/workbook/alerting-on-slos/", "https://prometheus.io/docs/practices/alerting/"),
)
def alert_queue(snapshot: Snapshot) -> Iterator[Judgement]:
    """The queue grows before the latency does, and tells that replicas are missing.

    Alerted on in time, it leaves minutes in which to scale.
    """
    workload = snapshot.fact("workload")
    about = alerts_about(snapshot, workload.namespace)
    found = [a for a in about if "queue" in concerns(a, workload.namespace)]
    seen = Evidence("alerting rules", [a.path for a in found] or None, "the queue")
    if found:
        yield passed(workload.subject, f"watched by {', '.join(a.name for a in found[:3])}", seen)
    else:
        snapshot.require_read("prometheus.rules")
        cause = None if about else ("observability-alerts", workload.subject)
        cause = silent_engine(snapshot.fact_or("workload.containers", [])) or cause
        yield failed(workload.subject, "no alert watches how many requests wait", seen, cause=cause)
