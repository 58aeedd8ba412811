"""Two reports compared: which findings are new, fixed, changed or out of sight, and what the performance did. Pure.

Findings are matched by fingerprint. A finding that is no longer there is fixed only where its check looked again and
said so: what was not looked at is out of sight, never fixed.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from inferaudit.errors import SnapshotError
from inferaudit.golden_diff import CHECK as GOLDEN
from inferaudit.golden_diff import GoldenDiff, compare_golden
from inferaudit.model import Outcome, Report, Severity
from inferaudit.performance_diff import TOLERANCE, Performance, compare_performance
from inferaudit.report_file import collected_at, dated_ahead

SCHEMA = "inferaudit.diff/v1"
FAIL_ON = ("new", "regression", "any")

Status = Literal["new", "changed", "fixed", "unseen", "unchanged"]
STATUSES: tuple[Status, ...] = ("new", "changed", "fixed", "unseen", "unchanged")
_OPEN = (Outcome.FAIL, Outcome.UNKNOWN, Outcome.REVIEW)
_TOLD = (Outcome.PASS, Outcome.FAIL)


class _Finding(msgspec.Struct, frozen=True):
    """The part of a report's finding that is compared."""

    fingerprint: str
    check: str
    outcome: Outcome
    severity: Severity
    title: str = ""
    subject: str | None = None
    message: str = ""
    remediation: str = ""
    waiver: dict[str, Any] | None = None
    cause: str | None = None
    gates: bool = False
    evidence: tuple[dict[str, Any], ...] = ()


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """What tells a report apart."""

    verdict: str
    collected_at: str
    tool_version: str
    snapshot: str | None
    policy: str | None
    catalog: str | None


class FindingChange(msgspec.Struct, frozen=True, kw_only=True):
    """One finding in both reports; `old` and `new` are its outcomes, null where it was not there.

    `broke` marks what fails now and did not fail before, waived and explained ones aside.
    """

    status: Status
    fingerprint: str
    check: str
    title: str
    severity: Severity
    subject: str | None
    old: Outcome | None
    new: Outcome | None
    message: str
    remediation: str
    broke: bool = False
    note: str = ""


class Diff(msgspec.Struct, frozen=True, kw_only=True):
    """The whole comparison; `findings` leaves out what was and is in order."""

    schema: str
    old: Side
    new: Side
    summary: dict[str, int]
    findings: tuple[FindingChange, ...]
    performance: Performance
    golden: GoldenDiff | None = None
    notes: tuple[str, ...] = ()


def compare(
    old: Report, new: Report, *, tolerance: float = TOLERANCE, seed: int = 0, now: dt.datetime | None = None
) -> Diff:
    """What changed from `old` to `new`; `tolerance` is a share of each figure. A report dated after `now` is noted.

    :class:`SnapshotError` for a damaged report.
    """
    try:
        after = _findings(new)
        before = _moved(_findings(old), after, _host(old.data), _host(new.data))
        performance = compare_performance(
            old.data.get("benchmark"), new.data.get("benchmark"), tolerance=tolerance, seed=seed
        )
        golden = compare_golden(*(_evidence(found, GOLDEN) for found in (before, after)))
        sides = _side(old.data), _side(new.data)
        dates = tuple(_date_notes(old, new, now))
    except (msgspec.ValidationError, TypeError) as error:
        raise SnapshotError(f"a report cannot be compared: {error}") from error
    changes = [_change(before.get(key), after.get(key), after) for key in {**after, **before}]
    shown = [change for change in changes if change is not None]
    summary = {str(status): sum(c.status == status for c in shown) for status in STATUSES}
    return Diff(
        schema=SCHEMA,
        old=sides[0],
        new=sides[1],
        summary=summary,
        findings=tuple(sorted(shown, key=_order)),
        performance=performance,
        golden=golden,
        notes=(*dates, *_notes(old.data, new.data)),
    )


def fails(diff: Diff, fail_on: str) -> bool:
    """True when what `fail_on` names happened: a failure that is new, a regression, or either (any).

    A regression is one of performance, or a golden answer that held before.
    """
    broke = any(change.broke for change in diff.findings)
    regressed = diff.performance.outcome == "worse" or (diff.golden is not None and diff.golden.outcome == "worse")
    return {"new": broke, "regression": regressed, "any": broke or regressed}[fail_on]


def _findings(report: Report) -> dict[str, _Finding]:
    return {f.fingerprint: f for f in msgspec.convert(list(report.data.get("findings") or ()), list[_Finding])}


def _evidence(findings: Mapping[str, _Finding], check: str) -> list[dict[str, Any]]:
    return [each for finding in findings.values() if finding.check == check for each in finding.evidence]


def _host(data: Mapping[str, Any]) -> str:
    """How findings name the endpoint of a report, or nothing where it had none."""
    try:
        parts = urlsplit(str((data.get("target") or {}).get("url") or ""))
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return ""
    return f"endpoint/{parts.hostname}:{port}" if parts.hostname else ""


def _moved(
    old: Mapping[str, _Finding], new: Mapping[str, _Finding], old_host: str, new_host: str
) -> dict[str, _Finding]:
    """The old findings, those of an endpoint that has another address now under their new fingerprints.

    A service is compared with itself across addresses (staging and production). Where a check said several things of
    the endpoint, the words tell them apart.
    """
    if not old_host or not new_host or old_host == new_host:
        return dict(old)
    arrived: dict[str, list[_Finding]] = defaultdict(list)
    for finding in new.values():
        if finding.subject == new_host and finding.fingerprint not in old:
            arrived[finding.check].append(finding)
    left: dict[str, list[_Finding]] = defaultdict(list)
    for finding in old.values():
        if finding.subject == old_host and finding.fingerprint not in new:
            left[finding.check].append(finding)
    moved = dict(old)
    for check, findings in left.items():
        for finding in findings:
            alone = len(findings) == len(arrived[check]) == 1
            found = next((f for f in arrived[check] if alone or f.message == finding.message), None)
            if found is not None:
                arrived[check].remove(found)
                del moved[finding.fingerprint]
                moved[found.fingerprint] = msgspec.structs.replace(
                    finding, fingerprint=found.fingerprint, subject=new_host
                )
    return moved


def _side(data: Mapping[str, Any]) -> Side:
    digests = data.get("digests") or {}
    return Side(
        verdict=str(data.get("verdict") or ""),
        collected_at=str(data.get("collected_at") or ""),
        tool_version=str(data.get("tool_version") or ""),
        snapshot=digests.get("snapshot"),
        policy=digests.get("policy"),
        catalog=digests.get("catalog"),
    )


def _change(old: _Finding | None, new: _Finding | None, after: Mapping[str, _Finding]) -> FindingChange | None:
    """One finding's change; None where it was not open in either report."""
    was_open = old is not None and old.outcome in _OPEN
    is_open = new is not None and new.outcome in _OPEN
    shown = new or old
    if shown is None or not (was_open or is_open):
        return None
    note = ""
    if old is not None and was_open and not is_open:
        status, note = _closed(old, new, after)
    elif not was_open:
        status = "new"
    else:
        status, note = _still_open(old, new)
    broke = (
        new is not None
        and new.outcome is Outcome.FAIL
        and (old is None or old.outcome is not Outcome.FAIL or old.waiver is not None)
        and new.waiver is None
        and new.cause is None
    )
    return FindingChange(
        status=status,
        fingerprint=shown.fingerprint,
        check=shown.check,
        title=shown.title,
        severity=shown.severity,
        subject=shown.subject,
        old=old.outcome if old else None,
        new=new.outcome if new else None,
        message=shown.message,
        remediation=shown.remediation,
        broke=broke,
        note=note,
    )


def _closed(old: _Finding, new: _Finding | None, after: Mapping[str, _Finding]) -> tuple[Status, str]:
    """Fixed when the check looked and found it in order, or found the subject gone; else out of sight."""
    if new is not None and new.outcome is Outcome.PASS:
        return "fixed", ""
    told = [f for f in after.values() if f.check == old.check and f.outcome in _TOLD]
    if any(f.subject == old.subject for f in told):
        return "fixed", ""
    if old.subject is None and told:
        return "fixed", "it could not be told before"
    blind = any(f.check == old.check and f.outcome in (Outcome.UNKNOWN, Outcome.REVIEW) for f in after.values())
    if told and not blind:
        return "fixed", "the subject is no longer there"
    if old.check.startswith("audit-"):
        return "fixed", ""  # the audit's findings about itself are there only while they hold
    why = new.message if new is not None else "its check could not tell" if blind else "its check did not look at it"
    return "unseen", why


def _still_open(old: _Finding | None, new: _Finding | None) -> tuple[Status, str]:
    """Changed, and in what: outcome, severity, waiver or what it says."""
    if old is None or new is None:  # open in both reports: it is in both
        return "changed", ""
    told = []
    if old.severity is not new.severity:
        told.append(f"{old.severity} before, {new.severity} now")
    if (old.waiver is None) != (new.waiver is None):
        told.append("waived now" if new.waiver else "its waiver is gone")
    changed = old.outcome is not new.outcome or old.message != new.message or told
    return ("changed", "; ".join((*told, new.message))) if changed else ("unchanged", "")


def _date_notes(old: Report, new: Report, now: dt.datetime | None) -> Iterator[str]:
    """Dates that cannot be right, or not in this order."""
    for name, report in (("old", old), ("new", new)):
        if ahead := dated_ahead(report, now):
            yield f"the {name} report is {ahead}, which is now: a clock was wrong"
    if dated_ahead(old, collected_at(new)):
        yield "the old report was collected after the new one: are they the wrong way round?"


def _notes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Sequence[str]:
    """What else differs between the two audits and may explain a difference."""
    notes = []
    for title, path in (("service", ("service", "name")), ("workload", ("target", "workload")),
                        ("URL", ("target", "url")), ("scope", ("scope",)), ("phase", ("phase",)),
                        ("model", ("target", "model")),
                        ("API", ("target", "api")), ("runtime", ("target", "runtime", "name")),
                        ("runtime version", ("target", "runtime", "version")),
                        ("GPUs", ("target", "gpus")), ("policy", ("digests", "policy")),
                        ("catalogue of checks", ("digests", "catalog"))):  # fmt: skip
        before, after = _at(old, path), _at(new, path)
        if title == "GPUs":
            before, after = _gpus(before), _gpus(after)
        if before == after:
            continue
        told = "" if title in ("policy", "catalogue of checks") else f": {_text(before)} before, {_text(after)} now"
        notes.append(f"another {title}{told}")
    return notes


def _at(data: Any, path: Sequence[str]) -> Any:
    for key in path:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data


def _gpus(gpus: Any) -> list[str]:
    return sorted(f"{g.get('count')}× {g.get('product')}" for g in gpus or () if isinstance(g, Mapping))


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, (list, tuple)) else str(value or "none")


def _order(change: FindingChange) -> tuple[Any, ...]:
    place = STATUSES.index(change.status)
    return place, not change.broke, change.severity.rank, change.check, change.subject or "", change.fingerprint
