from collections.abc import Iterator

from inferaudit.alert_rules import alerts_about, concerns
from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed


@check(
    title="An alert watches for XID errors",
    severity=Severity.MEDIUM,
    needs=("workload",),
    optional=("service.rules", "prometheus.rules"),
    remediation=(
        "Add an alert on DCGM's XID metric; `inferaudit generate alerts` writes the rule for this runtime's metrics."
    ),
    references=("https://sre.google/workbook/alerting-on-slos/", "https://prometheus.io/docs/practices/alerting/"),
)
def alert_xid(snapshot: Snapshot) -> Iterator[Judgement]:
    """The driver reports a failing GPU as an XID, often hours before it falls off the bus.

    The gauge of the exporter keeps the last value for ever: use changes, or the windowed counter.
    """
    workload = snapshot.fact("workload")
    about = alerts_about(snapshot, workload.namespace)
    found = [a for a in about if "xid" in concerns(a, workload.namespace)]
    if not workload.uses_gpu:
        yield not_applicable(workload.subject, "serves on CPU", Evidence("resources", None, "a GPU workload"))
        return
    seen = Evidence("alerting rules", [a.path for a in found] or None, "XID errors")
    if found:
        yield passed(workload.subject, f"watched by {', '.join(a.name for a in found[:3])}", seen)
    else:
        snapshot.require_read("prometheus.rules")
        cause = None if about else ("observability-alerts", workload.subject)
        yield failed(workload.subject, "no alert watches what the GPU driver reports", seen, cause=cause)
