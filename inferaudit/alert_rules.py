"""Alerting rules by meaning: what each watches, on which statistic, from which value on. Pure.

The expression is read, not evaluated: names of metrics tell the subject, aggregations tell whether it can fire at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

from inferaudit.errors import UsageError
from inferaudit.model import Snapshot
from inferaudit.subjects import object_subject
from inferaudit.units import parse_duration_s, whole_number

Concern = Literal[
    "latency",
    "errors",
    "queue",
    "gpu_memory",
    "gpu_utilization",
    "staleness",
    "xid",
    "target_down",
    "traffic",
    "burn_rate",
]

_LATENCY = (
    r"latency|_duration|time_to_first_token|ttft|first_response|inter_token|time_per_output_token|response_time|request_seconds"
    r"|request_summary_us"
    r"|predict_seconds|upstream_rq_time"
)
_EXPRESSIONS: Mapping[str, str] = {
    "queue": r"num_requests_waiting|num_queue_req|queue_size|queue_depth|queue_length|pending_request|requests_deferred"
    r"|queued_quer|queued_requests|queue_time|queue_duration|inference_pool_average_queue_size|waiting_requests"
    r"|request_metrics\{[^}]*waiting",
    "gpu_memory": r"DCGM_FI_DEV_FB_|dcgm_fb_|gpu_memory|gpu_mem|kv_cache_usage|gpu_cache_usage|token_usage"
    r"|kv_cache_util|kv_cache_block|memory_used_bytes|GPUMemory",
    "gpu_utilization": r"DCGM_FI_DEV_GPU_UTIL|DCGM_FI_PROF_|gpu_util|duty_cycle|GPUUtil|accelerator_util|sm_active",
    "xid": r"\bDCGM_(?:FI_DEV|EXP)_XID|xid",
    "target_down": r"\bup\s*(?:\{[^}]*\})?\s*(?:==\s*[01]|!=\s*1|<|\)[^<>]*<)|\babsent(?:_over_time)?\(|probe_success"
    r"|replicas_(?:un)?available|replicas_ready|kube_pod_status_ready",
}
_ERRORS = (
    r"5xx|[45]\.\.|5\[|http_5|=\"50\d|_error|errors|_failure|failed|finished_reason=~?\"[^\"]*error|Requests5XX"
    r"|!=\"OK\""
)
_STATUS = re.compile(r'\b(status|code|status_code|response_code|http_response_code|http_code)\s*(?:=~|=)\s*"')
# One minus the share that succeeded, or a share that must stay above nine tenths, is a share of errors.
_SUCCESSES = re.compile(r'success|\b(?:status|code|status_code|response_code)\s*(?:=~?\s*"2|!~\s*"5)')
_SHORTFALL = re.compile(r"\b1\s*-|<\s*(?:0?\.)?9\d*")
_STALE = r"time\(\)\s*-|timestamp\(|_age_|staleness|freshness"
_STALE_OF = r"model|revision|train|weight|checkpoint|feature|index|deployed"
_RATES = r"\b(?:rate|irate|increase)\("
_SERVING = re.compile(
    r"\b(?:ray_)?(?:vllm|sglang|llamacpp|trtllm)[:_]|\btgi_|\bte_(?:request|queue|embed|batch)|\bnv_(?:inference|gpu|trt)"
    r"|\bDCGM_|\bray_serve_|\bbentoml_|\bts_(?:inference|queue)|\bmodel_infer_request|tensorflow[:_]serving"
    r"|\brequest_predict_seconds|\brest_server_request|\binference:\w+:|\binference_(?:pool|objective|model|extension)_|\bmodel_(?:revision|age)"
)
_NAMESPACE = re.compile(r'\b\w*namespace\s*=~?\s*"[^"]*",?')
_WORDS = frozenset(("and", "or", "unless", "bool", "inf", "nan", "atan2"))
_MATCHER = re.compile(r'\b(?:exported_|kubernetes_|destination_|destination_service_)?namespace\s*(=~|=)\s*"([^"]*)"')


@dataclass(frozen=True, slots=True)
class Alert:
    """One alerting rule. `subject` is the object that holds it, `path` where in it; `for_s` None = fires at once."""

    name: str
    expr: str
    subject: str
    path: str
    for_s: float | None
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


def alerts_of(rules: Iterable[Mapping[str, Any]]) -> list[Alert]:
    """The alerting rules of PrometheusRules; recording rules are left out."""
    return [
        Alert(
            str(rule["alert"]),
            " ".join(str(rule.get("expr", "")).split()),
            object_subject(obj),
            f"{group.get('name')}/{rule['alert']}",
            _seconds(rule.get("for")),
            {**(group.get("labels") or {}), **(rule.get("labels") or {})},
            rule.get("annotations") or {},
        )
        for obj in rules
        for group in (obj.get("spec") or {}).get("groups") or ()
        for rule in group.get("rules") or ()
        if rule.get("alert")
    ]


def loaded_alerts(rules: Iterable[Any]) -> list[Alert]:
    """The alerting rules among ``prometheus.rules``: what Prometheus itself has loaded."""
    where = "endpoint/prometheus"
    return [
        Alert(r.name, " ".join(r.expr.split()), where, f"{r.group}/{r.name}", r.for_s, r.labels, r.annotations)
        for r in rules
        if r.kind in ("alerting", "alert")
    ]


def recorded_names(snapshot: Snapshot) -> frozenset[str]:
    """The metrics that recording rules write, as far as rules are in view."""
    names = [r.name for r in snapshot.fact_or("prometheus.rules", ()) if r.kind in ("recording", "record")]
    for obj in snapshot.fact_or("service.rules", ()):
        for group in (obj.get("spec") or {}).get("groups") or ():
            names += [str(rule["record"]) for rule in group.get("rules") or () if rule.get("record")]
    return frozenset(names)


def known_alerts(snapshot: Snapshot) -> list[Alert]:
    """The alerts of ``service.rules`` and ``prometheus.rules``; either may be missing, and when both are, it raises."""
    found = []
    if snapshot.error("service.rules") is None or snapshot.error("prometheus.rules") is not None:
        found += alerts_of(snapshot.fact("service.rules"))
    if snapshot.error("prometheus.rules") is None:
        # The same rule comes from both sides; its object is the one to edit.
        names = {alert.name for alert in found}
        found += [each for each in loaded_alerts(snapshot.fact("prometheus.rules")) if each.name not in names]
    return found


def alerts_about(snapshot: Snapshot, namespace: str) -> list[Alert]:
    """The alerts of :func:`known_alerts` that watch something of the service in `namespace`."""
    return [alert for alert in known_alerts(snapshot) if concerns(alert, namespace)]


def concerns(alert: Alert, namespace: str) -> frozenset[Concern]:
    """What the alert watches of the service in `namespace`; empty for one that names other namespaces only."""
    return _watched(alert.expr, alert.name) if _is_about(alert, namespace) else frozenset()


@lru_cache(4096)  # a dozen checks ask the same of every rule
def _watched(expr: str, name: str) -> frozenset[Concern]:
    found: set[Concern] = {
        concern  # type: ignore[misc]
        for concern, pattern in _EXPRESSIONS.items()
        if re.search(pattern, expr, re.IGNORECASE)
    }
    if re.search(_LATENCY, expr, re.IGNORECASE) and "queue" not in found and statistics(expr):
        found.add("latency")
    unquoted = re.sub(r'"[^"]*"', "", expr)
    ratio = "/" in unquoted or "ratio" in unquoted  # a recording rule may have divided before
    short = ratio and _SUCCESSES.search(expr) and _SHORTFALL.search(expr)
    if short or (re.search(_ERRORS, expr) and (ratio or re.search(_RATES, expr))):
        found.add("errors")
    if re.search(_STALE, expr) and re.search(_STALE_OF, expr + name, re.IGNORECASE):
        found.add("staleness")
    if "errors" in found and ratio and (re.search(r"burn", expr + name, re.IGNORECASE) or "14.4" in expr):
        found.add("burn_rate")
    compared = " offset " in expr or re.search("traffic", name, re.IGNORECASE)
    if re.search(_RATES, expr) and "errors" not in found and compared:
        found.add("traffic")
    return frozenset(found)


def concerns_anywhere(alert: Alert, namespace: str) -> frozenset[Concern]:
    """As :func:`concerns`; who knows no namespace looks at every rule over what model servers and GPUs export."""
    return concerns(alert if namespace else replace(alert, expr=_NAMESPACE.sub("", alert.expr)), namespace)


def _is_about(alert: Alert, namespace: str) -> bool:
    """A cluster holds hundreds of rules. One is about the service when it names its namespace or lies in it, or names
    none and looks at metrics that only model servers and GPUs have, or at every target there is."""
    spaces = _MATCHER.findall(alert.expr)
    if spaces:
        return any(_covers(operator, value, namespace) for operator, value in spaces)
    if alert.subject.split("/")[1:2] == [namespace] or alert.labels.get("namespace") == namespace:
        return True
    if namespace and re.search(rf'"[^"]*(?<![\w-]){re.escape(namespace)}(?![\w-])[^"]*"', alert.expr):
        return True
    everything = re.search(r"\bup\s*==\s*0", alert.expr) is not None
    return everything or _SERVING.search(alert.expr) is not None


def _covers(operator: str, value: str, namespace: str) -> bool:
    if operator == "=":
        return value == namespace
    try:
        return re.fullmatch(value, namespace) is not None
    except re.error:
        return False


def statistics(expr: str) -> list[str]:
    """The statistics that a latency expression looks at: ``p99``, ``p50``, ``mean``; empty when none is seen."""
    found = [_percentile(q) for q in re.findall(r"histogram_quantile\(\s*([0-9.]+)", expr)]
    found += [_percentile(q) for q in re.findall(r'quantile=~?"([0-9.]+)"', expr)]
    found += [f"p{int(p) if len(p) < 3 else p}" for p in re.findall(r"[:_]p(\d{2,3})\b", expr)]
    means = re.search(r"_sum\b[^/]*/[^/]*_count\b", expr) or re.search(r"histogram_avg\(", expr)
    return found + (["mean"] if means else [])


def _percentile(text: str) -> str:
    try:
        return f"p{float(text) * 100:g}"
    except ValueError:
        return "p?"


def is_tail(statistic: str) -> bool:
    """True for the 95th percentile and above."""
    number = whole_number(statistic[1:].replace(".", "", 1))
    return statistic.startswith("p") and number is not None and float(statistic[1:]) >= 95


def threshold(expr: str) -> float | None:
    """The number after the last comparison outside brackets, None when it is no plain number."""
    text = _strip(expr)
    hits = re.findall(r"(?:>=|<=|==|>|<)\s*(?:bool\s+)?([0-9.eE+-]+)\s*$", text)
    try:
        return float(hits[-1]) if hits else None
    except ValueError:
        return None


def quantile_faults(expr: str) -> list[str]:
    """Why a quantile in `expr` is not one: buckets summed without ``le``, quantiles averaged."""
    faults = []
    for inner in _calls(expr, "histogram_quantile"):
        if "_bucket" in inner and re.search(r"\b(?:sum|avg|max|min)\b", inner):
            grouped = re.findall(r"\bby\s*\(([^)]*)\)", inner)
            dropped = re.findall(r"\bwithout\s*\(([^)]*)\)", inner)
            lost = [g for g in grouped if not re.search(r"\ble\b", g)] or [
                d for d in dropped if re.search(r"\ble\b", d)
            ]
            if lost or not (grouped or dropped):
                faults.append("the buckets are summed without `le`, so that no quantile is left to compute")
    mixed = [
        inner
        for inner in (*_calls(expr, "avg"), *_calls(expr, "sum"))
        if re.search(r'\bquantile\s*=~?\s*"', inner) or "histogram_quantile(" in inner
    ]
    if mixed:
        faults.append("quantiles of several series are averaged or summed, which is the quantile of nothing")
    return faults


def constant_ratio(expr: str) -> bool:
    """True for an error ratio whose sides match on the status label: each series is divided by itself, always 1."""
    for left, right in _divisions(_strip(expr)):
        label = re.search(
            r'\b(status|code|status_code|response_code|http_response_code|http_code)\s*(?:=~|=)\s*"', left
        )
        if not label or re.search(r"\b(?:on|ignoring)\s*\(", left + right):
            continue
        kept = [re.findall(r"\bby\s*\(([^)]*)\)", side) for side in (left, right)]
        plain = [not re.search(r"\b(?:sum|avg|count|max|min)\b", side) for side in (left, right)]
        if all(plain) or all(groups and all(re.search(rf"\b{label[1]}\b", g) for g in groups) for groups in kept):
            return True
    return False


def _divisions(text: str) -> list[tuple[str, str]]:
    """Operands of the divisions in `text`, at every depth of brackets."""
    found = []
    parts = _split(text, "/")
    for left, right in pairwise(parts):
        found.append((_after_logic(left), _before_comparison(right)))
    for start in (i for i, char in enumerate(text) if char == "("):
        inner = text[start + 1 : _closing(text, start)]
        if "/" in inner and len(_split(inner, "/")) > 1:
            parts = _split(inner, "/")
            found += [(_after_logic(a), _before_comparison(b)) for a, b in pairwise(parts)]
    return found


def _after_logic(text: str) -> str:
    return re.split(r"\b(?:and|or|unless)\b", text)[-1]


def _before_comparison(text: str) -> str:
    parts = _split(text, ">")
    return re.split(r"[<>]|==|!=", parts[0])[0] if "{" not in parts[0] else parts[0]


def _split(text: str, separator: str) -> list[str]:
    """`text` cut at `separator` outside brackets and strings."""
    parts, depth, quote, start = [], 0, "", 0
    for i, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif char == separator and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return [*parts, text[start:]]


def _calls(text: str, name: str) -> list[str]:
    """What stands in the brackets of each call of `name`, the grouping after the name skipped."""
    calls = re.finditer(rf"\b{name}\s*(?:(?:by|without)\s*\([^)]*\)\s*)?\(", text)
    return [text[hit.end() : _closing(text, hit.end() - 1)] for hit in calls]


def _closing(text: str, opening: int) -> int:
    depth, quote = 0, ""
    for i in range(opening, len(text)):
        char = text[i]
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        else:
            depth += (char in "([{") - (char in ")]}")
            if depth == 0:
                return i
    return len(text)


def _strip(text: str) -> str:
    """`text` without brackets around all of it."""
    out = text.strip()
    while out.startswith("(") and _closing(out, 0) == len(out) - 1:
        out = out[1:-1].strip()
    return out


def _seconds(text: Any) -> float | None:
    try:
        return parse_duration_s(text) if text else None
    except UsageError:
        return None


def metric_names(expr: str) -> frozenset[str]:
    """The metrics that an expression reads; empty where a pattern chooses them."""
    if re.search(r"__name__\s*(?:=~|!=|!~)", expr):
        return frozenset()
    named = re.findall(r'__name__\s*=\s*"([^"]+)"', expr)
    bare = re.sub(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'', "", expr)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", bare)
    bare = re.sub(r"\boffset\s+-?\w+|@\s*\S+|\b\d[\w.]*", " ", bare)
    words = re.findall(r"(?<![\w:])[A-Za-z_:][\w:]*(?![\w:]|\s*\()", bare)  # a function has a bracket behind it
    return frozenset({*named, *(word for word in words if word.lower() not in _WORDS)})
