"""SARIF 2.1.0, as code scanning services read it.

Kinds: fail, open (unknown), review, notApplicable, pass. The standard (section 3.27.10) gives a level to failures only:
error for critical and high, warning for medium, note for low; everything else is ``none``. A waived failure stays one,
with a suppression.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from inferaudit import escape
from inferaudit.model import Outcome, Report, Severity
from inferaudit.render._document import Document, Finding, evidence_text, read, split_location
from inferaudit.render._options import Options

SCHEMA_URI = "https://json.schemastore.org/sarif-2.1.0.json"
_KINDS = {
    Outcome.FAIL: "fail",
    Outcome.UNKNOWN: "open",
    Outcome.REVIEW: "review",
    Outcome.PASS: "pass",
    Outcome.NOT_APPLICABLE: "notApplicable",
}
_LEVELS = {Severity.CRITICAL: "error", Severity.HIGH: "error", Severity.MEDIUM: "warning", Severity.LOW: "note"}


def render(report: Report, *, options: Options) -> str:
    """One run with one result a finding; rules are the checks that said something."""
    document = read(report)
    return log(document, document.findings)


def log(document: Document, findings: Sequence[Finding], *, omitted: int | None = None) -> str:
    """A SARIF log of these findings; `omitted` says how many of the report's are not among them."""
    rules = _rules(findings)
    index = {rule["id"]: i for i, rule in enumerate(rules)}
    driver: dict[str, Any] = {"name": "inferaudit", "rules": rules}
    if document.tool_version:
        driver["version"] = _text(document.tool_version)
    run: dict[str, Any] = {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"inferaudit/{escape.line(str(document.service.get('name') or 'service'))}/"},
        "invocations": [_invocation(document)],
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding, index) for finding in findings],
        "properties": {
            "scope": _text(document.scope_sentence),
            "scopeWords": [_text(word) for word in document.scope],
            "verdict": document.verdict.value,
            "reasons": [_text(reason) for reason in document.reasons],
            "digests": {name: value for name, value in document.digests.items() if value},
        },
    }
    if omitted is not None:
        run["properties"]["omitted"] = omitted
    return json.dumps({"$schema": SCHEMA_URI, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _rules(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """One rule a check, by id; its level is the worst severity it was given."""
    worst: dict[str, Finding] = {}
    for finding in findings:
        first = worst.get(finding.check)
        if first is None or finding.severity.rank < first.severity.rank:
            worst[finding.check] = finding
    return [_rule(worst[check]) for check in sorted(worst)]


def _rule(finding: Finding) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "id": escape.line(finding.check),
        "name": "".join(part.capitalize() for part in re.findall(r"[A-Za-z0-9]+", finding.check)) or "Check",
        "shortDescription": {"text": _text(finding.title or finding.check)},
        "help": {"text": _text(finding.remediation or finding.title or finding.check)},
        "defaultConfiguration": {"level": _LEVELS[finding.severity]},
        "properties": {"tags": [escape.line(finding.group)], "severity": finding.severity.value},
    }
    link = next(filter(None, map(escape.web_link, finding.references)), None)
    if link:
        rule["helpUri"] = link
    return rule


def _result(finding: Finding, index: dict[str, int]) -> dict[str, Any]:
    rule_id = escape.line(finding.check)
    failed = finding.outcome is Outcome.FAIL
    result: dict[str, Any] = {
        "ruleId": rule_id,
        "ruleIndex": index[rule_id],
        "kind": _KINDS[finding.outcome],
        "level": _LEVELS[finding.severity] if failed else "none",
        "message": {"text": _text(_message(finding))},
        "locations": [_location(finding)],
        "properties": {
            "severity": finding.severity.value,
            "gates": finding.gates,
            "due": finding.due,
            "phase": finding.phase.value,
            "evidence": [_text(evidence_text(e)) for e in finding.evidence],
            "cause": finding.cause,
        },
    }
    if finding.fingerprint:
        result["partialFingerprints"] = {"inferaudit/v1": finding.fingerprint}
    if finding.waiver:
        why = f"{finding.waiver.owner} until {finding.waiver.expires}: {finding.waiver.reason}"
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": _text(why)}]
    return result


def _message(finding: Finding) -> str:
    seen = "; ".join(evidence_text(e) for e in finding.evidence[:5])
    subject = f"{finding.subject}: " if finding.subject else ""
    return f"{subject}{finding.message or finding.title or finding.check}{f' [{seen}]' if seen else ''}"


def _location(finding: Finding) -> dict[str, Any]:
    """The line of the manifest where there is one, always the object as a logical location."""
    name = escape.line(finding.subject or "audit")
    location: dict[str, Any] = {
        "logicalLocations": [{"fullyQualifiedName": name, "name": name.rpartition("/")[2] or name, "kind": "resource"}]
    }
    path, line = split_location(finding.location)
    if path:
        physical: dict[str, Any] = {"artifactLocation": {"uri": quote(path, safe="/-_.~+@=")}}
        if line:
            physical["region"] = {"startLine": line}
        location["physicalLocation"] = physical
    return location


def _invocation(document: Document) -> dict[str, Any]:
    invocation: dict[str, Any] = {"executionSuccessful": not document.interrupted}
    if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", document.collected_at or "", re.ASCII):
        invocation["endTimeUtc"] = document.collected_at
    return invocation


def _text(text: str) -> str:
    """Plain text: ``](`` would start an embedded link."""
    return escape.block(text).replace("](", "] (")
