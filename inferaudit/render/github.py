"""GitHub workflow commands: an annotation for everything that blocks, and for failures below the gate.

The runner shows them in the run and, where a finding has a manifest line, in the pull request's diff. It shows at most
ten of each level a step, so what blocks comes first.
"""

from __future__ import annotations

from inferaudit.escape import github_message, github_property
from inferaudit.model import Outcome, Report, Severity, Verdict
from inferaudit.render._document import (
    HEADLINES,
    Document,
    Finding,
    blocking_sentence,
    evidence_text,
    read,
    split_location,
    standing,
)
from inferaudit.render._options import Options

_VERDICTS = {Verdict.GO: "notice", Verdict.NO_GO: "error", Verdict.INCOMPLETE: "error"}


def render(report: Report, *, options: Options) -> str:
    """One command a line, the verdict first."""
    document = read(report)
    told = [f for f in standing(document) if f.status in ("fail", "unknown", "review") and (f.gates or f.due)]
    ordered = sorted(told, key=lambda f: not f.gates)
    return "\n".join([_verdict(document), *(_annotation(f) for f in ordered)]) + "\n"


def _verdict(document: Document) -> str:
    said = f"{document.scope_sentence} {HEADLINES[document.verdict]} {blocking_sentence(document)}".strip()
    title = f"inferaudit: {document.verdict.value.replace('_', ' ')}"
    return f"::{_VERDICTS[document.verdict]} title={github_property(title)}::{github_message(said)}"


def _annotation(finding: Finding) -> str:
    path, number = split_location(finding.location)
    properties = [
        f"file={github_property(path)}" if path else "",
        f"line={number}" if path and number else "",
        f"title={github_property(f'{finding.check} ({finding.severity})')}",
    ]
    seen = [evidence_text(e) for e in finding.evidence[:5]]
    subject = f"{finding.subject}: " if finding.subject else ""
    text = "\n".join(filter(None, (f"{subject}{finding.message or finding.title}", *seen, finding.remediation)))
    return f"::{_level(finding)} {','.join(filter(None, properties))}::{github_message(text)}"


def _level(finding: Finding) -> str:
    if finding.gates:
        return "error"
    known = finding.outcome is Outcome.FAIL
    return "warning" if known and finding.severity is not Severity.LOW else "notice"
