import re
from collections.abc import Iterator

from inferaudit.alert_rules import concerns, known_alerts, threshold
from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.slo import TEMPLATE, parse_objectives


@check(
    title="Latency alerts fire where the objective ends",
    severity=Severity.MEDIUM,
    needs=("workload", "policy"),
    optional=("service.rules", "prometheus.rules"),
    remediation="Set the threshold to the objective, in the unit of the metric (seconds for most).",
    references=("https://sre.google/workbook/alerting-on-slos/",),
)
def alert_threshold(snapshot: Snapshot) -> Iterator[Judgement]:
    """An alert at five seconds does not guard an objective of one; one at half of it cries wolf.

    Compared are thresholds on TTFT and end-to-end latency with the objectives of the policy, within a factor of
    two.
    """
    workload = snapshot.fact("workload")
    slo = snapshot.fact("policy").get("slo")
    objectives = parse_objectives(TEMPLATE if slo == "template" else slo or {})
    targets = {o.metric: o.target / 1e3 for o in objectives if o.unit == "ms" and o.percentile and o.percentile >= 95}
    for alert in known_alerts(snapshot):
        limit = threshold(alert.expr)
        if "latency" not in concerns(alert, workload.namespace) or limit is None:
            continue
        if re.search(r"time_to_first_token|ttft|first_response", alert.expr, re.IGNORECASE):
            metric = "ttft"
        elif re.search(r"e2e|request_duration|request_latency|response_time", alert.expr, re.IGNORECASE):
            metric = "e2e"
        else:
            continue
        unit = (
            1e3
            if re.search(r"_ms(?:_bucket)?\b|_milliseconds", alert.expr)
            else 1e6
            if re.search(r"_us(?:_bucket)?\b|microseconds", alert.expr)
            else 1.0
        )
        target, seconds = targets.get(metric), limit / unit
        seen = Evidence(alert.path, f"{seconds:g} s", f"{target:g} s" if target else "an objective")
        if target is None:
            text = f"{alert.name}: the policy sets no objective for {metric} to compare with"
            yield not_applicable(alert.subject, text, seen, key=alert.path)
        elif seconds > 2 * target or seconds < target / 2:
            text = f"{alert.name} fires at {seconds:g} s; the objective is {target:g} s"
            yield failed(alert.subject, text, seen, key=alert.path)
        else:
            yield passed(alert.subject, f"{alert.name} fires at {seconds:g} s", seen, key=alert.path)
