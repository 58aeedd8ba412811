"""The report as renderers read it: findings typed, sections as they stand, and the questions every format asks.

A report may come from a file somebody edited. What is missing or null stays missing ("not measured"); what has the
wrong type is one error that names the field, before any renderer starts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from inferaudit.errors import SnapshotError
from inferaudit.escape import line
from inferaudit.model import Outcome, Phase, Report, Severity, Verdict
from inferaudit.units import format_duration, plain

NOT_MEASURED = "not measured"
NO_SCOPE = "This report does not say what it covers."
STATUS_WORDS = {
    "fail": "failed",
    "unknown": "unknown",
    "review": "awaits review",
    "waived": "waived",
    "pass": "passed",
    "not_applicable": "not applicable",
}
HEADLINES = {
    Verdict.GO: "It may go live.",
    Verdict.NO_GO: "It must not go live yet.",
    Verdict.INCOMPLETE: "Not enough was seen to say that it may go live.",
}


class Evidence(msgspec.Struct, frozen=True):
    """Where it was seen, what was there, what should have been."""

    path: str = ""
    observed: Any = None
    expected: Any = None


class Waiver(msgspec.Struct, frozen=True):
    """Who accepted a failure, why, and until when."""

    owner: str = ""
    reason: str = ""
    expires: str = ""


class Finding(msgspec.Struct, frozen=True):
    """One entry of ``findings[]``."""

    check: str
    outcome: Outcome
    severity: Severity
    title: str = ""
    group: str = "other"
    subject: str | None = None
    message: str = ""
    evidence: tuple[Evidence, ...] = ()
    remediation: str = ""
    references: tuple[str, ...] = ()
    waiver: Waiver | None = None
    cause: str | None = None
    fingerprint: str = ""
    phase: Phase = Phase.BEFORE
    due: bool = True
    gates: bool = False
    location: str | None = None

    @property
    def status(self) -> str:
        """The outcome, or ``waived``."""
        return "waived" if self.waiver else self.outcome.value


class Document(msgspec.Struct, frozen=True):
    """The whole report; sections other than the findings are plain mappings, empty where the report has null."""

    verdict: Verdict = Verdict.INCOMPLETE
    reasons: tuple[str, ...] = ()
    scope: tuple[str, ...] = ()
    phase: str | None = None
    fail_on: str | None = None
    interrupted: bool = False
    collected_at: str | None = None
    duration_s: float | None = None
    tool_version: str | None = None
    service: dict[str, Any] = {}
    policy: dict[str, Any] = {}
    digests: dict[str, str | None] = {}
    target: dict[str, Any] = {}
    coverage: dict[str, Any] = {}
    summary: dict[str, int] = {}
    findings: tuple[Finding, ...] = ()
    checklists: tuple[dict[str, Any], ...] = ()
    sla: dict[str, Any] = {}
    benchmark: dict[str, Any] = {}
    scorecard: dict[str, Any] = {}
    cost: dict[str, Any] = {}
    inventory: dict[str, Any] = {}
    advice: tuple[dict[str, Any], ...] = ()
    decisions: tuple[dict[str, Any], ...] = ()
    governance: dict[str, Any] = {}
    trends: dict[str, Any] = {}

    @property
    def scope_sentence(self) -> str:
        """What the verdict covers and what it does not: the first visible sentence of every format."""
        return self.reasons[0] if self.reasons else NO_SCOPE


def read(report: Report) -> Document:
    """The document of `report`; :class:`SnapshotError` names the first field that is not what the schema says."""
    data = {key: value for key, value in report.data.items() if value is not None}
    if isinstance(data.get("findings"), list | tuple):
        data["findings"] = [_without_nulls(f) for f in data["findings"]]
    try:
        return msgspec.convert(data, Document)
    except msgspec.ValidationError as error:
        raise SnapshotError(f"this is not a report of inferaudit: {error}") from error


def blockers(document: Document) -> tuple[Finding, ...]:
    """What keeps the verdict from GO, in the report's order."""
    return tuple(f for f in document.findings if f.gates)


def explained(document: Document) -> dict[str, tuple[Finding, ...]]:
    """Findings by the fingerprint of the one that explains them, chains followed to their end.

    A cause that is not in the report, and a circle, explain nothing: those findings stand by themselves.
    """
    by_print = {f.fingerprint: f for f in document.findings if f.fingerprint}
    roots: dict[str, list[Finding]] = {}
    for finding in document.findings:
        root = _root(finding, by_print)
        if root is not finding:
            roots.setdefault(root.fingerprint, []).append(finding)
    return {key: tuple(group) for key, group in roots.items()}


def standing(document: Document) -> tuple[Finding, ...]:
    """Findings that no other finding explains."""
    folded = {id(f) for group in explained(document).values() for f in group}
    return tuple(f for f in document.findings if id(f) not in folded)


def by_group(findings: Iterable[Finding]) -> dict[str, tuple[Finding, ...]]:
    """Findings by group, groups in alphabetical order, the report's order within."""
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.group, []).append(finding)
    return {name: tuple(groups[name]) for name in sorted(groups)}


def other_reasons(document: Document) -> tuple[str, ...]:
    """Reasons beyond the scope sentence that no blocker tells by itself."""
    own = blockers(document)
    return tuple(r for r in document.reasons[1:] if not any(f.check in r and f.message in r for f in own))


def blocking_sentence(document: Document) -> str:
    """How much blocks, in words; empty when nothing does."""
    counts = {
        "failure": sum(f.outcome is Outcome.FAIL for f in blockers(document)),
        "unknown": sum(f.outcome is Outcome.UNKNOWN for f in blockers(document)),
        "review": sum(f.outcome is Outcome.REVIEW for f in blockers(document)),
    }
    parts = [f"{n} {word}{'s' * (n != 1)}" for word, n in counts.items() if n]
    if not parts:
        return ""
    verb = "blocks" if sum(counts.values()) == 1 else "block"
    return f"{' and '.join(', '.join(parts).rsplit(', ', 1))} {verb} it."


def subject_line(document: Document) -> str:
    """What was audited, in one line."""
    target, service = document.target, document.service
    parts = [
        str(service.get("name") or ""),
        "/".join(str(target[k]) for k in ("context", "namespace", "workload") if target.get(k)),
        str(target.get("url") or ""),
        reach_words(target.get("reach")),
        str(target.get("model") or ""),
    ]
    return " · ".join(dict.fromkeys(p for p in parts if p)) or "no target was given"


def reach_words(reach: Any) -> str:
    """The way to the endpoint where its URL does not tell it: through a port-forward, and to which pod."""
    if not isinstance(reach, Mapping) or reach.get("how") != "port_forward":
        return ""
    service = f" of Service {reach.get('service')}" if reach.get("service") else ""
    return f"port-forward to pod {reach.get('pod')}, port {reach.get('pod_port')}{service}"


def value_text(value: Any) -> str:
    """An observed or expected value as text; null is ``none``."""
    if value is None:
        return "none"
    if isinstance(value, str):
        return value or '""'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int):
        return str(value) if abs(value) < 10**18 else f"{value:.6g}"
    if isinstance(value, Mapping) and value:
        return ", ".join(f"{key} {value_text(item)}" for key, item in value.items())
    return json.dumps(_rounded(value), ensure_ascii=False, default=str)


def evidence_text(evidence: Evidence) -> str:
    """``path: observed (expected …)``."""
    wanted = f" (expected {value_text(evidence.expected)})" if evidence.expected is not None else ""
    return f"{evidence.path}: {value_text(evidence.observed)}{wanted}"


def quantity(value: Any, unit: str | None) -> str:
    """A measured number with its unit, as a person reads it; null is "not measured"."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return NOT_MEASURED if value is None else value_text(value)
    match unit:
        case "ms":
            return f"{value:.0f} ms" if abs(value) >= 100 else f"{value:.3g} ms"
        case "ratio":
            return f"{value * 100:.6g} %" if value > 0.9 else f"{value * 100:.3g} %"
        case "s":
            return format_duration(value)
        case "1/s":
            return f"{plain(value, commas=True)}/s"
        case "usd":
            places = 2 if abs(value) >= 1 or not value else min(2 - math.floor(math.log10(abs(value))), 15)
            return f"${value:,.{places}f}"
        case None | "":
            return plain(value, 6, commas=True)
    return f"{plain(value, commas=True)} {unit}"


def interval_text(interval: Any, unit: str | None) -> str:
    """``lo – hi``, or an empty text where there is no interval."""
    if not isinstance(interval, Sequence) or isinstance(interval, str) or len(interval) != 2:
        return ""
    low, high = (quantity(v, unit) if v is not None else "∞" for v in interval)
    number, space, tail = high.partition(" ")
    return f"{low.removesuffix(space + tail) if tail else low} – {number}{space}{tail}"


def objectives(document: Document) -> tuple[tuple[Mapping[str, Any], ...], tuple[str, ...]]:
    """The SLA's rows that have a target or were measured, and the names of those with neither."""
    every = rows(document.sla.get("objectives"))
    kept = tuple(r for r in every if r.get("target") is not None or r.get("observed") is not None)
    return kept, tuple(line(str(r.get("dimension") or "–"), 60) for r in every if r not in kept)


_MEASURED_AT = {"load": "load test", "prometheus": "Prometheus", "label": "label of the workload"}


def measured_at(row: Mapping[str, Any]) -> str:
    """Where an objective was measured and over what window; a dash where it was not measured."""
    if row.get("observed") is None:
        return "–"
    where = _MEASURED_AT.get(str(row.get("source")), str(row.get("source") or "not stated"))
    return line(", ".join(filter(None, (where, str(row["window"]) if row.get("window") else ""))), 200)


def other_source(row: Mapping[str, Any]) -> str:
    """What the source that does not decide says of an objective, and over what window; a dash where it says nothing."""
    other = _other(row)
    if other.get("value") is None:
        return "–"
    where = measured_at({**other, "observed": other["value"]})
    said = f"{quantity(other['value'], row.get('unit'))} ({where})"
    return f"{said}, disagrees" if row.get("disagreement") else said


def why_not_other(row: Mapping[str, Any]) -> str:
    """Why the other source says nothing, or nothing that decides; empty where it does or there is none."""
    other = _other(row)
    if other.get("outcome") in (Outcome.PASS.value, Outcome.FAIL.value) or not other.get("reason"):
        return ""
    reason, where = str(other["reason"]), _MEASURED_AT.get(str(other.get("source")), "")
    return line(reason if where in reason or other.get("value") is not None else f"{where}: {reason}", 400)


def _other(row: Mapping[str, Any]) -> Mapping[str, Any]:
    found = [s for s in rows(row.get("sources")) if s.get("source") != row.get("source")]
    return found[0] if found else {}


def why_open(row: Mapping[str, Any]) -> str:
    """Why an objective is not met or not decided; empty for one that is met."""
    return line(str(row.get("message") or ""), 400) if row.get("outcome") != Outcome.PASS.value else ""


def error_budget(document: Document) -> str:
    """The error budget in one sentence; empty where availability has no objective."""
    budget = section(document.sla.get("error_budget"))
    if not budget:
        return ""
    allowed, spent, left = (quantity(budget.get(f"{key}_minutes"), "min") for key in ("allowed", "spent", "left"))
    return f"Error budget of {budget.get('window_days', 30)} days: {allowed} allowed, spent: {spent}, left: {left}."


def unread(document: Document) -> tuple[tuple[str, str, str], ...]:
    """(kind, reasons, remedy) of what could not be read, the refused and failed first, equal remedies together."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in (*rows(document.coverage.get("denied")), *rows(document.coverage.get("not_given"))):
        kind = line(str(row.get("kind") or "unread"), 60).replace("_", " ")
        reasons = found.setdefault((kind, line(str(row.get("remedy") or ""))), [])
        reasons.append(line(str(row.get("reason") or "no reason given")))
    return tuple((kind, _some(reasons), remedy) for (kind, remedy), reasons in found.items())


def rows(value: Any) -> tuple[Mapping[str, Any], ...]:
    """The mappings of a list; nothing for null or anything else."""
    return tuple(v for v in value if isinstance(v, Mapping)) if isinstance(value, list | tuple) else ()


def section(value: Any) -> Mapping[str, Any]:
    """A mapping as it is, empty for null or anything else."""
    return value if isinstance(value, Mapping) else {}


def split_location(location: str | None) -> tuple[str, int | None]:
    """Path and line of ``file:line``; an empty path when there is none."""
    text = line(location or "", 1000).removeprefix("./")
    path, colon, number = text.rpartition(":")
    if colon and number.isascii() and number.isdigit() and len(number) < 10 and int(number) > 0:
        return path, int(number)
    return text, None


def _rounded(value: Any) -> Any:
    """Floats as people read them, however deep they lie."""
    if isinstance(value, float) and math.isfinite(value):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {str(key): _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value


def _some(texts: Sequence[str], shown: int = 4) -> str:
    distinct = list(dict.fromkeys(texts))
    more = f"; and {len(distinct) - shown} more" if len(distinct) > shown else ""
    return "; ".join(distinct[:shown]) + more


def _root(finding: Finding, by_print: Mapping[str, Finding]) -> Finding:
    seen = {finding.fingerprint}
    root = finding
    while root.cause and root.cause in by_print:
        if root.cause in seen:
            return finding
        seen.add(root.cause)
        root = by_print[root.cause]
    return root


def _without_nulls(value: Any) -> Any:
    """A finding without its nulls, so that defaults apply; evidence keeps what it observed."""
    if not isinstance(value, Mapping):
        return value
    kept = {key: v for key, v in value.items() if v is not None}
    if isinstance(kept.get("evidence"), list | tuple):
        kept["evidence"] = [_without_nulls(e) for e in kept["evidence"]]
    if isinstance(kept.get("waiver"), Mapping):
        kept["waiver"] = _without_nulls(kept["waiver"])
    return kept
