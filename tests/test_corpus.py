"""A right service raises no alarm; each single fault is found, on the right object, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from corpus import corpus

from inferaudit.model import Outcome

FAULTS = corpus.faults()


def test_the_right_service_is_right(tmp_path: Path) -> None:
    findings = corpus.audit(corpus.dump(), tmp_path, {})
    assert [corpus.describe(finding) for finding in findings if corpus.troubling(finding)] == []


@pytest.mark.parametrize("service", corpus.SERVICES)
def test_another_right_service_is_right(service: str, tmp_path: Path) -> None:
    findings = corpus.audit_of(service, tmp_path)
    assert [corpus.describe(finding) for finding in findings if corpus.troubling(finding)] == []


def test_what_a_chart_renders_of_it_is_right_too(tmp_path: Path) -> None:
    """Without cluster: what only a cluster could tell is unknown or not applicable, and never a failure."""
    rendered = [each for each in corpus.applied() if each["metadata"].get("namespace") == "llm-prod"]
    findings = corpus.audit(rendered, tmp_path, {"scope": ["manifests"]})
    assert [corpus.describe(f) for f in findings if corpus.troubling(f) and f.outcome is Outcome.FAIL] == []
    assert [corpus.describe(finding) for finding in findings if finding.gates] == []


def test_there_are_enough_faults() -> None:
    assert len(FAULTS) >= 100
    assert sum(bool(fault.missing) for fault in FAULTS) <= 5


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fault, marks=pytest.mark.xfail(strict=True, reason=fault.missing) if fault.missing else ())
        for fault in FAULTS
    ],
    ids=lambda fault: fault.name,
)
def test_a_fault_is_found_and_nothing_else(fault: corpus.Fault, tmp_path: Path) -> None:
    said = corpus.diagnose(fault, tmp_path)
    assert said.overlooked == []
    assert said.false_alarms == []
    assert said.hidden == []
    assert all(finding.evidence for finding in said.found), "a finding quotes what it saw"
