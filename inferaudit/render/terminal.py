"""The report for a terminal: scope, verdict, what blocks it and how to mend it, what could not be seen, the rest.

Works at 40 columns, without colour and without Unicode; colour never carries what a word does not.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from inferaudit.escape import ascii_only, block, line
from inferaudit.model import Outcome, Report, Severity, Verdict
from inferaudit.render._advice import advice_rows
from inferaudit.render._budget import budget_rows, budget_summary
from inferaudit.render._costs import cost_figures, lever_rows, together
from inferaudit.render._document import (
    HEADLINES,
    STATUS_WORDS,
    Document,
    Finding,
    blockers,
    blocking_sentence,
    by_group,
    error_budget,
    evidence_text,
    explained,
    interval_text,
    measured_at,
    objectives,
    other_reasons,
    other_source,
    quantity,
    read,
    standing,
    subject_line,
    unread,
)
from inferaudit.render._figures import PERCENTILES, client_warning, latency_rows, rate_lines
from inferaudit.render._options import Options
from inferaudit.render._trends import KIND_FIGURES, kind_rows, trend_rows, trend_sentence

MIN_WIDTH = 20
# Written out at most: thousands take minutes to lay out, and nobody scrolls through them.
_MOST_BLOCKERS = 100
_MOST_OF_A_GROUP = 200
_VERDICTS = {
    Verdict.GO: ("GO", "bold white on green"),
    Verdict.NO_GO: ("NO GO", "bold white on red"),
    Verdict.INCOMPLETE: ("INCOMPLETE", "bold black on yellow"),
}
_SIGNS = {
    "fail": ("✗", "bold red"),
    "unknown": ("?", "bold yellow"),
    "review": ("◌", "bold magenta"),
    "waived": ("–", "cyan"),
    "pass": ("✓", "green"),
    "not_applicable": ("·", "dim"),
}
_SEVERITIES = {Severity.CRITICAL: "bold red", Severity.HIGH: "red", Severity.MEDIUM: "yellow", Severity.LOW: "blue"}


def render(report: Report, *, options: Options) -> str:
    """Text of `options.width` columns, ended by one newline; escape sequences only with `options.color`."""
    document = read(report)
    out = io.StringIO()
    console = Console(
        file=out,
        width=max(options.width, MIN_WIDTH),
        force_terminal=options.color,
        color_system="standard" if options.color else None,
        no_color=not options.color,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
        _environ={},  # the width and the colours are the caller's to say, never the environment's
    )
    for part in _parts(document, console.width):
        console.print(part, soft_wrap=False)
    text = "\n".join(shown.rstrip() for shown in out.getvalue().split("\n")).rstrip("\n") + "\n"
    return text if options.unicode else _plain(text)


def _plain(text: str) -> str:
    """ASCII; the escape sequences of our own colours are ASCII already."""
    return ascii_only(text)


def _parts(document: Document, width: int) -> Iterable[RenderableType]:
    yield Text(line(document.scope_sentence))
    yield Text()
    yield _verdict(document)
    yield Text(line(subject_line(document)), style="dim")
    yield Text(_counts(document), style="dim")
    if document.interrupted:
        yield Text("The audit was interrupted; what was collected until then is judged.", style="bold yellow")
    yield from (_bullet(line(reason), "·", "dim") for reason in other_reasons(document))
    folded = explained(document)
    blocking = blockers(document)
    if blocking:
        yield _title("What blocks it")
        yield from (_blocker(f, folded.get(f.fingerprint, ())) for f in blocking[:_MOST_BLOCKERS])
        yield from _left_out(len(blocking) - _MOST_BLOCKERS, "more block it")
    yield _title("What could not be seen")
    yield from _coverage(document)
    yield _title("Service levels")
    yield _sla(document, width)
    if budget := error_budget(document):
        yield Text(budget, style="dim")
    if document.benchmark:
        yield _title("Measured load")
        yield from _load(document)
    if cost_figures(document):
        yield _title("Cost")
        yield from _cost(document)
    if document.trends:
        yield _title("Trend")
        yield Text(trend_sentence(document), style="dim")
        signs = {"worse": _SIGNS["fail"], "unknown": _SIGNS["unknown"]}
        yield from (
            _bullet(f"{row.title} {row.direction}: {row.moved}", *signs.get(row.direction, _SIGNS["pass"]))
            for row in trend_rows(document)
        )
        kinds = kind_rows(document)
        for kind in kinds if len(kinds) > 1 else ():
            figures = ", ".join(
                cell if name == "tokens/s" else f"{name} {cell}"
                for name, cell in zip(KIND_FIGURES, kind.cells, strict=True)
            )
            yield _bullet(f"{kind.model}, {kind.gpus}, {kind.load}, {kind.runs} runs: {figures}", "·", "dim")
    changes = [row for row in advice_rows(document) if row.status == "change"]
    if changes:
        yield _title("Advice")
        yield from (_bullet(f"{row.title} {row.text}", "→", "bold green") for row in changes)
    rest = [f for f in standing(document) if not f.gates]
    if rest:
        yield _title("Everything else" if blocking else "What was checked")
        for group, findings in by_group(rest).items():
            yield from _group(group, findings, folded)


def _title(text: str) -> RenderableType:
    return Group(Text(), Text(text, style="bold underline"))


def _verdict(document: Document) -> Text:
    word, style = _VERDICTS[document.verdict]
    return Text.assemble((f" {word} ", style), f" {HEADLINES[document.verdict]} {blocking_sentence(document)}".rstrip())


def _counts(document: Document) -> str:
    counts = [f"{document.summary[k]} {word}" for k, word in STATUS_WORDS.items() if document.summary.get(k)]
    return ", ".join(counts) or "no findings"


def _bullet(body: str | Text, sign: str, style: str, indent: int = 0) -> RenderableType:
    """A sign and text with a hanging indent."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(sign, style=style), body if isinstance(body, Text) else Text(body))
    return Padding(grid, (0, 0, 0, indent))


def _name(finding: Finding) -> Text:
    name = Text(line(finding.check), style="bold")
    if finding.subject:
        name.append(f"  {line(finding.subject)}", style="not bold cyan")
    return name


def _blocker(finding: Finding, explains: Sequence[Finding]) -> RenderableType:
    sign, style = _SIGNS[finding.status]
    head = Text.assemble((f"{finding.severity.upper()} ", _SEVERITIES[finding.severity]), _name(finding))
    parts: list[RenderableType] = [
        Text(),
        _bullet(head, sign, style),
        _indented(line(finding.message or finding.title, 1000)),
    ]
    parts += [_bullet(line(evidence_text(e)), "│", "dim", 2) for e in finding.evidence[:12]]
    if len(finding.evidence) > 12:
        parts.append(_indented(f"and {len(finding.evidence) - 12} more pieces of evidence", "dim"))
    if finding.location:
        parts.append(_indented(f"at {line(finding.location)}", "dim"))
    if finding.remediation:
        parts.append(_bullet(block(finding.remediation), "→", "bold green", 2))
    if explains:
        names = list(dict.fromkeys(line(f.check) for f in explains))
        more = f" and {len(names) - 8} more checks" if len(names) > 8 else ""
        parts.append(_indented(f"└ explains {len(explains)} more: {', '.join(names[:8])}{more}", "dim"))
    return Group(*parts)


def _indented(text: str, style: str = "") -> RenderableType:
    return Padding(Text(text, style=style, overflow="fold"), (0, 0, 0, 2))


def _coverage(document: Document) -> Iterable[RenderableType]:
    examined, unknown = document.coverage.get("examined"), document.coverage.get("unknown")
    if isinstance(examined, int) and isinstance(unknown, int):
        yield Text(f"{examined} check{'s' * (examined != 1)} could tell, {unknown} could not.")
    else:
        yield Text("The report does not say how much was examined.")
    found = unread(document)
    for kind, reasons, remedy in found[:30]:
        yield _bullet(f"{kind}: {reasons}{f' → {remedy}' if remedy else ''}", "?", "bold yellow")
    if len(found) > 30:
        yield Text(f"and {len(found) - 30} more, in the JSON report", style="dim")


def _sla(document: Document, width: int) -> RenderableType:
    measured, without = objectives(document)
    note = Text(f"no target: {', '.join(without)}; --slo or the policy's slo: gives one", style="dim")
    if not measured:
        return note if without else Text("No objective has a target; --slo or the policy's slo: gives them.")
    if width < 80:
        lines = [_bullet(_objective(r), *_SIGNS.get(str(r.get("outcome")), _SIGNS["unknown"])) for r in measured]
        return Group(*lines, *[note] * bool(without))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("")
    table.add_column("objective", overflow="fold")
    for head in ("target", "measured", "interval", "samples"):
        table.add_column(head, justify="right", overflow="fold")
    table.add_column("where, window", overflow="fold")
    other = {str(row.get("dimension") or "–"): said for row in measured if (said := other_source(row)) != "–"}
    beside = bool(other) and width >= 120
    if beside:
        table.add_column("other source", overflow="fold")
    table.add_column("if broken", overflow="fold")
    for row in measured:
        unit = row.get("unit")
        sign, style = _SIGNS.get(str(row.get("outcome")), _SIGNS["unknown"])
        cells = (
            str(row.get("dimension") or "–"),
            quantity(row["target"], unit) if row.get("target") is not None else "no target",
            quantity(row.get("observed"), unit),
            interval_text(row.get("interval"), unit) or "–",
            str(row["samples"]) if row.get("samples") is not None else "–",
            measured_at(row),
            *([other_source(row)] if beside else []),
            str(row.get("consequence") or "–"),
        )
        table.add_row(Text(sign, style=style), *(Text(line(cell)) for cell in cells))
    beneath = Text(line(f"other source: {'; '.join(map(' '.join, other.items()))}", 1000))
    return Group(table, *[beneath] * (bool(other) and not beside), *[note] * bool(without))


def _load(document: Document) -> Iterable[RenderableType]:
    warning = client_warning(document)
    if warning:
        yield _bullet(warning, "?", "bold yellow")
    for row in latency_rows(document):
        shown = ", ".join(f"{name} {cell}" for name, cell in zip(PERCENTILES, row.cells, strict=True) if cell != "–")
        yield Text.assemble((f"{row.name}  ", "bold"), f"{shown} ({row.count} samples)")
    yield from (Text.assemble((f"{label}  ", "bold"), text) for label, text in rate_lines(document))
    budget = budget_rows(document)
    if budget:
        known = ", ".join(f"{row.name} {row.mean}" for row in budget if row.known)
        yield Text.assemble(("where the time goes  ", "bold"), known)
        if lost := ", ".join(row.name for row in budget if not row.known):
            yield Text.assemble(("  not known  ", "dim"), lost)
        yield Text(budget_summary(document), style="dim")


def _cost(document: Document) -> Iterable[RenderableType]:
    yield from (Text.assemble((f"{label}  ", "bold"), amount) for label, amount in cost_figures(document))
    known = [row for row in lever_rows(document) if row.known and row.counted]
    yield from (_bullet(f"{row.title} saves {row.saving}: {row.arithmetic}", "→", "bold green") for row in known)
    if said := together(document):
        yield Text(said, style="dim")


def _objective(row: Mapping[str, Any]) -> str:
    unit = row.get("unit")
    target = f"target {quantity(row['target'], unit)}" if row.get("target") is not None else "no target"
    beside = f"; {other_source(row)}" if other_source(row) != "–" else ""
    return line(f"{row.get('dimension') or '–'}: {quantity(row.get('observed'), unit)} ({target}){beside}")


def _group(group: str, findings: Sequence[Finding], folded: dict[str, tuple[Finding, ...]]) -> Iterable[RenderableType]:
    counts = [f"{n} {word}" for s, word in STATUS_WORDS.items() if (n := sum(f.status == s for f in findings))]
    yield Group(Text(), Text.assemble((line(group), "bold"), (f"  {', '.join(counts)}", "dim")))
    order = list(STATUS_WORDS)
    said = [f for f in findings if f.outcome is not Outcome.NOT_APPLICABLE]
    for finding in sorted(said, key=lambda f: order.index(f.status))[:_MOST_OF_A_GROUP]:
        yield _one_line(finding, len(folded.get(finding.fingerprint, ())))
    yield from _left_out(len(said) - _MOST_OF_A_GROUP, "more")


def _left_out(count: int, what: str) -> Iterable[RenderableType]:
    if count > 0:
        yield Group(Text(), Text(f"{count} {what}; they are in the JSON report", style="dim"))


def _one_line(finding: Finding, explains: int) -> RenderableType:
    sign, style = _SIGNS[finding.status]
    text = _name(finding)
    notes = [line(finding.message or finding.title)]
    if finding.status == "fail":
        notes.insert(0, f"({finding.severity})")
    if finding.waiver:
        waiver = finding.waiver
        notes.append(f"(waived by {line(waiver.owner)} until {line(waiver.expires)}: {line(waiver.reason)})")
    if not finding.due:
        notes.append("(not due yet)")
    if explains:
        notes.append(f"(explains {explains} more)")
    text.append(f"  {' '.join(notes)}", style="not bold")
    return _bullet(text, sign, style)
