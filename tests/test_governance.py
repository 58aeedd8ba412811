"""Names are one in any spelling; what is no number or no date is told as such."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferaudit.catalog import load_catalog
from inferaudit.evaluate import Selection, evaluate
from inferaudit.governance import ROLLBACK, age_days, entry, field, figure, measured, missing, slug, words
from inferaudit.model import Fact, Outcome, Severity, Snapshot, Target
from inferaudit.policy import Policy


@pytest.mark.parametrize(
    "spelling", ["gpu under-utilisation", "GPU_under_utilization", "gpu-underutilisation", " Gpu  Under Utilisation "]
)
def test_a_name_is_one_in_any_spelling(spelling: str) -> None:
    assert words(spelling) == "gpu under utilisation"
    assert slug(spelling) == "gpu-under-utilisation"
    assert entry({spelling: 1}, "gpu under-utilisation") == 1


@given(st.text())
def test_words_are_stable(name: str) -> None:
    assert words(words(name)) == words(name)


@pytest.mark.parametrize("value", [None, "", [], {}, ()])
def test_an_empty_field_is_a_missing_one(value: Any) -> None:
    assert field({"rollback_criterion": value, "rollback": "later"}, ROLLBACK) == "later"
    assert missing({"owner": value}, {"owner": ("owner",)}) == ["owner"]


@pytest.mark.parametrize("fields", [None, "text", 3, ["a"]])
def test_what_is_no_mapping_has_no_fields(fields: Any) -> None:
    assert missing(fields, {"owner": ("owner",), "test": ("test",)}) == ["owner", "test"]


@pytest.mark.parametrize(
    ("value", "is_figure"),
    [(500, True), ("500ms", True), ("below 2 %", True), ({"target": 1}, True), ({"max": "3 %"}, True), (0, True),
     ("fast", False), ({"target": "many"}, False), ({}, False), (True, False), (None, False), ("", False)],
)  # fmt: skip
def test_a_kpi_has_a_number(value: Any, is_figure: bool) -> None:
    assert figure(value) is is_figure


@pytest.mark.parametrize(
    ("date", "age"),
    [
        ("2026-11-22", 0),
        ("2026-11-12T08:00:00Z", 10),
        ("2026-12-01", -9),
        ("soon", None),
        (None, None),
        (20261101, 21),
    ],
)
def test_ages_are_whole_days(date: Any, age: int | None) -> None:
    assert age_days(date, "2026-11-22T12:00:00Z") == age


def test_objectives_are_missed_only_where_something_is_measured() -> None:
    assert measured({"scope": ["manifests"]}) is False
    assert measured({"scope": ["endpoint", "load"]}) is True
    assert measured({}) is True


@pytest.mark.parametrize(
    "scope", [["load"], ["metrics"], ["manifests"], ["cluster", "gpu", "endpoint", "load", "metrics"]]
)
@pytest.mark.parametrize("slo", [{"ttft_p99": "500ms"}, {"ttft_p99": "500ms", "error_rate": "0.1%"}, "template"])
def test_governance_gates_no_service_that_has_an_objective(scope: list[str], slo: Any) -> None:
    facts = {"process.attestations": Fact([])}
    snapshot = Snapshot(collected_at="2026-11-22T12:00:00Z", target=Target(), facts=facts)
    policy = Policy.model_validate({"scope": scope, "slo": slo})
    findings = [f for f in evaluate(load_catalog(), snapshot, policy, Selection(("process",))) if f.group == "process"]
    assert [f.check for f in findings if f.gates] == []
    assert all(f.severity is Severity.LOW for f in findings if f.outcome in (Outcome.FAIL, Outcome.UNKNOWN) and f.due)


def test_rendered_manifests_need_no_objective_to_be_go() -> None:
    snapshot = Snapshot(collected_at="2026-11-22T12:00:00Z", target=Target(), facts={})
    policy = Policy.model_validate({"scope": ["manifests"]})
    found = evaluate(load_catalog(), snapshot, policy, Selection(("process-slo-defined",)))
    assert {f.outcome for f in found if f.check == "process-slo-defined"} == {Outcome.NOT_APPLICABLE}
