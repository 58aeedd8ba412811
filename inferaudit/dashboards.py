"""What Grafana's dashboards ask: titles and expressions of their panels, from ConfigMaps and GrafanaDashboards. Pure.

https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from inferaudit.subjects import object_subject

# A matcher on a variable of the board chooses nothing by itself: the board's reader does.
_VARIABLE = re.compile(r'\b[A-Za-z_]\w*\s*=~?\s*"[^"]*\$[^"]*"\s*,?')
_EXPR = re.compile(r'"expr"\s*:\s*"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Query:
    """One expression of a panel. `subject` is the object that holds the dashboard, `title` the panel's."""

    subject: str
    title: str
    expr: str


@dataclass(frozen=True, slots=True)
class Dashboards:
    """The queries of all dashboards in view, and the objects whose dashboard lies elsewhere (a URL, a packed text)."""

    queries: tuple[Query, ...]
    elsewhere: tuple[str, ...]


def dashboards_of(objects: Iterable[Mapping[str, Any]]) -> Dashboards:
    """The dashboards in ``service.dashboards``."""
    queries: list[Query] = []
    elsewhere = []
    for obj in objects:
        subject, spec = object_subject(obj), obj.get("spec") or {}
        texts = [str(text) for text in (obj.get("data") or {}).values()]
        texts += [str(spec["json"])] if spec.get("json") else []
        if not texts:
            elsewhere.append(subject)
        for text in texts:
            queries += _queries(subject, text)
    return Dashboards(tuple(queries), tuple(elsewhere))


def _queries(subject: str, text: str) -> Iterator[Query]:
    try:
        board = json.loads(text)
    except ValueError:
        # Cut short by a bound, or a template: the expressions are there all the same.
        for hit in _EXPR.finditer(text):
            yield Query(subject, "", _plain(hit[1].replace('\\"', '"').replace("\\n", " ")))
        return
    yield from _walk(subject, "", board)


def _walk(subject: str, title: str, node: Any) -> Iterator[Query]:
    """Panels lie in rows, in tabs and in each other, by the version of the schema: every ``expr`` counts."""
    if isinstance(node, list):
        for each in node:
            yield from _walk(subject, title, each)
    elif isinstance(node, Mapping):
        own = str(node.get("title") or title)
        if isinstance(node.get("expr"), str) and node["expr"].strip():
            yield Query(subject, own, _plain(node["expr"]))
        for value in node.values():
            if isinstance(value, (list, Mapping)):
                yield from _walk(subject, own, value)


def _plain(expr: str) -> str:
    """An expression without the board's variables: durations become five minutes, quantiles stay as they are."""
    text = re.sub(r"\$(?:\{)?__(?:rate_interval|interval|range)\}?", "5m", " ".join(expr.split()))
    return _VARIABLE.sub("", text)
