"""Every check against its case files, and what holds for every check."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from inferaudit.catalog import load_catalog
from inferaudit.check_cases import blinded, case_files, expected_outcome, run_case
from inferaudit.facts import fact_specs
from inferaudit.model import Outcome

CASES = Path(__file__).parent / "checks"
CATALOG = load_catalog()
FILES = case_files(CASES, list(CATALOG.checks))


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_case(path: Path) -> None:
    result = run_case(CATALOG, path)
    assert not result.problems, "\n".join(result.problems)


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_nothing_passes_or_fails_in_the_dark(path: Path) -> None:
    check = CATALOG.checks[path.parent.name]
    if set(check.needs) == {"policy"}:
        return  # the policy is never dark: it is an argument of the evaluator
    said = {f.outcome for f in blinded(check, CATALOG, path)}
    assert said <= {Outcome.UNKNOWN, Outcome.NOT_APPLICABLE}, said
    assert Outcome.UNKNOWN in said or check.needs[0] == "policy", said


@pytest.mark.parametrize("check_id", list(CATALOG.checks))
def test_every_check_has_its_cases_and_words(check_id: str) -> None:
    check = CATALOG.checks[check_id]
    outcomes = {expected_outcome(path) for path in (CASES / check_id).glob("*.yaml")}
    assert Outcome.PASS in outcomes or "never-passes" in check.tags, outcomes
    assert Outcome.FAIL in outcomes or "never-fails" in check.tags, outcomes
    assert Outcome.UNKNOWN in outcomes
    assert set(check.needs) <= set(fact_specs())
    for words in (check.title, check.rationale, check.remediation):
        assert words
        assert words == words.strip()
    assert re.search(r"[.`)]$", check.remediation), "a remediation is a sentence"
    assert not check.title.endswith(".")
    assert all(reference.startswith("https://") for reference in check.references)


def test_no_case_is_orphaned() -> None:
    assert {p.name for p in CASES.iterdir()} <= set(CATALOG.checks)
