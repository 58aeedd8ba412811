"""Checklist rows settled: findings and attestations → the report's ``checklists`` section. Pure."""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from inferaudit.checklists import Checklist, ChecklistItem, all_items, worst
from inferaudit.evidence import missing_sections
from inferaudit.facts.process import AttestationFact
from inferaudit.governance import attestation_valid
from inferaudit.model import Finding, Outcome, Phase, Snapshot

# Points of a settled row, as the ML Test Score gives them: half for what a person showed, full for what is automated.
AUTOMATED = 1.0
ATTESTED = 0.5

ANY_EVIDENCE = "Evidence that it is so."


@dataclass(frozen=True, slots=True)
class _Row:
    status: Outcome
    credit: float
    message: str


def checklist_section(
    checklists: Iterable[Checklist], findings: Sequence[Finding], snapshot: Snapshot
) -> list[dict[str, Any]]:
    """Every checklist with its rows' status, credit (1 by checks, ½ attested) and what settled them."""
    by_id = {checklist.id: checklist for checklist in checklists}
    by_check: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_check[finding.check].append(finding)
    attested = _attestations(snapshot)
    today = snapshot.collected_at[:10]
    return [
        {
            "id": checklist.id,
            "title": checklist.title,
            "items": [_item(item, checklist, by_check, attested, today) for item in all_items(checklist, by_id)],
        }
        for checklist in by_id.values()
    ]


def unattested(section: Sequence[Mapping[str, Any]], phase: Phase) -> tuple[str, ...]:
    """Rows that are due in `phase` and await a person."""
    return tuple(
        dict.fromkeys(
            item["id"]
            for checklist in section
            for item in checklist["items"]
            if item["status"] == Outcome.REVIEW and Phase(item["phase"]).due_in(phase)
        )
    )


def unknown_rows(attestations: Iterable[str], checklists: Iterable[Checklist]) -> dict[str, str]:
    """Items of attestations that name no row, with the nearest row's id (or nothing)."""
    attestations = list(attestations)
    named = rows_by_name(checklists) if attestations else {}
    wrong = [item for item in dict.fromkeys(attestations) if item not in named]
    return {item: next(iter(difflib.get_close_matches(item, list(named), n=1)), "") for item in wrong}


def rows_by_name(checklists: Iterable[Checklist]) -> dict[str, ChecklistItem]:
    """Every name by which an attestation may call a row → the row, as the list says it from which it comes."""
    by_id = {checklist.id: checklist for checklist in checklists}
    named: dict[str, ChecklistItem] = {}
    for checklist in sorted(by_id.values(), key=lambda each: bool(each.merge)):
        for item in all_items(checklist, by_id):
            for name in (item.id, f"{checklist.id}.{item.id}", f"{checklist.id}/{item.id}"):
                named.setdefault(name, item)
    return named


def completed(attestations: Iterable[AttestationFact], checklists: Iterable[Checklist]) -> list[AttestationFact]:
    """The attestations with the sections that their rows ask for and their documents lack."""
    named = rows_by_name(checklists)
    return [_with_sections(a, named[a.item].sections if a.item in named else {}) for a in attestations]


def _with_sections(attestation: AttestationFact, sections: Mapping[str, str]) -> AttestationFact:
    return msgspec.structs.replace(attestation, lacks=missing_sections(attestation.headings, sections))


@dataclass(frozen=True, slots=True)
class Idle:
    """An attestation that settles nothing, or that what was seen contradicts; `against` are the failures that do."""

    attestation: AttestationFact
    why: str
    against: tuple[Finding, ...] = ()


def idle_attestations(
    attestations: Iterable[AttestationFact], checklists: Iterable[Checklist], findings: Sequence[Finding]
) -> Iterator[Idle]:
    """Attestations that are not needed, or say that something is so which a check saw not to be."""
    named = rows_by_name(checklists)
    by_check: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_check[finding.check].append(finding)
    for attestation in dict.fromkeys(attestations):
        item = named.get(attestation.item)
        if item is None or (item.checks and not any(check in by_check for check in item.checks)):
            continue  # nothing of the row was asked: whether the attestation is needed cannot be told
        seen = [f for check in item.checks for f in by_check.get(check, ())]
        against = tuple(f for f in seen if f.outcome is Outcome.FAIL)
        # What was outside the scope, or not in the files, says nothing: each check must itself have passed.
        passed = all(any(f.outcome is Outcome.PASS for f in by_check.get(check, ())) for check in item.checks)
        if against:
            yield Idle(attestation, "what was seen contradicts it", against)
        elif item.attest == "none":
            yield Idle(attestation, "its row takes no attestation: its checks decide it")
        elif item.attest == "either" and item.checks and passed and worst(f.outcome for f in seen) is Outcome.PASS:
            if any(_rests_on(f, attestation) for f in seen):
                continue  # a check passes because of it
            yield Idle(attestation, "it is not needed: every check of its row passes without it")


def _rests_on(finding: Finding, attestation: AttestationFact) -> bool:
    """Whether a check took the attestation as its evidence, as those do which accept one beside an object."""
    shown = [e.observed for e in finding.evidence if e.path == "attestations"]
    return any(isinstance(each, (list, tuple)) and attestation.evidence in each for each in shown)


def _item(
    item: ChecklistItem,
    checklist: Checklist,
    by_check: Mapping[str, Sequence[Finding]],
    attested: Mapping[str, Sequence[AttestationFact]],
    today: str,
) -> dict[str, Any]:
    attestation, valid = _attestation(item, checklist, attested, today)
    findings = [f for check in item.checks for f in by_check.get(check, ())]
    row = _settle(item, findings, valid)
    return {
        "id": item.id,
        "title": item.title,
        "part": item.part or None,
        "phase": item.phase.value,
        "priority": item.priority,
        "effort": item.effort or None,
        "owner": item.owner or None,
        "status": row.status.value,
        "credit": row.credit,
        "message": row.message,
        "checks": list(item.checks),
        "origins": list(item.origins),
        "attestation": None
        if attestation is None
        else {
            "evidence": attestation.evidence,
            "owner": attestation.owner,
            "date": attestation.date,
            "expires": attestation.expires,
            "valid": valid,
            "detail": _detail(attestation),
        },
        # Null where no attestation is taken: what is asked of nobody is not asked.
        "ask": None if item.attest == "none" else item.ask or ANY_EVIDENCE,
    }


def _settle(item: ChecklistItem, findings: Sequence[Finding], valid: bool) -> _Row:
    """A waived failure stays a failure here: the waiver lifts the gate, it does not satisfy the row."""
    asked = {f.check for f in findings}
    unasked = [check for check in item.checks if check not in asked]
    status = worst((*(f.outcome for f in findings), *(Outcome.UNKNOWN for _ in unasked)))
    said = _said(findings, unasked)
    attested = f"attested; {said}" if said else "attested"
    awaits = f"awaits an attestation; {said}" if said else "awaits an attestation"
    if not item.checks:
        return _Row(Outcome.PASS, ATTESTED, attested) if valid else _Row(Outcome.REVIEW, 0.0, awaits)
    if item.attest == "none" or status is Outcome.FAIL:
        return _Row(status, AUTOMATED if status is Outcome.PASS else 0.0, said)
    if item.attest == "both":
        if not valid:
            return _Row(worst((status, Outcome.REVIEW)), 0.0, awaits)
        settled = worst((status, Outcome.PASS))
        return _Row(settled, ATTESTED if settled is Outcome.PASS else 0.0, attested)
    if status is Outcome.PASS:
        return _Row(status, AUTOMATED, said)
    if valid:
        return _Row(Outcome.PASS, ATTESTED, attested)
    return _Row(status, 0.0, said if status is Outcome.NOT_APPLICABLE else f"{said}; an attestation would settle it")


def _detail(attestation: AttestationFact) -> str:
    lacks = f"it has no section on {', '.join(attestation.lacks)}" if attestation.lacks else ""
    return "; ".join(filter(None, (attestation.detail, lacks)))


def _said(findings: Sequence[Finding], unasked: Sequence[str]) -> str:
    counts = Counter(f.outcome for f in findings if f.waiver is None)
    parts = [f"{counts[o]} {o.value.replace('_', ' ')}" for o in Outcome if counts[o]]
    waived = sum(f.waiver is not None for f in findings)
    parts += [f"{waived} fail (waived)"] if waived else []
    parts += [f"not asked: {', '.join(unasked)}"] if unasked else []
    return ", ".join(parts)


def _attestations(snapshot: Snapshot) -> dict[str, list[AttestationFact]]:
    fact = snapshot.facts.get("process.attestations")
    by_item: dict[str, list[AttestationFact]] = defaultdict(list)
    for attestation in fact.value if fact and fact.error is None else ():
        by_item[attestation.item].append(attestation)
    return by_item


def _attestation(
    item: ChecklistItem, checklist: Checklist, attested: Mapping[str, Sequence[AttestationFact]], today: str
) -> tuple[AttestationFact | None, bool]:
    """The row's best attestation and whether it is valid: one that counts before one that does not, then the newest.

    Rows that were merged are judged by the same checks, hence they are one question: an answer to one answers all.
    """
    names = dict.fromkeys((item.id, f"{checklist.id}.{item.id}", f"{checklist.id}/{item.id}"))
    for origin in item.origins:
        names |= dict.fromkeys((origin, origin.replace("/", ".", 1), origin.partition("/")[2]))
    given = [_with_sections(a, item.sections) for name in names for a in attested.get(name, ())]
    if not given:
        return None, False
    best = max(given, key=lambda a: (attestation_valid(a, today), a.date, a.evidence))
    return best, attestation_valid(best, today)
