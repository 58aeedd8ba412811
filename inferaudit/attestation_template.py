"""The attestations that a report still asks for, as YAML to fill in. Pure.

Evidence is left empty on purpose: the policy refuses an empty one and names its line, so that no row is settled by a
template that nobody filled in.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from inferaudit.checklists import PRIORITIES
from inferaudit.escape import line
from inferaudit.model import Outcome, Phase, Report

VALID_DAYS = 180
_OPEN = (Outcome.UNKNOWN, Outcome.REVIEW)

_HEAD = """\
# What a person can settle and no check could, by the audit of {date}{service}.
# Look at each row, fill in `evidence` (a link, a file beside the policy, or a ticket) and `owner`, delete the rows that
# you cannot answer for, and give the file with --attestations, or move the rest under `attestations:` of the policy. A
# failed row is settled by mending it.
"""


def attestation_template(report: Report, *, valid_days: int = VALID_DAYS) -> str:
    """YAML of every open row that an attestation settles, the due and the urgent first; valid from the audit's day."""
    data = report.data
    phase = Phase(data.get("phase") or Phase.BEFORE)
    owner = str((data.get("service") or {}).get("owner") or "")
    date = str(data.get("collected_at") or "")[:10]
    rows = sorted(open_rows(data.get("checklists") or ()), key=lambda row: (not _due(row, phase), _urgency(row)))
    name = str((data.get("service") or {}).get("name") or "")
    head = _HEAD.format(date=line(date), service=f" of {line(name)}" if name else "")
    if not rows:
        return f"{head}# No row waits for an attestation.\nattestations: []\n"
    lines = ["attestations:"]
    later = False
    for row in rows:
        if not _due(row, phase) and not later:
            later = True
            lines.append("  # Not due yet:")
        lines += _entry(row, owner, date, valid_days)
    return head + "\n".join(lines) + "\n"


def open_rows(checklists: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Rows that an attestation settles and none does yet; each once, under the list it comes from."""
    rows: dict[str, Mapping[str, Any]] = {}
    for checklist in checklists:
        for item in checklist["items"]:
            takes = item.get("ask") is not None and not item.get("origins")
            if takes and item["status"] in _OPEN and not (item.get("attestation") or {}).get("valid"):
                rows.setdefault(item["id"], item)
    return list(rows.values())


def _due(row: Mapping[str, Any], phase: Phase) -> bool:
    return Phase(row["phase"]).due_in(phase)


def _urgency(row: Mapping[str, Any]) -> int:
    return PRIORITIES.index(row["priority"]) if row.get("priority") in PRIORITIES else len(PRIORITIES)


def _entry(row: Mapping[str, Any], owner: str, date: str, valid_days: int) -> Iterator[str]:
    yield ""
    words = (line(str(row.get(key) or ""), 500) for key in ("title", "priority", "phase"))
    yield "  # {} ({}, {})".format(*words)
    yield f"  # {line(str(row['status']))}: {line(str(row.get('message') or ''))}"
    if row.get("ask"):
        yield f"  # Evidence: {line(str(row['ask']), 1000)}"
    previous = row.get("attestation") or {}
    if previous:
        yield f"  # The attestation of {line(str(previous.get('owner') or ''))} does not count: {_why(previous, date)}"
    yield f"  - item: {_quoted(row['id'])}"
    yield '    evidence: ""'
    yield f"    owner: {_quoted(owner)}"
    yield f"    date: {_quoted(date)}"
    yield f"    expires: {_quoted(_later(date, valid_days))}"


def _why(attestation: Mapping[str, Any], today: str) -> str:
    expires = attestation.get("expires")
    if str(attestation.get("date") or "") > today:
        return "it is dated ahead"
    if expires and str(expires) < today:
        return f"it expired on {line(str(expires))}"
    return line(str(attestation.get("detail") or "its evidence is not there"))


def _later(date: str, days: int) -> str:
    try:
        return (dt.date.fromisoformat(date) + dt.timedelta(days=days)).isoformat()
    except ValueError:
        return ""


def _quoted(value: Any) -> str:
    # Double quotes and ASCII alone: escapes keep hostile text on its line.
    return str(yaml.safe_dump(str(value), default_style='"', allow_unicode=False, width=1 << 30)).strip()
