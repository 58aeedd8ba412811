"""The scorecard: four layers, the stage of maturity, and points by checklist row. Pure.

Min and not mean, as the ML Test Score does (Breck et al., 2017): a strong layer does not make up for a weak one. Its
points are kept too: a row settled by a check counts one, a row settled by a person's evidence a half.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inferaudit.catalog import Catalog
from inferaudit.model import Finding, Outcome, Severity

LAYERS: Mapping[str, str] = {
    "outcome": "User outcome quality",
    "reliability": "System reliability",
    "economics": "Economic efficiency",
    "change": "Change management",
}

# Where a check says nothing itself (a tag such as ``layer:economics``), its group decides.
_GROUP_LAYERS: Mapping[str, str] = {
    "sla": "outcome",
    "load": "outcome",
    "endpoint": "outcome",
    "golden": "outcome",
    "cost": "economics",
    "capacity": "economics",
    "rollout": "change",
    "process": "change",
}


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of maturity and the checklist rows that a service on it has settled."""

    number: int
    title: str
    rows: tuple[str, ...]


MULTI_MODEL = "serving.multi-model"
STAGES = (
    Stage(1, "An endpoint answers", ("serving.accepts",)),
    Stage(2, "It serves traffic within objectives, operated by hand", ("c1", "c8")),
    Stage(
        3,
        "Autoscaling, monitoring and on-call are in place",
        ("serving.autoscaling", "serving.monitoring", "after.alerts", "gpu.failure-response"),
    ),
    Stage(
        4,
        "Cost is optimised, and several models are routed",
        ("after.cost", "operations.gpu-under-utilisation", MULTI_MODEL),
    ),
)
SECTIONS = ("production", "launch", "gpu-inference", "serving", "operations")
_WEIGHTS = {Severity.CRITICAL: 8, Severity.HIGH: 4, Severity.MEDIUM: 2, Severity.LOW: 1}


def layer_of(check_id: str, group: str, tags: Sequence[str]) -> str:
    """The layer a check counts in: its ``layer:`` tag, else its group's, else reliability."""
    tagged = next((t.removeprefix("layer:") for t in tags if t.startswith("layer:")), None)
    return tagged or _GROUP_LAYERS.get(group, "reliability")


def scorecard_section(
    findings: Sequence[Finding],
    catalog: Catalog,
    checklists: Sequence[Mapping[str, Any]] = (),
    models: int | None = None,
) -> dict[str, Any]:
    """Each layer's share of passes, the maturity with what the next stage lacks, and the points of the checklists.

    `checklists` is the report's own section, `models` how many models are served (None = not known). `score` is the
    worst layer's, and null while any layer is unmeasured: no average hides an empty layer.
    """
    layers = {layer: _layer(title, layer, findings, catalog) for layer, title in LAYERS.items()}
    scores = [layer["score"] for layer in layers.values()]
    known = [s for s in scores if s is not None]
    return {
        "layers": layers,
        "score": min(known) if len(known) == len(scores) else None,
        **maturity_section(checklists, models),
        "points": points_section(checklists),
        "missing": [name for name, layer in layers.items() if layer["score"] is None],
        "formula": "layer = Σ weight of passes ÷ Σ weight of passes, failures and unknowns; score = the worst layer",
    }


def maturity_section(checklists: Sequence[Mapping[str, Any]], models: int | None) -> dict[str, Any]:
    """The highest stage whose rows, and those of all stages before it, are settled; null where none is.

    `maturity_next` names the next stage and the rows it still lacks, with their status and what would settle them.
    """
    rows = {item["id"]: item for checklist in checklists for item in checklist["items"] if not item["origins"]}
    reached: int | None = None
    upcoming: dict[str, Any] | None = None
    for stage in STAGES:
        lacking = [_lacking(row, rows) for row in stage.rows if not _settled(row, rows, models)]
        if lacking:
            upcoming = {"stage": stage.number, "title": stage.title, "lacks": lacking}
            break
        reached = stage.number
    title = next((stage.title for stage in STAGES if stage.number == reached), None)
    return {"maturity": reached, "maturity_title": title, "maturity_next": upcoming if rows else None}


def points_section(checklists: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Points of each built-in list over the rows that apply; `share` is that of the worst list, null without rows."""
    lists: dict[str, Any] = {}
    for checklist in checklists:
        items = [item for item in checklist["items"] if item["status"] != Outcome.NOT_APPLICABLE]
        if checklist["id"] not in SECTIONS or not items:
            continue
        points = sum(float(item["credit"]) for item in items)
        lists[checklist["id"]] = {
            "title": checklist["title"],
            "points": points,
            "of": len(items),
            "automated": sum(item["credit"] == 1 for item in items),
            "attested": sum(item["credit"] == 0.5 for item in items),
            "share": points / len(items),
        }
    return {
        "lists": lists,
        "share": min((each["share"] for each in lists.values()), default=None),
        "formula": "1 for a row settled by checks, ½ for one settled by evidence; the worst list counts",
    }


def _layer(title: str, layer: str, findings: Sequence[Finding], catalog: Catalog) -> dict[str, Any]:
    told = [
        f
        for f in findings
        if f.check in catalog.checks
        and layer_of(f.check, f.group, catalog.checks[f.check].tags) == layer
        and f.outcome in (Outcome.PASS, Outcome.FAIL, Outcome.UNKNOWN)
        and f.due
    ]
    total = sum(_WEIGHTS[f.severity] for f in told)
    passed = sum(_WEIGHTS[f.severity] for f in told if f.outcome is Outcome.PASS)
    seen = any(f.outcome is not Outcome.UNKNOWN for f in told)
    counts = {o.value: sum(f.outcome is o for f in told) for o in (Outcome.PASS, Outcome.FAIL, Outcome.UNKNOWN)}
    return {"title": title, "score": passed / total if total and seen else None, **counts}


def _settled(row: str, rows: Mapping[str, Mapping[str, Any]], models: int | None) -> bool:
    if row == MULTI_MODEL and models == 1:
        return True  # routing between models is asked only where there are several
    item = rows.get(row)
    return item is not None and item["status"] == Outcome.PASS


def _lacking(row: str, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    item = rows.get(row)
    if item is None:
        return {
            "row": row,
            "title": None,
            "status": Outcome.UNKNOWN.value,
            "message": "the row was not judged",
            "ask": None,
        }
    return {"row": row, **{key: item.get(key) for key in ("title", "status", "message", "ask")}}
