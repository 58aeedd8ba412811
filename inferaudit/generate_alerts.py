"""Alerting rules for a service under its runtime's own metric names and its own objectives. Pure.

Each needed alert is written or left out with its reason. Both sides of a ratio are summed by model and version,
quantiles by ``le``; nothing fires while nothing happens.
"""

from __future__ import annotations

from collections.abc import Iterator

from inferaudit.generate_gpu_alerts import gpu_alerts, memory_alerts
from inferaudit.generate_slo import slo_rules
from inferaudit.generators import (
    ERROR_RATIO,
    SECONDS,
    Service,
    by,
    error_ratio,
    errors_metric,
    identity,
    mean,
    metric,
    quantile,
    rate,
    selector,
    who,
)
from inferaudit.rules_file import AlertRule, Generated, Group, RecordingRule, group_name
from inferaudit.runtime_registry import MetricConcept, MetricName, runtimes
from inferaudit.slo import Objective

QUEUE_DEPTH = 50
"""Requests that wait, above which the queue is called too long."""
_LATENCIES: dict[str, tuple[MetricConcept, str, str]] = {
    "e2e": ("request_duration", "Latency", "latency"),
    "ttft": ("ttft", "Ttft", "time to first token"),
    "itl": ("itl", "Itl", "inter-token latency"),
    "tpot": ("tpot", "Tpot", "time per output token"),
}
_SHORT = {"seconds": "s", "milliseconds": "ms", "microseconds": "µs"}
_DROP, _SURGE = 0.2, 3.0  # of the hour before
Written = Iterator[AlertRule | RecordingRule | str]


def alert_rules(service: Service) -> Generated:
    """All alerts the runtime's metrics allow, the SLO's burn rates among them, and what had to be left out."""
    written = [
        *_latencies(service),
        *_errors(service),
        *_queue(service),
        *memory_alerts(service),
        *gpu_alerts(service),
        *_target(service),
        *_traffic(service),
        *_staleness(service),
    ]
    slo = slo_rules(service)
    alerts = Group(group_name(service, "alerts"), tuple(w for w in written if not isinstance(w, str)))
    left_out = (*(w for w in written if isinstance(w, str)), *slo.left_out)
    return Generated((alerts, *slo.groups), left_out, (*_notes(service), *slo.notes))


def _latencies(service: Service) -> Written:
    objectives = [o for o in service.objectives if o.unit == "ms"]
    if not any(o.percentile is not None and o.percentile >= 95 for o in objectives):
        yield (
            "tail latency: no objective of the 95th percentile or above; give one with --slo e2e_p99=5s or "
            "ttft_p99=500ms."
        )
    for objective in objectives:
        yield _latency(service, objective)


def _latency(service: Service, objective: Objective) -> AlertRule | str:
    concept, word, said = _LATENCIES[objective.metric]
    title, statistic = service.runtime.title, _statistic(objective)
    histogram = metric(service, concept, "histogram")
    summary = _shown(service, metric(service, concept, "summary"))
    total = metric(service, concept, "counter")
    if histogram is not None and objective.percentile is not None:
        source, expr, told = histogram, quantile(service, histogram, objective.percentile / 100), statistic
    elif summary is not None and objective.percentile is not None:
        # Quantiles of several replicas cannot be merged; the worst replica's is what may not exceed the objective.
        exact = MetricName(
            name=summary.name, type="summary", unit=summary.unit, labels=summary.labels,
            select={"quantile": f"{objective.percentile / 100:g}"},
        )  # fmt: skip
        source, expr, told = summary, f"max {by(identity(summary))} ({_exact(service, exact)})", statistic
    else:
        found = histogram or total
        # A mean above the objective of a tail breaks it for sure; beside a median it says nothing.
        useful = objective.percentile is None or objective.percentile >= 95
        expr = mean(service, found) if found is not None and useful else ""
        if found is None or not expr:
            return f"{statistic} {said}: {title} exports no histogram of it; take it from the gateway in front."
        source, told = found, "mean"
    limit = objective.target / 1e3 / SECONDS.get(source.unit, 1.0)
    unit = _SHORT.get(source.unit, source.unit)
    aside = (
        ""
        if told == statistic
        else f" The runtime exports no histogram: {statistic} is above the mean, by how much nobody sees."
    )
    return AlertRule(
        name=f"Inference{word}{told.capitalize().replace('.', '_')}High",
        expr=f"{expr} > {limit:.10g}",
        for_="5m",
        severity="critical" if objective.percentile is not None and objective.percentile >= 95 else "warning",
        summary=f"{who(source)}: {told} {said} is above {limit:.10g} {unit}",
        description=(
            f"{told} {said} over 5 minutes is {{{{ $value | humanize }}}} {unit}; the objective is {statistic} at "
            f"most {limit:.10g} {unit}.{aside}"
        ),
    )


def _errors(service: Service) -> Written:
    expr = error_ratio(service, "5m")
    errors = errors_metric(service)
    if not expr or errors is None:
        yield (
            f"error ratio: {service.runtime.title} does not count failed requests; take it from the gateway in front."
        )
        return
    targets = {o.dimension: o.target for o in service.objectives}
    limit = targets.get("error_rate", ERROR_RATIO)
    yield AlertRule(
        name="InferenceErrorRatioHigh",
        expr=f"{expr}\n> {limit:.10g}",
        for_="2m",
        severity="critical",
        summary=f"{who(errors)}: more than {limit * 100:.6g} % of requests fail",
        description=(
            "{{ $value | humanizePercentage }} of the requests of the last 5 minutes failed. Roll back if the "
            "model is new, page if the infrastructure is at fault."
        ),
    )


def _queue(service: Service) -> Written:
    waiting = metric(service, "waiting", "gauge")
    if waiting is None or waiting.unit != "requests":
        yield f"queue depth: {service.runtime.title} does not export how many requests wait."
        return
    yield AlertRule(
        name="InferenceQueueDeep",
        expr=f"sum {by(identity(waiting))} ({selector(service, waiting.name, waiting.select)}) > {QUEUE_DEPTH}",
        for_="2m",
        severity="warning",
        summary=f"{who(waiting)}: more than {QUEUE_DEPTH} requests wait",
        description=(
            "{{ $value | humanize }} requests wait. Latency follows: add replicas, or refuse with 429 what "
            "cannot be served in time."
        ),
    )


def _target(service: Service) -> Written:
    sign = next(
        (m for c in ("waiting", "running", "kv_cache_usage") if (m := metric(service, c, "gauge")) is not None),
        None,
    ) or _any_metric(service)
    down = f"{selector(service, 'up')} == 0"
    if sign is None and not (service.namespace or service.job):
        yield (
            f"target down: {service.runtime.title} has no metrics to tell its targets by; give --job or --namespace."
        )
        return
    if sign is not None and not service.job:
        # Without a job `up` is that of everything: the service's targets are those that had its metrics a day ago.
        down += f"\nand on (namespace, job, instance)\nlast_over_time({_wire(service, sign)}[1d])"
    yield AlertRule(
        name="InferenceTargetDown",
        expr=down,
        for_="2m",
        severity="critical",
        summary="{{ $labels.job }} {{ $labels.instance }}: cannot be scraped",
        description="The replica is gone, or its metrics are. When all are gone no other alert can fire.",
    )
    gone = selector(service, "up") if service.job else _wire(service, sign) if sign and sign.type == "gauge" else ""
    if not gone:
        yield "service gone: nothing that is always exported tells it; give --job."
        return
    yield AlertRule(
        name="InferenceServiceGone",
        expr=f"absent({gone})",
        for_="5m",
        severity="critical",
        summary="no replica of the service is left",
        description=(
            "Prometheus has no target of the service any more: no requests, no errors, no latency, and all other "
            "alerts are silent."
        ),
    )


def _traffic(service: Service) -> Written:
    counted = metric(service, "requests", "counter") or metric(service, "generated_tokens", "counter")
    if counted is None:
        yield f"traffic: {service.runtime.title} counts neither requests nor tokens."
        return
    labels = identity(counted)
    now = rate(service, counted, labels, "10m")
    before = rate(service, counted, labels, "1h", more=" offset 10m")
    # Before the first hour is over its mean is not known: whoever starts would seem to surge.
    known = f"sum {by(labels)} ({selector(service, counted.name, counted.select)} offset 70m)"
    for word, sign, factor, floor in (("Drop", "<", _DROP, before), ("Surge", ">", _SURGE, now)):
        yield AlertRule(
            name=f"InferenceTraffic{word}",
            expr=f"{now}\n{sign} {factor:g} *\n{before}\nand\n{floor} > 0.1\nand\n{known}",
            for_="5m",
            severity="warning",
            summary=(
                f"{who(counted)}: traffic is {'less' if sign == '<' else 'more'} than {factor:g} times that of "
                "the hour before"
            ),
            description=(
                f"{{{{ $value | humanize }}}} {counted.unit} per second over 10 minutes, compared with the hour "
                "before; below 0.1 per second nothing is compared."
            ),
        )


def _staleness(service: Service) -> Written:
    ages = [o.target for o in service.objectives if o.metric == "freshness"]
    if not service.freshness_metric:
        yield (
            "model staleness: no runtime exports the date of its model; export it from the pipeline as a "
            "timestamp in seconds and name it with --freshness-metric."
        )
        return
    limit = ages[0] if ages else 86400.0
    series = selector(service, service.freshness_metric)
    yield AlertRule(
        name="InferenceModelStale",
        expr=f"time() - max {by(('namespace', 'job', 'model', 'version'))} ({series}) > {limit:.10g}",
        for_="5m",
        severity="warning",
        summary=f"{{{{ $labels.job }}}} {{{{ $labels.model }}}}: the model is older than {limit / 3600:g} h",
        description="The model is {{ $value | humanizeDuration }} old. Look at the training pipeline.",
    )


def _notes(service: Service) -> Iterator[str]:
    yield "`inferaudit generate slo` writes the burn-rate groups alone; load one of the two files."
    if service.gpus:
        yield "GPU rules read dcgm-exporter."
        inside = [n for n in service.runtime.recognise.wraps if "gpu_memory_fraction" in runtimes()[n].settings]
        if inside and service.runtime.kind != "llm":
            yield f"With {' or '.join(inside)} inside, which preallocates, delete InferenceGpuMemoryFull."
    if not service.namespace:
        yield (
            "No namespace is set: the rules speak of every service of this runtime; narrow them with --namespace "
            "or --job."
        )
    if not service.runbook:
        yield "The alerts link to no runbook; give its address with --runbook."
    if service.runtime.metrics_default == "off":
        yield f"{service.runtime.title} has its metrics switched off unless told otherwise."
    for concept in ("request_duration", "ttft", "requests"):
        found = metric(service, concept)
        if found is not None and found.note:
            yield f"{found.name}: {found.note}."


def _statistic(objective: Objective) -> str:
    return "mean" if objective.percentile is None else f"P{objective.percentile:g}"


def _shown(service: Service, found: MetricName | None) -> MetricName | None:
    """A summary is often switched off: it counts only where the page shows it."""
    return found if found is not None and service.names is not None and found.name in service.names else None


def _exact(service: Service, name: MetricName) -> str:
    return selector(service, name.name, name.select).replace('quantile=~"', 'quantile="')


def _any_metric(service: Service) -> MetricName | None:
    known = (metric(service, concept) for concept in service.runtime.metrics)
    return next((found for found in known if found is not None), None)


def _wire(service: Service, found: MetricName) -> str:
    """Series that Prometheus has of `found`: a histogram is there by its count alone."""
    return selector(service, found.name + ("_count" if found.type in ("histogram", "summary") else ""), found.select)
