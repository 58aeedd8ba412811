"""JUnit XML, as CI systems read it: one suite a group, one case a finding.

fail → failure; unknown and review → error; not applicable and waived → skipped. Attributes and order follow the schema
of the Ant JUnit task (``JUnit.xsd``), the strictest in use.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET  # written here, never parsed
from collections.abc import Sequence

from inferaudit import escape
from inferaudit.model import Report
from inferaudit.render._document import Document, Finding, by_group, evidence_text, read
from inferaudit.render._options import Options

_ELEMENTS = {"fail": "failure", "unknown": "error", "review": "error", "not_applicable": "skipped", "waived": "skipped"}


def render(report: Report, *, options: Options) -> str:
    """A ``testsuites`` document; the scope sentence is a property of every suite."""
    document = read(report)
    root = ET.Element("testsuites")
    for index, (group, findings) in enumerate(by_group(document.findings).items()):
        root.append(_suite(document, index, group, findings))
    if not len(root):
        root.append(_suite(document, 0, "audit", ()))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(document: Document, index: int, group: str, findings: Sequence[Finding]) -> ET.Element:
    kinds = [_ELEMENTS.get(f.status) for f in findings]
    suite = ET.Element(
        "testsuite",
        {
            "name": _token(f"inferaudit.{group}"),
            "package": _token(f"inferaudit.{group}"),
            "id": str(index),
            "hostname": _token(str(document.target.get("context") or "localhost")),
            "timestamp": _timestamp(document.collected_at),
            "tests": str(len(findings)),
            "failures": str(kinds.count("failure")),
            "errors": str(kinds.count("error")),
            "skipped": str(kinds.count("skipped")),
            "time": "0",
        },
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(document):
        ET.SubElement(properties, "property", {"name": name, "value": escape.xml(value)})
    for finding in findings:
        suite.append(_case(finding))
    ET.SubElement(suite, "system-out")
    ET.SubElement(suite, "system-err")
    return suite


def _properties(document: Document) -> list[tuple[str, str]]:
    return [
        ("scope", document.scope_sentence),
        ("verdict", document.verdict.value),
        *((f"digest.{name}", value) for name, value in document.digests.items() if value),
    ]


def _case(finding: Finding) -> ET.Element:
    name = f"{finding.check} [{finding.subject}]" if finding.subject else finding.check
    case = ET.Element(
        "testcase", {"classname": _token(f"inferaudit.{finding.group}"), "name": _token(name), "time": "0"}
    )
    kind = _ELEMENTS.get(finding.status)
    if kind:
        details = ET.SubElement(case, kind, {"message": escape.xml(_message(finding))})
        if kind != "skipped":
            details.set("type", f"{finding.severity}.{finding.outcome}")
            details.text = escape.xml(_details(finding))
    return case


def _message(finding: Finding) -> str:
    if finding.waiver:
        waiver = finding.waiver
        return f"waived by {waiver.owner} until {waiver.expires}: {waiver.reason} ({finding.message})"
    return finding.message or finding.title


def _details(finding: Finding) -> str:
    seen = [evidence_text(e) for e in finding.evidence]
    remedy = f"Remedy: {finding.remediation}" if finding.remediation else ""
    facts = [
        f"severity {finding.severity}, {'gates' if finding.gates else 'does not gate'}",
        f"explained by finding {finding.cause}" if finding.cause else "",
        f"at {finding.location}" if finding.location else "",
        *finding.references,
        f"fingerprint {finding.fingerprint}",
    ]
    paragraphs = (finding.title, "\n".join(seen), remedy, "\n".join(filter(None, facts)))
    return "\n\n".join(filter(None, paragraphs))


def _token(text: str) -> str:
    """An ``xs:token``: one line, single spaces, never empty."""
    return escape.line(text) or "-"


def _timestamp(collected_at: str | None) -> str:
    """The schema's pattern has no zone; ours is UTC. Without a time: the epoch, which nobody takes for one."""
    match = re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}", collected_at or "")
    return match[0] if match else "1970-01-01T00:00:00"
