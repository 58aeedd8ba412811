from collections.abc import Iterator

from inferaudit.alert_rules import alerts_about, concerns
from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed


@check(
    title="An alert watches the use of the GPUs",
    severity=Severity.MEDIUM,
    needs=("workload",),
    optional=("service.rules", "prometheus.rules"),
    remediation=(
        "Add an alert on GPUs that stay idle (or full) for half an hour; `inferaudit generate alerts` writes the "
        "rule for this runtime's metrics."
    ),
    references=("https://sre.google/workbook/alerting-on-slos/", "https://prometheus.io/docs/practices/alerting/"),
)
def alert_gpu_utilization(snapshot: Snapshot) -> Iterator[Judgement]:
    """An idle GPU costs as much as a busy one, and often means that traffic does not arrive.

    Utilisation says that something runs, not that it runs well; as an alarm for the two ends it does.
    """
    workload = snapshot.fact("workload")
    about = alerts_about(snapshot, workload.namespace)
    found = [a for a in about if "gpu_utilization" in concerns(a, workload.namespace)]
    if not workload.uses_gpu:
        yield not_applicable(workload.subject, "serves on CPU", Evidence("resources", None, "a GPU workload"))
        return
    seen = Evidence("alerting rules", [a.path for a in found] or None, "GPU utilisation")
    if found:
        yield passed(workload.subject, f"watched by {', '.join(a.name for a in found[:3])}", seen)
    else:
        snapshot.require_read("prometheus.rules")
        cause = None if about else ("observability-alerts", workload.subject)
        yield failed(workload.subject, "no alert watches whether the GPUs are used", seen, cause=cause)
