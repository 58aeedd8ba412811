"""Layers by their worst, maturity by what is settled, points by who settled it."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferaudit.catalog import Catalog, load_catalog
from inferaudit.checklists import all_items
from inferaudit.model import Check, Finding, Outcome, Phase, Report, Severity
from inferaudit.render import render
from inferaudit.scorecard import LAYERS, SECTIONS, STAGES, layer_of, points_section, scorecard_section


def _check(check_id: str, *tags: str) -> Check:
    return Check(id=check_id, title="", group=check_id.split("-")[0], severity=Severity.HIGH, needs=(), rationale="",
                 remediation="", judge=lambda _: (), tags=tags)  # fmt: skip


CATALOG = Catalog(
    {c.id: c for c in (_check("sla-a"), _check("gpu-a"), _check("gpu-b"), _check("cost-a"), _check("process-a"))},
    {},
    "",
)


def _finding(check: str, outcome: str = "pass", severity: str = "high", due: bool = True) -> Finding:
    return Finding(
        check=check, title="", group=check.split("-")[0], severity=Severity(severity), outcome=Outcome(outcome),
        subject=None, message="", evidence=(), remediation="", references=(), waiver=None, cause=None, fingerprint="",
        phase=Phase.BEFORE, due=due, gates=False,
    )  # fmt: skip


def _lists(statuses: Mapping[str, str], credits: Mapping[str, float] | None = None) -> list[dict[str, Any]]:
    items = [
        {"id": row, "title": row, "status": status, "origins": [], "message": "m", "ask": "Show it.",
         "credit": (credits or {}).get(row, 1.0 if status == "pass" else 0.0)}
        for row, status in statuses.items()
    ]  # fmt: skip
    return [{"id": "production", "title": "P", "items": items}]


ALL = {row: "pass" for stage in STAGES for row in stage.rows}


def test_the_score_is_that_of_the_worst_layer() -> None:
    findings = [_finding("sla-a"), _finding("gpu-a"), _finding("gpu-b", "fail", "low"), _finding("cost-a", "fail"),
                _finding("cost-a"), _finding("process-a")]  # fmt: skip
    card = scorecard_section(findings, CATALOG)
    assert {name: layer["score"] for name, layer in card["layers"].items()} == {
        "outcome": 1.0, "reliability": 0.8, "economics": 0.5, "change": 1.0,
    }  # fmt: skip
    assert card["score"] == 0.5
    assert card["missing"] == []


@pytest.mark.parametrize("outcome", ["unknown", "not_applicable", "review"])
def test_a_layer_that_nobody_could_judge_leaves_no_score(outcome: str) -> None:
    findings = [_finding("sla-a"), _finding("gpu-a"), _finding("cost-a", outcome), _finding("process-a")]
    card = scorecard_section(findings, CATALOG)
    assert card["layers"]["economics"]["score"] is None
    assert (card["score"], card["missing"]) == (None, ["economics"])


def test_unknowns_weigh_like_failures_once_something_was_seen() -> None:
    card = scorecard_section([_finding("gpu-a"), _finding("gpu-b", "unknown")], CATALOG)
    assert card["layers"]["reliability"]["score"] == 0.5


def test_what_is_not_due_yet_does_not_count() -> None:
    card = scorecard_section([_finding("gpu-a"), _finding("gpu-b", "fail", due=False)], CATALOG)
    assert card["layers"]["reliability"]["score"] == 1.0


def test_a_tag_outweighs_the_group() -> None:
    assert layer_of("gpu-x", "gpu", ()) == "reliability"
    assert layer_of("gpu-x", "gpu", ("layer:economics",)) == "economics"


def test_built_in_tags_name_layers() -> None:
    for check in load_catalog().checks.values():
        assert layer_of(check.id, check.group, check.tags) in LAYERS


@pytest.mark.parametrize(
    ("open_row", "stage"),
    [("serving.accepts", None), ("c8", 1), ("after.alerts", 2), ("after.cost", 3), ("nothing", 4)],
)
@pytest.mark.parametrize("status", ["fail", "unknown", "review", "not_applicable"])
def test_maturity_is_the_highest_stage_without_a_gap(open_row: str, stage: int | None, status: str) -> None:
    card = scorecard_section((), CATALOG, _lists({**ALL, open_row: status}))
    assert card["maturity"] == stage
    if stage == 4:
        assert card["maturity_next"] is None
        return
    assert card["maturity_next"]["stage"] == (stage or 0) + 1
    assert [lack["row"] for lack in card["maturity_next"]["lacks"]] == [open_row]
    assert card["maturity_next"]["lacks"][0]["status"] == status
    assert card["maturity_next"]["lacks"][0]["ask"] == "Show it."


def test_a_later_stage_does_not_make_up_for_an_earlier_one() -> None:
    assert scorecard_section((), CATALOG, _lists({**ALL, "c1": "fail"}))["maturity"] == 1


@pytest.mark.parametrize(("models", "stage"), [(1, 4), (2, 3), (None, 3)])
def test_routing_is_asked_only_where_several_models_are_served(models: int | None, stage: int) -> None:
    lists = _lists({**ALL, "serving.multi-model": "review"})
    assert scorecard_section((), CATALOG, lists, models)["maturity"] == stage


def test_without_rows_maturity_is_not_told() -> None:
    card = scorecard_section((), CATALOG)
    assert (card["maturity"], card["maturity_next"], card["points"]["share"]) == (None, None, None)


def test_rows_of_maturity_and_sections_exist() -> None:
    catalog = load_catalog()
    rows = {item.id for name in SECTIONS for item in all_items(catalog.checklists[name], catalog.checklists)}
    assert {row for stage in STAGES for row in stage.rows} <= rows
    assert [stage.number for stage in STAGES] == [1, 2, 3, 4]


def test_points_are_full_for_checks_and_half_for_people() -> None:
    lists = _lists({"a": "pass", "b": "pass", "c": "fail", "d": "not_applicable"}, {"b": 0.5})
    lists += [{**_lists({"e": "pass"})[0], "id": "launch"}, {**_lists({"f": "fail"})[0], "id": "go-live"}]
    points = points_section(lists)
    assert points["lists"]["production"] == {
        "title": "P", "points": 1.5, "of": 3, "automated": 1, "attested": 1, "share": 0.5,
    }  # fmt: skip
    assert points["lists"]["launch"]["share"] == 1.0
    assert points["share"] == 0.5
    assert "go-live" not in points["lists"]


@given(st.dictionaries(st.text(min_size=1), st.sampled_from(["pass", "fail", "unknown", "review", "not_applicable"])))
def test_points_lie_between_none_and_all(statuses: dict[str, str]) -> None:
    share = points_section(_lists(statuses))["share"]
    applicable = [s for s in statuses.values() if s != "not_applicable"]
    assert (share is None) == (not applicable)
    assert share is None or 0 <= share <= 1


@pytest.mark.parametrize("format", ["html", "markdown"])
def test_a_report_says_what_the_next_stage_lacks(format: str) -> None:
    """And no more than a reader takes in, hostile or absent as it may be."""
    lacks = [{"title": f"row <b>{n}</b>", "status": "unknown", "message": "", "row": "r"} for n in range(20)]
    next_ = {"stage": 3, "title": "It scales", "lacks": lacks}
    layers = {"outcome": {"title": "Outcome", "score": None}, "change": {"title": "Change", "score": 0.5}}
    card = {"layers": layers, "score": None, "maturity": 2, "maturity_title": "By hand", "maturity_next": next_}
    report = {"schema": "inferaudit.report/v1", "verdict": "GO", "findings": [], "scorecard": card}
    text = render(Report(report), format)
    assert "Maturity 2 of 4: By hand. For stage 3" in text
    assert "It scales" in text
    assert html.unescape(text).count("row <b>") == 12
    assert "<b>1</b>" not in text
    assert "and 8 more" in text
    assert "nothing is known of Outcome" in text
    for absent in ({}, {"layers": layers}, {"maturity": 2, "maturity_next": None}):
        assert "it lacks" not in render(Report({**report, "scorecard": absent}), format)
