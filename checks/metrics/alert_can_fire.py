import re
from collections.abc import Iterator

from inferaudit.alert_rules import concerns_anywhere, loaded_alerts, metric_names
from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown

_RARE = re.compile(r"error|fail|abort|reject|preempt|xid|retract|timeout|exception|5xx|dropped|oom", re.IGNORECASE)


@check(
    title="Alerts read metrics that Prometheus has",
    severity=Severity.MEDIUM,
    needs=("prometheus.rules", "prometheus.names"),
    optional=("workload", "policy"),
    remediation="Correct the names to those of the running version; `inferaudit generate alerts --url URL` knows them.",
    references=("https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/",),
)
def alert_can_fire(snapshot: Snapshot) -> Iterator[Judgement]:
    """A rule over a metric that nobody exports is valid, healthy and silent for ever.

    It happens when a version renames its metrics. Counters of rare events may not be there before the first event:
    of those nothing is said, nor of one side of an `or`. Looked at are the rules about the service.
    """
    if snapshot.error("workload") is None:
        namespace = snapshot.fact("workload").namespace
    else:
        target = snapshot.fact_or("policy", {}).get("target")
        namespace = (target or {}).get("namespace") or ""
    rules = snapshot.fact("prometheus.rules")
    known = {*snapshot.fact("prometheus.names"), *(r.name for r in rules if r.kind not in ("alerting", "alert"))}
    for alert in loaded_alerts(rules):
        read = metric_names(alert.expr)
        if not read or "absent" in alert.expr or not concerns_anywhere(alert, namespace):
            continue
        missing = sorted(read - known)
        seen = Evidence(alert.path, missing or None, "every metric is there")
        either = " or " in alert.expr or all(_RARE.search(name) for name in missing)
        if not missing or (read & known and either):
            yield passed(alert.subject, f"{alert.name} reads metrics that are there", seen, key=alert.path)
        elif all(_RARE.search(name) for name in missing):
            text = f"{alert.name}: {', '.join(missing)} is not there, for want of events or for a wrong name"
            yield unknown(alert.subject, text, seen, key=alert.path)
        else:
            text = f"{alert.name} cannot fire: Prometheus has no {', '.join(missing)}"
            yield failed(alert.subject, text, seen, key=alert.path)
