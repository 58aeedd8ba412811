"""What people promised and no longer holds: waivers that are over, attestations that settle nothing. Pure.

They judge findings and not facts, so no check can: :mod:`inferaudit.evaluate` asks for them after all checks spoke.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence

from inferaudit.api import Evidence, Judgement, failed
from inferaudit.checklist_rows import idle_attestations
from inferaudit.checklists import Checklist
from inferaudit.model import Finding, Snapshot, Waiver


def waiver_judgements(
    waivers: Sequence[Waiver], used: Collection[Waiver], looked: Collection[str], today: str
) -> Iterator[Judgement]:
    """Waivers past their day, and those that match no failure of a check within the scope (`looked`)."""
    for waiver in waivers:
        subject = f"waiver/{waiver.check}{f'/{waiver.subject}' if waiver.subject else ''}"
        if today > waiver.expires:
            days = (dt.date.fromisoformat(today) - dt.date.fromisoformat(waiver.expires)).days
            text = f"the waiver of {waiver.owner} expired {days} day{'s' * (days != 1)} ago and covers nothing any more"
            seen = Evidence("waivers.expires", waiver.expires, f">= {today}")
            yield failed(subject, text, seen, key=f"expired|{waiver.reason}")
        elif waiver not in used and waiver.check in looked:
            text = f"the waiver of {waiver.owner} matches no failure; remove it"
            yield failed(subject, text, key=f"unused|{waiver.reason}")


def attestation_judgements(
    snapshot: Snapshot, checklists: Mapping[str, Checklist], findings: Sequence[Finding]
) -> Iterator[Judgement]:
    """Attestations of which a check saw the opposite, and those that nothing needs."""
    fact = snapshot.facts.get("process.attestations")
    if fact is None or fact.error is not None:
        return
    for idle in idle_attestations(fact.value, checklists.values(), findings):
        a = idle.attestation
        seen = [Evidence(f"{f.check} {f.subject or ''}".strip(), f.message, "no failure") for f in idle.against[:5]]
        text = f"the attestation of {a.owner}: {idle.why}"
        key = f"{a.owner}|{a.evidence}|{a.date}|{a.expires}"
        cause = (idle.against[0].check, idle.against[0].subject) if idle.against else None
        yield failed(f"attestation/{a.item}", text, *seen, key=key, cause=cause)
