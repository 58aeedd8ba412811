"""Burn-rate alerts over several windows for the availability objective, and the recording rules under them. Pure.

Windows, factors and severities are those of the SRE workbook (sre.google/workbook/alerting-on-slos): 14.4 and 6 times
the budget page, 3 and 1 times open a ticket. The short window ends the alert soon after the errors end.
"""

from __future__ import annotations

from inferaudit.generators import ERROR_RATIO, Service, error_ratio, errors_metric, promql_string, who
from inferaudit.rules_file import AlertRule, Generated, Group, RecordingRule, group_name, service_labels

RECORD = "inference:request_errors:ratio_rate"
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
# Factor, long window, short window, share of a 30-day budget that is gone when it fires, for, severity.
BURNS = (
    (14.4, "1h", "5m", "2 %", "2m", "critical"),
    (6.0, "6h", "30m", "5 %", "15m", "critical"),
    (3.0, "1d", "2h", "10 %", "1h", "warning"),
    (1.0, "3d", "6h", "10 %", "3h", "warning"),
)


def slo_rules(service: Service) -> Generated:
    """The recording rules and the four burn-rate alerts; left out where the runtime does not count errors."""
    if not error_ratio(service, "5m"):
        why = f"{service.runtime.title} does not count failed requests; take the ratio from the gateway in front"
        return Generated((), (f"SLO burn rate: {why}.",))
    budget, source = error_budget(service)
    mine = service_labels(service)
    records = tuple(
        RecordingRule(f"{RECORD}{window}", error_ratio(service, window), {"slo": "availability", **mine})
        for window in WINDOWS
    )
    interval = "1m"  # the windows begin at five minutes; a day's rate every 15 s would cost more than it tells
    return Generated(
        (
            Group(group_name(service, "slo-records"), records, interval),
            Group(group_name(service, "slo"), tuple(_burn(service, budget, *burn) for burn in BURNS), interval),
        ),
        (
            "SLO burn rate of latency: it needs the share of requests above the objective, that is a bucket whose "
            "bound is the objective; the latency alerts watch the quantile.",
        ),
        (f"The error budget is {budget * 100:g} % of requests, {source}.",),
    )


def error_budget(service: Service) -> tuple[float, str]:
    """The share of requests that may fail, and where it comes from: availability, else error rate, else 0.1 %."""
    targets = {objective.dimension: objective.target for objective in service.objectives}
    if "availability" in targets and targets["availability"] < 1:
        return round(1 - targets["availability"], 9), "from the availability objective"
    if targets.get("error_rate"):
        return targets["error_rate"], "from the error_rate objective"
    return ERROR_RATIO, "assumed: the policy sets no availability objective below 100 %"


def _burn(
    service: Service, budget: float, factor: float, long: str, short: str, gone: str, for_: str, severity: str
) -> AlertRule:
    chosen_by = {**service_labels(service), "namespace": service.namespace, "job": service.job}
    matchers = ['slo="availability"', *(f"{k}={promql_string(v)}" for k, v in chosen_by.items() if v)]
    chosen = "{" + ",".join(matchers) + "}"
    limit = f"({factor:g} * {budget:g})"
    errors = errors_metric(service)
    of = who(errors) if errors else "{{ $labels.job }}"
    return AlertRule(
        name=f"InferenceErrorBudgetBurn{long}",
        expr=f"{RECORD}{long}{chosen} > {limit}\nand\n{RECORD}{short}{chosen} > {limit}",
        for_=for_,
        severity=severity,
        summary=f"{of}: errors burn the budget {factor:g} times too fast",
        description=(
            f"{{{{ $value | humanizePercentage }}}} of requests failed over {long}; at this rate {gone} of the 30-day "
            f"budget of {budget * 100:g} % is gone within {long}."
        ),
    )
