"""What the analysis of a canary looks at: error rate, latency, quality; by its queries and their names. Pure.

https://argo-rollouts.readthedocs.io/en/stable/features/analysis/ and https://docs.flagger.app/usage/metrics
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Object = Mapping[str, Any]

CONCERNS = ("errors", "latency", "quality")
_WORDS = {
    "errors": r"error|success|fail|5\.\.|5xx|5\[0-9\]|5\\\\?d|status|code|availability",
    "latency": r"latency|duration|ttft|time_to_first|inter_token|time_per_output|response_time|quantile|\bp9[059]\b",
    "quality": r"quality|accuracy|score|eval|drift|feedback|thumb|rating|halluc|refus|reject|win[-_ ]?rate|golden|judge"
    r"|precision|recall|\bf1\b|bleu|rouge|perplexity|confidence|conversion|click",
}
_BUILT_IN = {"request-success-rate": "errors", "request-duration": "latency"}
_OPAQUE = ("job", "web", "plugin")


@dataclass(frozen=True, slots=True)
class Watched:
    """The metrics of an analysis by concern. `unseen` names templates that are not in view; `opaque` what a job or a
    web call measures, which its name does not tell."""

    metrics: Mapping[str, tuple[str, ...]]
    unseen: tuple[str, ...]
    opaque: tuple[str, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """The concerns that nothing looks at."""
        return tuple(concern for concern in CONCERNS if not self.metrics.get(concern))


def watched_by(obj: Object, analyses: Iterable[Object]) -> Watched | None:
    """What the analysis of a Rollout or a Canary watches; None for another kind, or where it has none."""
    known = {(str(a.get("kind")), str((a.get("metadata") or {}).get("name"))): a for a in analyses}
    if obj.get("kind") == "Rollout":
        named = list(_templates((obj.get("spec") or {}).get("strategy") or {}))
        if not named:
            return None
        return _sorted([_argo(name, wide, known) for name, wide in named])
    if obj.get("kind") == "Canary":
        spec = obj.get("spec") or {}
        metrics = (spec.get("analysis") or spec.get("canaryAnalysis") or {}).get("metrics") or ()
        return _sorted([_flagger(each, known) for each in metrics]) if metrics else None
    return None


def _templates(strategy: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    canary, green = strategy.get("canary") or {}, strategy.get("blueGreen") or {}
    parts = [canary.get("analysis"), *(step.get("analysis") for step in canary.get("steps") or ())]
    parts += [green.get("prePromotionAnalysis"), green.get("postPromotionAnalysis")]
    for part in parts:
        for template in (part or {}).get("templates") or ():
            yield str(template.get("templateName")), bool(template.get("clusterScope"))


# One metric: its name, the text that tells what it is, and whether a job or a call hides it; or a name not in view.
_Metric = tuple[str, str, bool]


def _argo(name: str, wide: bool, known: Mapping[tuple[str, str], Object]) -> list[_Metric] | str:
    template = known.get(("AnalysisTemplate", name))
    if wide or template is None:
        return f"{'Cluster' if wide else ''}AnalysisTemplate {name}"
    found = []
    for metric in (template.get("spec") or {}).get("metrics") or ():
        provider = metric.get("provider") or {}
        found.append((str(metric.get("name")), str(provider), any(kind in provider for kind in _OPAQUE)))
    return found


def _flagger(metric: Mapping[str, Any], known: Mapping[tuple[str, str], Object]) -> list[_Metric] | str:
    name, ref = str(metric.get("name")), metric.get("templateRef")
    if ref is None:
        text = f"{_BUILT_IN.get(name, '')} {metric.get('query') or ''}"
        return [(name, text, False)]
    template = known.get(("MetricTemplate", str(ref.get("name"))))
    if template is None:
        return f"MetricTemplate {ref.get('name')}"
    return [(name, str((template.get("spec") or {}).get("query") or ""), False)]


def _sorted(parts: Iterable[list[_Metric] | str]) -> Watched:
    metrics: dict[str, list[str]] = {}
    unseen, opaque = [], []
    for part in parts:
        if isinstance(part, str):
            unseen.append(part)
            continue
        for name, text, hidden in part:
            told = [c for c in CONCERNS if re.search(_WORDS[c], name if hidden else f"{name} {text}", re.IGNORECASE)]
            for concern in told:
                metrics.setdefault(concern, []).append(name)
            if hidden and not told:
                opaque.append(name)
    unique = {concern: tuple(dict.fromkeys(names)) for concern, names in metrics.items()}
    return Watched(unique, tuple(dict.fromkeys(unseen)), tuple(opaque))
