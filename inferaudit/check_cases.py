"""Test cases of checks as files: ``<cases>/<check id>/<outcome>-<what>.yaml``.

A case holds ``facts`` (name → value, or ``{$error: reason}``, or ``{$error: {kind: denied, reason: …}}``), and where
wanted ``params``, ``policy``, ``collected_at`` and ``expect``: a list of ``{outcome, subject, message, evidence}`` that
must each match a judgement (message: a part of it). The first word of the file name is the worst outcome expected.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml

from inferaudit.case_records import records_from_groups
from inferaudit.catalog import Catalog
from inferaudit.checklists import worst
from inferaudit.errors import UsageError
from inferaudit.evaluate import Selection, check_words, evaluate
from inferaudit.model import Check, Fact, FactError, FactErrorKind, Finding, Outcome, Snapshot, Target
from inferaudit.policy import Policy
from inferaudit.snapshot import decode_fact, from_bytes, to_bytes
from inferaudit.yaml_text import read_yaml

_ERROR = "$error"


class _Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    facts: dict[str, Any]
    params: dict[str, Any] = {}
    policy: dict[str, Any] = {}
    collected_at: str = "2026-11-22T12:00:00Z"
    expect: list[dict[str, Any]] = []
    why: str = ""


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What a case file showed; `problems` is empty when it holds."""

    path: Path
    check: str
    expected: Outcome
    findings: tuple[Finding, ...]
    problems: tuple[str, ...]


def case_files(cases: Path, check_ids: Iterator[str] | list[str]) -> list[Path]:
    """The case files of the checks, in order."""
    return [path for check_id in check_ids for path in sorted((cases / check_id).glob("*.yaml"))]


def expected_outcome(path: Path) -> Outcome:
    """The outcome that a case file's name promises."""
    word = path.stem.partition("-")[0]
    try:
        return Outcome(word)
    except ValueError:
        known = ", ".join(Outcome)
        raise UsageError(f"{path}: the name begins with the expected outcome ({known}), not {word!r}") from None


def run_case(catalog: Catalog, path: Path) -> CaseResult:
    """Judge one case through the very evaluator that judges snapshots, the facts stored and read back first."""
    check = catalog.check(path.parent.name)
    outcome = expected_outcome(path)
    try:
        case = msgspec.convert(read_yaml(path.read_text("utf-8")), _Case)
        snapshot = _snapshot(case, path)
    except (yaml.YAMLError, msgspec.ValidationError, ValueError, TypeError) as error:
        return CaseResult(path, check.id, outcome, (), (f"not a case: {error}",))
    scope = sorted(check_words(check))
    parameters = {check.id: case.params} if case.params else {}
    policy = Policy.model_validate({"scope": scope, "parameters": parameters, **case.policy})
    findings = tuple(f for f in evaluate(catalog, snapshot, policy, Selection((check.id,))) if f.check == check.id)
    return CaseResult(path, check.id, outcome, findings, tuple(_problems(case, outcome, findings)))


def blinded(check: Check, catalog: Catalog, path: Path) -> tuple[Finding, ...]:
    """The findings of the case in `path` with every fact replaced by an error: nothing may pass or fail."""
    case = msgspec.convert(read_yaml(path.read_text("utf-8")), _Case)
    snapshot = _snapshot(case, path)
    error = Fact(error=FactError(FactErrorKind.FAILED, "made to fail by the test", source="test"))
    facts = {name: error for name in (*snapshot.facts, *check.needs) if name != "policy"}
    dim = Snapshot(collected_at=snapshot.collected_at, target=snapshot.target, facts=facts)
    policy = Policy.model_validate({"scope": sorted(check_words(check)), **case.policy})
    return tuple(f for f in evaluate(catalog, dim, policy, Selection((check.id,))) if f.check == check.id)


def _snapshot(case: _Case, path: Path) -> Snapshot:
    facts: dict[str, Fact] = {}
    for name, value in case.facts.items():
        if isinstance(value, dict) and _ERROR in value:
            said = value[_ERROR]
            fields = said if isinstance(said, dict) else {"reason": said}
            kind = FactErrorKind(fields.get("kind", "failed"))
            facts[name] = Fact(error=FactError(**{"reason": "test", "source": "test", **fields, "kind": kind}))
        elif name == "load.records" and isinstance(value, dict) and "groups" in value:
            facts[name] = Fact(records_from_groups(value))
        else:
            facts[name] = Fact(_decoded(name, value))
    made = Snapshot(collected_at=case.collected_at, target=Target(), facts=facts)
    return from_bytes(to_bytes(made), str(path))


def _decoded(name: str, value: Any) -> Any:
    try:
        return decode_fact(name, value)
    except msgspec.ValidationError as error:
        raise ValueError(f"facts: {name}: {error}; docs/facts.md has its fields") from error


def _problems(case: _Case, outcome: Outcome, findings: tuple[Finding, ...]) -> Iterator[str]:
    got = worst(f.outcome for f in findings)
    if got is not outcome:
        said = "; ".join(f"{f.outcome} {f.subject}: {f.message}" for f in findings)
        yield f"expected {outcome}, got {got} ({said})"
    if any(f.outcome is Outcome.UNKNOWN and "is broken:" in f.message for f in findings):
        yield f"the check crashed: {findings[0].message}"
    for wanted in case.expect:
        if not any(_matches(wanted, finding) for finding in findings):
            said = "; ".join(f"{f.outcome} {f.subject}: {f.message}" for f in findings)
            yield f"no finding is {wanted}; there are: {said}"


def _matches(wanted: dict[str, Any], finding: Finding) -> bool:
    exact = all(
        str(getattr(finding, name)) == str(value)
        for name, value in wanted.items()
        if name in ("outcome", "subject", "severity")
    )
    message = str(wanted.get("message", "")) in finding.message
    evidence = "evidence" not in wanted or any(
        e.path == wanted["evidence"].get("path", e.path)
        and ("observed" not in wanted["evidence"] or e.observed == wanted["evidence"]["observed"])
        for e in finding.evidence
    )
    return exact and message and evidence
