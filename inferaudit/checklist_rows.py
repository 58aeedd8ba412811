"""Checklist rows settled: findings and attestations → the report's ``checklists`` section. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inferaudit.checklists import Checklist, ChecklistItem, merged_items, worst
from inferaudit.facts.process import AttestationFact
from inferaudit.model import Finding, Outcome, Phase, Snapshot


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
            "items": [_item(item, checklist, by_check, attested, today) for item in _items(checklist, by_id)],
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


def _items(checklist: Checklist, by_id: Mapping[str, Checklist]) -> tuple[ChecklistItem, ...]:
    return (*checklist.items, *merged_items([by_id[name] for name in checklist.merge if name in by_id]))


def _item(
    item: ChecklistItem,
    checklist: Checklist,
    by_check: Mapping[str, Sequence[Finding]],
    attested: Mapping[str, AttestationFact],
    today: str,
) -> dict[str, Any]:
    attestation = attested.get(item.id) or attested.get(f"{checklist.id}.{item.id}")
    valid = _valid(attestation, today)
    findings = [f for check in item.checks for f in by_check.get(check, ())]
    row = _settle(item, findings, valid)
    return {
        "id": item.id,
        "title": item.title,
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
            "detail": attestation.detail,
        },
        "ask": item.ask or None,
    }


def _settle(item: ChecklistItem, findings: Sequence[Finding], valid: bool) -> _Row:
    outcomes = [f.outcome for f in findings if f.waiver is None]
    status = worst(outcomes) if outcomes or not item.checks else Outcome.UNKNOWN
    seen = {o: sum(f.outcome is o for f in findings) for o in Outcome}
    said = ", ".join(f"{count} {outcome.value.replace('_', ' ')}" for outcome, count in seen.items() if count)
    if item.checks and not findings:
        said = "none of its checks was asked"
    if item.attest == "none" or status is Outcome.FAIL:
        return _Row(status, 1.0 if status is Outcome.PASS else 0.0, said)
    if item.attest == "both":
        together = status if not item.checks or status in (Outcome.UNKNOWN, Outcome.REVIEW) else None
        if valid:
            settled = Outcome.PASS if not item.checks else (together or Outcome.PASS)
            return _Row(settled, 0.5 if settled is Outcome.PASS else 0.0, f"attested; {said}" if said else "attested")
        return _Row(
            worst((status, Outcome.REVIEW)) if item.checks else Outcome.REVIEW,
            0.0,
            f"awaits an attestation; {said}" if said else "awaits an attestation",
        )
    if status is Outcome.PASS:
        return _Row(status, 1.0, said)
    if valid:
        return _Row(Outcome.PASS, 0.5, f"attested; {said}" if said else "attested")
    if not item.checks:
        return _Row(Outcome.REVIEW, 0.0, "awaits an attestation")
    return _Row(status, 0.0, f"{said}; an attestation would settle it" if status is not Outcome.NOT_APPLICABLE else said)


def _attestations(snapshot: Snapshot) -> dict[str, AttestationFact]:
    fact = snapshot.facts.get("process.attestations")
    return {a.item: a for a in fact.value} if fact and fact.error is None else {}


def _valid(attestation: AttestationFact | None, today: str) -> bool:
    if attestation is None or attestation.verified is False or attestation.date > today:
        return False
    return attestation.expires is None or today <= attestation.expires
