"""Facts from Prometheus and Alertmanager. Durations in seconds, times as ISO text in UTC."""

from __future__ import annotations

import msgspec

from inferaudit.facts.spec import FactSpec
from inferaudit.model import Scope


class _Value(msgspec.Struct, frozen=True, kw_only=True):
    """A fact's value or a part of one."""


class ScrapeTarget(_Value, frozen=True):
    """A target that Prometheus scrapes. `health` is ``up``, ``down`` or ``unknown``."""

    job: str
    instance: str
    url: str
    health: str
    labels: dict[str, str]
    pool: str = ""
    last_error: str = ""
    last_scrape: str | None = None
    scrape_duration_s: float | None = None
    interval_s: float | None = None


class Rule(_Value, frozen=True):
    """An alerting or recording rule. `health` is ``ok``, ``err`` or ``unknown``; `state` of alerts only."""

    group: str
    name: str
    kind: str
    expr: str
    health: str
    for_s: float | None = None
    state: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    last_error: str = ""
    firing: int = 0


class PrometheusConfig(_Value, frozen=True):
    """What Prometheus says of itself. None where it did not say."""

    version: str | None
    scrape_interval_s: float | None
    evaluation_interval_s: float | None
    retention: str | None
    alertmanagers: list[str]
    rule_files: int | None = None


class SeriesResult(_Value, frozen=True):
    """One named question to Prometheus. `value` None = no answer, for `reason`; `window_s` is the window asked for.

    `covered_s` is how far back the data go, where that could be told.
    """

    name: str
    query: str
    window_s: float
    unit: str
    value: float | None = None
    reason: str = ""
    series: int = 0
    covered_s: float | None = None


class AlertUnderLoad(_Value, frozen=True):
    """One alert about the service over one stage of the load test, its expression evaluated after the fact.

    `watches` is what it looks at (latency, errors, queue). `held_s` = the longest stretch over which it returned a
    series, None for never; `points` = how often it was evaluated, 0 when it could not be, for `reason`. `lookback_s` is
    the longest window it looks at. `if_lasting` = what it says with that window cut to the stage's length: None where
    it was not asked, or where its silence would prove nothing.
    """

    group: str
    name: str
    expr: str
    watches: list[str]
    stage: str
    start_ns: int
    end_ns: int
    for_s: float = 0.0
    lookback_s: float = 0.0
    points: int = 0
    held_s: float | None = None
    if_lasting: bool | None = None
    reason: str = ""


class Receiver(_Value, frozen=True):
    """A receiver, whether a route leads to it, and how many ways it has to reach a person (None = not stated)."""

    name: str
    routed: bool
    integrations: int | None
    kinds: list[str] = []


class AlertmanagerStatus(_Value, frozen=True):
    """Alertmanager's own state: ``ready``, ``settling`` or ``disabled``; `peers` None = not clustered or not stated."""

    version: str | None
    cluster: str | None
    peers: int | None
    default_receiver: str | None
    silences: int | None = None


def _fact(name: str, kind: object, title: str, flag: str = "--prometheus") -> FactSpec:
    return FactSpec(name, Scope.METRICS, kind, title, live=True, flag=flag)


FACTS = (
    _fact("prometheus.targets", list[ScrapeTarget], "what Prometheus scrapes, and whether it is up"),
    _fact("prometheus.rules", list[Rule], "alerting and recording rules as loaded"),
    _fact("prometheus.config", PrometheusConfig, "intervals, retention and Alertmanagers"),
    _fact("prometheus.names", list[str], "the names of all metrics that Prometheus has"),
    _fact("prometheus.series", list[SeriesResult], "the SLA's questions over their windows"),
    _fact("prometheus.load_alerts", list[AlertUnderLoad], "what the alerts would have said during the load test"),
    _fact("alertmanager.receivers", list[Receiver], "receivers and the routes to them", "--alertmanager"),
    _fact("alertmanager.status", AlertmanagerStatus, "Alertmanager's own state", "--alertmanager"),
)
