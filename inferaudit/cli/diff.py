"""``inferaudit diff``: what changed between two reports."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inferaudit.cli import options as o

if TYPE_CHECKING:
    from inferaudit.performance_diff import Measured
    from inferaudit.report_diff import Diff

app = typer.Typer(add_completion=False)


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(help="JSON report of before, from -o json=FILE of run, evaluate or bench.")],
    new: Annotated[Path, typer.Argument(help="JSON report of now.")],
    fail_on: Annotated[
        str | None,
        typer.Option(
            "--fail-on",
            help="Exit 1 on new (a failure that was none), regression (performance, golden answers) or any (either).",
            rich_help_panel=o.JUDGE,
        ),
    ] = None,
    tolerance: Annotated[
        str, typer.Option("--tolerance", help="Change of a figure that does not count.", rich_help_panel=o.JUDGE)
    ] = "5%",
    output: Annotated[
        list[str] | None,
        typer.Option("-o", "--output", help="terminal, markdown or json, each [=PATH].", rich_help_panel=o.OUTPUT),
    ] = None,
) -> None:
    """Compare two reports: new, fixed and changed findings, and performance with its confidence.

    Two of `inferaudit bench`, or one beside a report, are compared in performance alone.

    Example: inferaudit diff main.json branch.json --fail-on new -o markdown=comment.md
    """
    from inferaudit.errors import UsageError
    from inferaudit.report_diff import FAIL_ON, compare, fails
    from inferaudit.report_file import load_report
    from inferaudit.units import parse_ratio

    if fail_on is not None and fail_on not in FAIL_ON:
        raise UsageError(f"--fail-on {fail_on!r}: diff takes {', '.join(FAIL_ON)}")
    outputs = _outputs(output)
    before, after = load_report(old, or_bench=True), load_report(new, or_bench=True)
    if "verdict" not in before.data or "verdict" not in after.data:
        # A load test has no findings: those of a report beside it are neither new nor fixed.
        before, after = (
            replace(side, data={"findings": [], "benchmark": side.data.get("benchmark")}) for side in (before, after)
        )
        if fail_on in ("new", "any"):
            raise UsageError(
                f"--fail-on {fail_on} needs the findings of two audits; of load tests: --fail-on regression"
            )
    found = compare(before, after, tolerance=parse_ratio(tolerance), now=dt.datetime.now(dt.UTC))
    _deliver(found, outputs)
    if fail_on is not None and fails(found, fail_on):
        raise typer.Exit(1)


def _outputs(values: Sequence[str] | None) -> list[tuple[str, Path | None]]:
    from inferaudit.errors import UsageError

    outputs: list[tuple[str, Path | None]] = []
    for value in values or ("terminal",):
        name, equals, path = value.partition("=")
        if name not in ("terminal", "markdown", "json") or (equals and not path):
            raise UsageError(f"-o {value!r}: terminal, markdown or json, each with =PATH where wanted")
        outputs.append((name, Path(path) if path and path != "-" else None))
    if sum(path is None for _, path in outputs) > 1:
        raise UsageError("two outputs on stdout; give all but one a path")
    return outputs


def _deliver(found: Diff, outputs: Sequence[tuple[str, Path | None]]) -> None:
    import msgspec

    from inferaudit.cli.outputs import print_text, write_text

    for name, path in outputs:
        if name == "json":
            text = msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n"
        else:
            text = "\n".join(_markdown(found) if name == "markdown" else _terminal(found)) + "\n"
        if path is None:
            print_text(text, people=name == "terminal")
        else:
            write_text(path, text)


def _audits(found: Diff) -> bool:
    """Two audits? A load test has no verdict."""
    return bool(found.old.verdict and found.new.verdict)


def _counts(found: Diff) -> str:
    return ", ".join(f"{count} {status}" for status, count in found.summary.items())


def _terminal(found: Diff) -> Iterator[str]:
    from inferaudit.escape import line

    if _audits(found):
        yield line(f"{found.old.verdict} ({found.old.collected_at}) → {found.new.verdict} ({found.new.collected_at})")
        yield f"Findings: {_counts(found)}."
    for change in found.findings:
        if change.status == "unchanged":
            continue
        subject = f"{change.subject}: " if change.subject else ""
        text = line(f"({change.severity}) {change.check}  {subject}{change.note or change.message}")
        yield f"  {change.status:<8} {_path(change.old, change.new)} {text}"
    yield line(f"Performance: {found.performance.outcome}; {found.performance.reason}.")
    for measured in found.performance.changes:
        yield f"  {measured.change:<9} {line(measured.stage)} {measured.metric}: {_figures(measured)}"
    for reason in found.performance.not_compared:
        yield f"  not compared: {line(reason)}"
    for place, text in enumerate(_golden(found)):
        yield f"{'  ' if place else ''}{line(text)}"
    for note in found.notes:
        yield line(f"Note: {note}.")


def _markdown(found: Diff) -> Iterator[str]:
    from inferaudit.escape import markdown, markdown_code

    if _audits(found):
        yield f"## {markdown(found.old.verdict)} → {markdown(found.new.verdict)}\n"
        yield f"Findings: {_counts(found)}.\n"
    rows = [c for c in found.findings if c.status != "unchanged"]
    if rows:
        yield "| | outcome | severity | check | subject | |"
        yield "|---|---|---|---|---|---|"
        for c in rows[:200]:
            text = markdown(c.note or c.message, 300)
            subject = markdown_code(c.subject or "", 200)
            cells = (c.status, _path(c.old, c.new), c.severity, markdown_code(c.check), subject, text)
            yield f"| {' | '.join(cells)} |"
        if len(rows) > 200:
            yield f"\n{len(rows) - 200} more are in the JSON."
        yield ""
    yield f"Performance: **{found.performance.outcome}**; {markdown(found.performance.reason)}.\n"
    if found.performance.changes:
        yield "| | stage | figure | before → after, with the interval of the change |"
        yield "|---|---|---|---|"
        for m in found.performance.changes:
            yield f"| {m.change} | {markdown(m.stage)} | {markdown(m.metric)} | {markdown(_figures(m))} |"
        yield ""
    for text in _golden(found):
        yield f"{markdown(text, 1000)}\n"
    for note in (*(f"not compared: {reason}" for reason in found.performance.not_compared), *found.notes):
        yield f"- {markdown(note)}"


def _golden(found: Diff) -> Iterator[str]:
    """What became of the golden requests; nothing where no report has any."""
    golden = found.golden
    if golden is None:
        return
    scores = [f"{s:.1%}" if s is not None else "none" for s in (golden.old_score, golden.new_score)]
    yield f"Golden requests: {golden.outcome}; {golden.reason}; score {scores[0]} → {scores[1]}."
    for title, names in (("lost", golden.lost), ("won", golden.won), ("not answered now", golden.unanswered)):
        if names:
            more = f" and {len(names) - 20} more" if len(names) > 20 else ""
            yield f"{title}: {', '.join(names[:20])}{more}"


def _path(old: str | None, new: str | None) -> str:
    return f"{old or 'absent'} → {new or 'absent'}".replace("_", " ")


def _figures(measured: Measured) -> str:
    from inferaudit.units import amount

    def number(value: float | None) -> str:
        return "not measured" if value is None else amount(value, measured.unit)

    text = f"{number(measured.before)} → {number(measured.after)}"
    if measured.low is not None and measured.high is not None:
        text += f" (change {number(measured.low)} to {number(measured.high)})"
    return f"{text}; {measured.reason}" if measured.reason else text
