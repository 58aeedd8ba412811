"""One row a finding, for spreadsheets and shell tools."""

from __future__ import annotations

import csv
import io

from inferaudit.escape import csv_cell
from inferaudit.model import Report
from inferaudit.render._document import Finding, evidence_text, read
from inferaudit.render._options import Options

COLUMNS = (
    "status", "severity", "gates", "check", "group", "subject", "message", "evidence", "remediation", "references",
    "phase", "due", "waiver_owner", "waiver_reason", "waiver_expires", "cause", "location", "fingerprint", "title",
)  # fmt: skip


def render(report: Report, *, options: Options) -> str:
    """RFC 4180 with a head line; no cell can be taken for a formula."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for finding in read(report).findings:
        writer.writerow([csv_cell(cell) for cell in _cells(finding)])
    return out.getvalue()


def _cells(finding: Finding) -> tuple[str, ...]:
    waiver = finding.waiver
    return (
        finding.status,
        finding.severity.value,
        "yes" if finding.gates else "no",
        finding.check,
        finding.group,
        finding.subject or "",
        finding.message,
        "\n".join(evidence_text(e) for e in finding.evidence),
        finding.remediation,
        "\n".join(finding.references),
        finding.phase.value,
        "yes" if finding.due else "no",
        waiver.owner if waiver else "",
        waiver.reason if waiver else "",
        waiver.expires if waiver else "",
        finding.cause or "",
        finding.location or "",
        finding.fingerprint,
        finding.title,
    )
