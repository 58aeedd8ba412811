from collections.abc import Iterator

from inferaudit.alert_rules import alerts_about, concerns
from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed


@check(
    title="An alert watches the GPU memory",
    severity=Severity.MEDIUM,
    needs=("workload",),
    optional=("service.rules", "prometheus.rules"),
    remediation=(
        "Add an alert on GPU memory above 95 % (or on KV cache use) for five minutes; `inferaudit generate "
        "alerts` writes the rule for this runtime's metrics."
    ),
    references=("https://sre.google/workbook/alerting-on-slos/", "https://prometheus.io/docs/practices/alerting/"),
)
def alert_gpu_memory(snapshot: Snapshot) -> Iterator[Judgement]:
    """GPU memory that runs out takes the engine down with all requests in it.

    For engines that take their share at start, the KV cache in use is what tells; a rule on either counts.
    """
    workload = snapshot.fact("workload")
    about = alerts_about(snapshot, workload.namespace)
    found = [a for a in about if "gpu_memory" in concerns(a, workload.namespace)]
    if not workload.uses_gpu:
        yield not_applicable(workload.subject, "serves on CPU", Evidence("resources", None, "a GPU workload"))
        return
    seen = Evidence("alerting rules", [a.path for a in found] or None, "GPU memory or the KV cache")
    if found:
        yield passed(workload.subject, f"watched by {', '.join(a.name for a in found[:3])}", seen)
    else:
        snapshot.require_read("prometheus.rules")
        cause = None if about else ("observability-alerts", workload.subject)
        yield failed(workload.subject, "no alert watches the GPU memory", seen, cause=cause)
