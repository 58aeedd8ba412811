"""What the service's alerts would have said during a load test: their expressions asked of Prometheus afterwards.

Read only, and bounded in alerts, questions and time. API: https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from inferaudit.alert_rules import Alert, concerns_anywhere, loaded_alerts
from inferaudit.alert_simulation import held_s, lookback_s, narrowed
from inferaudit.collect.http_client import Http, Scrubber, credentials
from inferaudit.collect.prometheus import Api
from inferaudit.errors import CollectError
from inferaudit.facts.load import LoadResult, LoadStage
from inferaudit.facts.metrics import AlertUnderLoad
from inferaudit.model import Fact, FactError, FactErrorKind
from inferaudit.plan import PrometheusPlan
from inferaudit.tls import tls_context

WATCHED = frozenset(("latency", "errors", "queue", "burn_rate"))
"""What an alert must look at to have anything to say of a load test."""
_MAX_ALERTS = 100
_MAX_S = 120.0  # for all questions together
_LONGEST_WAIT_S = 60.0  # for the last scrape
_ASSUMED_SCRAPE_S = 60.0  # where Prometheus does not say: its own default
_FEWEST_SCRAPES = 4  # of a stage, for a rate over it to mean anything
_MOST_POINTS = 1_000  # of a range query; Prometheus gives 11 000 at most
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class _Asking:
    """One run of questions: when it ends (monotonic s), how often targets are scraped, what rules record."""

    api: Api
    deadline: float
    scrape_s: float
    recorded: Mapping[str, str]


def collect_load_alerts(
    plan: PrometheusPlan,
    facts: Mapping[str, Fact],
    stop: threading.Event,
    progress: Callable[[str], None] = lambda _: None,
    *,
    environ: Mapping[str, str] | None = None,
) -> Fact:
    """The fact ``prometheus.load_alerts`` for the load of ``load.result`` and the rules of ``prometheus.rules``.

    Waits for one scrape after the load, so that its end is in view; setting `stop` ends that and makes the fact an
    error.
    """
    for name in ("load.result", "prometheus.rules"):
        if facts[name].error is not None:
            return Fact(error=facts[name].error)
    result, rules = facts["load.result"].value, facts["prometheus.rules"].value
    alerts = [(alert, watched) for alert in loaded_alerts(rules) if (watched := _watched(alert, plan.namespace))]
    scrape_s = _scrape_s(plan, facts)
    wait = min(scrape_s, _LONGEST_WAIT_S) + 1.0 - (time.time_ns() - result.ended_ns) / _NS
    if alerts and wait > 0:
        progress(f"waiting {wait:.0f} s for Prometheus to scrape the end of the load")
        stop.wait(wait)
    if stop.is_set():
        why = "interrupted before Prometheus was asked about the load"
        return Fact(error=FactError(FactErrorKind.INTERRUPTED, why, plan.url))
    headers = credentials(plan.auth, os.environ if environ is None else environ)
    scrub = Scrubber(tuple(v.removeprefix("Bearer ") for v in headers.values()))
    with Http(plan.url, headers, tls_context(plan.auth), plan.timeout_s) as http:
        api = Api(http, scrub, plan.url, plan.namespace)
        recorded = {rule.name: rule.expr for rule in rules if rule.kind not in ("alerting", "alert")}
        asking = _Asking(api, time.monotonic() + _MAX_S, scrape_s, recorded)
        return api.fact(lambda: list(_simulated(asking, alerts, result, stop)))


def _watched(alert: Alert, namespace: str) -> list[str]:
    return sorted(concerns_anywhere(alert, namespace) & WATCHED)


def _scrape_s(plan: PrometheusPlan, facts: Mapping[str, Fact]) -> float:
    """The longest interval at which targets of the namespace are scraped, else the global one."""
    targets = facts.get("prometheus.targets")
    if plan.namespace and targets is not None and targets.error is None:
        mine = [t.interval_s for t in targets.value if t.labels.get("namespace") == plan.namespace and t.interval_s]
        if mine:
            return float(max(mine))
    config = facts.get("prometheus.config")
    stated = config.value.scrape_interval_s if config is not None and config.error is None else None
    return float(stated or _ASSUMED_SCRAPE_S)


def _simulated(
    asking: _Asking, alerts: Sequence[tuple[Alert, list[str]]], result: LoadResult, stop: threading.Event
) -> Iterator[AlertUnderLoad]:
    """A row for each alert and stage; one that could not be asked says why."""
    stages = [stage for stage in result.stages if stage.scheduled and stage.end_ns > stage.start_ns]
    for number, (alert, watched) in enumerate(alerts):
        why = ""
        if number >= _MAX_ALERTS:
            why = f"more than {_MAX_ALERTS} alerts are about the service: this one was not evaluated"
        elif "…" in alert.expr or "<redacted" in alert.expr:
            why = "its expression is too long, or holds what may not be kept"
        elif stop.is_set() or time.monotonic() > asking.deadline:
            why = f"evaluating the alerts took longer than {_MAX_S:.0f} s"
        yield from _of_alert(asking, alert, watched, stages, why)


def _of_alert(
    asking: _Asking, alert: Alert, watched: list[str], stages: Sequence[LoadStage], why: str
) -> Iterator[AlertUnderLoad]:
    longest = lookback_s(alert.expr, asking.recorded)
    series: list[list[float]] = []
    step = 1.0
    if stages and not why:
        start, end = stages[0].start_ns / _NS, max(stage.end_ns for stage in stages) / _NS + asking.scrape_s
        step = max(1.0, float(round((end - start) / _MOST_POINTS + 0.5)))
        try:
            series = _range(asking.api, alert.expr, start, end, step)
        except CollectError as error:
            why = str(error)
    for stage in stages:
        begun, ended = stage.start_ns / _NS, stage.end_ns / _NS + asking.scrape_s
        points = 0 if why else max(1, int((ended - begun) / step))
        held = None if why else held_s(series, step, begun, ended)
        lasting, said = (None, why) if why or held is not None else _if_lasting(asking, alert.expr, stage, longest)
        yield AlertUnderLoad(
            group=alert.path.removesuffix(f"/{alert.name}"),
            name=alert.name,
            expr=alert.expr,
            watches=watched,
            stage=stage.name,
            start_ns=stage.start_ns,
            end_ns=stage.end_ns,
            for_s=alert.for_s or 0.0,
            lookback_s=longest,
            points=points,
            held_s=held,
            if_lasting=lasting,
            reason=said,
        )


def _if_lasting(asking: _Asking, expr: str, stage: LoadStage, longest: float) -> tuple[bool | None, str]:
    """Whether a silent alert would have spoken had the stage lasted, and why that is not known where it is not."""
    seconds = (stage.end_ns - stage.start_ns) / _NS
    if seconds < _FEWEST_SCRAPES * asking.scrape_s:
        return None, f"the stage lasted {seconds:.0f} s, and Prometheus scrapes every {asking.scrape_s:g} s"
    if longest <= seconds:
        return False, ""
    short = narrowed(expr, seconds, asking.recorded)
    if short is None:
        return None, f"it looks back {longest:g} s and the stage lasted {seconds:.0f} s"
    end = stage.end_ns / _NS
    try:
        said = any(_range(asking.api, short, at, at, 1.0) for at in (end, end + min(asking.scrape_s, 0.25 * seconds)))
    except CollectError as error:
        return None, str(error)
    return said, ""


def _range(api: Api, expr: str, start: float, end: float, step: float) -> list[list[float]]:
    """The times at which each series of `expr` was there."""
    query = {"query": expr, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:g}"}
    data: Any = api.get("/api/v1/query_range?" + urlencode(query))
    if not isinstance(data, dict) or data.get("resultType") != "matrix" or not isinstance(data.get("result"), list):
        raise CollectError("the range query did not answer a matrix")
    return [[float(at) for at, _ in row["values"]] for row in data["result"]]
