"""Markdown for a pull request: the verdict and what blocks it in sight, the rest folded. Always below 60 kB.

A forge refuses a comment over 65 536 characters, so details are left out from the end, and the text says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from inferaudit.escape import line, markdown, markdown_block, markdown_code, web_link
from inferaudit.model import Outcome, Report, Verdict
from inferaudit.render._advice import advice_rows, decision_rows
from inferaudit.render._budget import budget_rows, budget_summary
from inferaudit.render._costs import cost_figures, cost_inputs, hosted_prices, lever_rows, together
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
from inferaudit.render._score import layer_rows, maturity_lacks, maturity_line, score_line
from inferaudit.render._trends import KIND_FIGURES, kind_rows, trend_rows, trend_sentence

LIMIT_BYTES = 60_000
_BADGES = {Verdict.GO: "🟢 **GO**", Verdict.NO_GO: "🔴 **NO GO**", Verdict.INCOMPLETE: "🟡 **INCOMPLETE**"}
_SIGNS = {"fail": "❌", "unknown": "❔", "review": "👀", "waived": "🤝", "pass": "✅", "not_applicable": "➖"}
_BLOCKERS_SHOWN = 20


def render(report: Report, *, options: Options) -> str:
    """GitHub-flavoured Markdown; sections that do not fit are named instead."""
    document = read(report)
    text = "\n\n".join(_head(document)) + "\n"
    left_out = []
    for title, body in _sections(document):
        part = f"\n{body}\n"
        if len((text + part).encode()) > LIMIT_BYTES - 3000:
            left_out.append(title)
        else:
            text += part
    if left_out:
        names = ", ".join(markdown(title, 30) for title in left_out[:15])
        names += f" and {len(left_out) - 15} more" if len(left_out) > 15 else ""
        text += f"\nLeft out, for a comment's length: {names}; see the JSON or HTML report.\n"
    return text


def _head(document: Document) -> list[str]:
    parts = [
        markdown(document.scope_sentence),
        f"## {_BADGES[document.verdict]} · {HEADLINES[document.verdict]}",
        f"{markdown_code(subject_line(document))}  \n{_counts(document)}",
    ]
    sentence = blocking_sentence(document)
    if sentence:
        parts.append(f"**{sentence}**")
    if document.interrupted:
        parts.append("**The audit was interrupted; what was collected until then is judged.**")
    parts += [f"- {markdown(reason)}" for reason in other_reasons(document)[:20]]
    return parts


def _counts(document: Document) -> str:
    order = ("fail", "unknown", "review", "waived", "pass", "not_applicable")
    counts = [f"{document.summary[k]} {STATUS_WORDS[k]}" for k in order if document.summary.get(k)]
    return " · ".join(counts) or "no findings"


def _sections(document: Document) -> Iterable[tuple[str, str]]:
    folded = explained(document)
    blocking = blockers(document)
    for finding in blocking[:_BLOCKERS_SHOWN]:
        yield finding.check, _blocker(finding, folded.get(finding.fingerprint, ()))
    if len(blocking) > _BLOCKERS_SHOWN:
        yield "further blockers", _details("Further blockers", _table(blocking[_BLOCKERS_SHOWN:]))
    sla = _sla(document)
    if sla:
        yield "service levels", sla
    if document.benchmark:
        yield "measured load", _details("Measured load", _load(document))
    if document.trends:
        yield "trend", _details("Trend", _trend(document))
    if cost_figures(document):
        yield "cost", _details("Cost", _cost(document))
    said = [row for row in (*advice_rows(document), *decision_rows(document)) if row.style != "unknown"]
    if said:
        body = "\n".join(f"- **{markdown(r.title)}** {markdown(r.status)}: {markdown(r.text, 600)}" for r in said)
        yield "advice", _details("Advice and decisions", body)
    if layer_rows(document):
        yield "score", _details("Score and maturity", _score(document))
    yield "coverage", _coverage(document)
    for group, findings in by_group(f for f in standing(document) if not f.gates).items():
        bad = sum(f.status in ("fail", "unknown", "review") for f in findings)
        count = f"{len(findings)} finding{'s' * (len(findings) != 1)}{f', {bad} not passed' if bad else ''}"
        yield group, _details(f"{group}: {count}", _table(findings))
    digests = "\n".join(f"{name} {value}" for name, value in document.digests.items() if value)
    if digests:
        seen = f"collected {document.collected_at or 'at an unknown time'}"
        yield "digests", _details("How to reproduce", markdown_block(f"{digests}\n{seen}"))


def _score(document: Document) -> str:
    layers = [f"- {markdown(name)}: {quantity(score, 'ratio')}" for name, score in layer_rows(document)]
    lacks = [
        f"- {_SIGNS.get(status, '❔')} {markdown(title)}{f': {markdown(why)}' if why else ''}"
        for status, title, why in maturity_lacks(document)
    ]
    parts = (markdown(score_line(document)), "\n".join(layers), markdown(maturity_line(document)), "\n".join(lacks))
    return "\n\n".join(filter(None, parts))


def _blocker(finding: Finding, explains: Sequence[Finding]) -> str:
    subject = f" · {markdown_code(finding.subject)}" if finding.subject else ""
    lines = [
        f"### {_SIGNS[finding.status]} {markdown(finding.title or finding.check)}",
        f"{finding.severity} · {markdown_code(finding.check)}{subject}{_at(finding)}",
        markdown(finding.message, 1000),
    ]
    if finding.evidence:
        lines.append("\n".join(f"- {markdown_code(evidence_text(e))}" for e in finding.evidence[:10]))
    if finding.remediation:
        lines.append(_remedy(finding.remediation))
    links = [link for link in map(web_link, finding.references) if link]
    if links:
        lines.append(" · ".join(f"<{link}>" for link in links[:5]))
    if explains:
        names = dict.fromkeys(f.check for f in explains)
        lines.append(_details(f"explains {len(explains)} more", ", ".join(map(markdown_code, names))))
    return "\n\n".join(part for part in lines if part)


def _remedy(text: str) -> str:
    """A sentence as one; what is to be pasted keeps its lines."""
    return f"**Remedy:**\n\n{markdown_block(text)}" if "\n" in text else f"**Remedy:** {markdown(text, 1500)}"


def _at(finding: Finding) -> str:
    return f" · {markdown_code(finding.location)}" if finding.location else ""


def _sla(document: Document) -> str:
    measured, without = objectives(document)
    if not measured:
        return ""
    columns = (
        "",
        "objective",
        "target",
        "measured",
        "interval",
        "samples",
        "where, window",
        "other source",
        "if broken",
    )
    head = f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|"
    body = [
        "| " + " | ".join((
            _SIGNS.get(str(row.get("outcome")), "❔"),
            markdown(str(row.get("dimension") or "–")),
            markdown(quantity(row.get("target"), row.get("unit")) if row.get("target") is not None else "no target"),
            markdown(quantity(row.get("observed"), row.get("unit"))),
            markdown(interval_text(row.get("interval"), row.get("unit")) or "–"),
            markdown(str(row.get("samples") if row.get("samples") is not None else "–")),
            markdown(measured_at(row)),
            markdown(other_source(row)),
            markdown(str(row.get("consequence") or "–"), 200),
        )) + " |"
        for row in measured[:40]
    ]  # fmt: skip
    note = ["", f"No target: {', '.join(map(markdown_code, without))}."] if without else []
    budget = error_budget(document)
    note += ["", markdown(budget)] if budget else []
    return "\n".join(["### Service levels", "", head, *body, *note])


def _load(document: Document) -> str:
    warning = client_warning(document)
    parts = [f"**{markdown(warning, 800)}**"] if warning else []
    latencies = latency_rows(document)
    if latencies:
        head = "| | " + " | ".join(PERCENTILES) + " | samples |\n" + "|---" * (len(PERCENTILES) + 2) + "|"
        body = [f"| {row.name} | {' | '.join(row.cells)} | {row.count} |" for row in latencies]
        parts.append("\n".join([head, *body]))
    parts.append("\n".join(f"- {label}: {markdown(text)}" for label, text in rate_lines(document)))
    budget = budget_rows(document)
    if budget:
        lines = [
            f"| {markdown(r.name)} | {markdown(r.mean)} | {markdown(r.spread) or '–'} | {markdown(r.source)} |"
            for r in budget
        ]
        parts.append("\n".join(["| where the time goes | mean request | spread | by |", "|---|---|---|---|", *lines]))
        parts.append(markdown(budget_summary(document), 600))
    return "\n\n".join(parts)


def _trend(document: Document) -> str:
    parts = [markdown(trend_sentence(document), 400)]
    parts.append(
        "\n".join(
            f"- **{markdown(r.title)}** {markdown(r.direction)}: {markdown(r.moved)}" for r in trend_rows(document)
        )
    )
    kinds = kind_rows(document)
    if len(kinds) > 1:
        head = f"| model | GPUs | load | runs | {' | '.join(KIND_FIGURES)} |\n{'|---' * (4 + len(KIND_FIGURES))}|"
        body = [
            f"| {' | '.join(map(markdown, (r.model, r.gpus, r.load, str(r.runs), *r.cells)))} |" for r in kinds[:10]
        ]
        parts.append("\n".join([head, *body]))
    return "\n\n".join(filter(None, parts))


def _cost(document: Document) -> str:
    figures = "\n".join(f"- {label}: {markdown(amount)}" for label, amount in cost_figures(document))
    parts = [figures, f"From {markdown(cost_inputs(document), 600)}."]
    known = [row for row in lever_rows(document) if row.known and row.counted]
    if known:
        parts.append(
            "\n".join(f"- {markdown(r.title)} saves {markdown(r.saving)}: {markdown(r.arithmetic)}" for r in known)
        )
        parts.append(markdown(together(document), 400))
    hosted = hosted_prices(document)[:3]
    if hosted:
        parts.append(
            "\n".join(
                f"- hosted by {markdown(r.seller)}: {markdown(r.per_million)} per million requests "
                f"({markdown(r.price)}, {markdown(r.date)}); {markdown(r.note)}"
                for r in hosted
            )
        )
    return "\n\n".join(filter(None, parts))


def _coverage(document: Document) -> str:
    coverage = document.coverage
    lines = [
        "### What could not be seen",
        f"{_number(coverage.get('examined'))} checks could tell, {_number(coverage.get('unknown'))} could not.",
    ]
    found = unread(document)
    for kind, reasons, remedy in found[:20]:
        lines.append(f"- {markdown(kind)}: {markdown(reasons, 1000)}{f' — {markdown(remedy)}' if remedy else ''}")
    if len(found) > 20:
        lines.append(f"- and {len(found) - 20} more")
    return "\n\n".join(lines[:2]) + ("\n\n" + "\n".join(lines[2:]) if lines[2:] else "")


def _number(value: object) -> str:
    return str(value) if isinstance(value, int) else "an unknown number of"


def _table(findings: Sequence[Finding]) -> str:
    order = ("fail", "unknown", "review", "waived", "pass", "not_applicable")
    ordered = sorted(findings, key=lambda f: order.index(f.status))
    body = [
        f"| {_SIGNS[f.status]} | {markdown_code(f.check)} | {markdown_code(f.subject or '') or '–'} "
        f"| {markdown(_said(f), 200)} |"
        for f in ordered[:60]
    ]
    more = f"\n\nand {len(findings) - 60} more" if len(findings) > 60 else ""
    return "\n".join(["| | check | subject | |", "|---|---|---|---|", *body]) + more


def _said(finding: Finding) -> str:
    if finding.waiver:
        return f"{finding.message} (waived by {finding.waiver.owner} until {finding.waiver.expires})"
    later = "" if finding.due or finding.outcome is Outcome.NOT_APPLICABLE else " (not due yet)"
    return f"{finding.message}{later}"


def _details(summary: str, body: str) -> str:
    text = line(summary).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"<details><summary>{text}</summary>\n\n{body}\n\n</details>"
