"""One HTML file for people: no network, no script needed, light and dark, paper and screen readers.

The only script is our own, allowed by its hash; it filters lists and copies remedies. Everything else is refused by the
content policy, so that even text that slipped through the escaping could do nothing.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from inferaudit import escape
from inferaudit.model import Report
from inferaudit.render import _advice as advice
from inferaudit.render import _costs as costs
from inferaudit.render import _document as d
from inferaudit.render import _score as score
from inferaudit.render import _trends as trends
from inferaudit.render._budget import budget_rows, budget_summary
from inferaudit.render._charts import budget, charts
from inferaudit.render._figures import PERCENTILES, client_warning, formulas, latency_rows, rate_lines
from inferaudit.render._options import Options
from inferaudit.resources import resource_folder

# A browser must open the page at once. Findings are written out in full up to a share of it, then in short, then only
# counted; where other sections are long too, the shares shrink.
LIMIT_BYTES = 2_000_000
_BLOCKER_BYTES = 400_000
_APPENDIX_BYTES = 900_000
_SHORT_SHARE = 1.3
_SCALES = (1.0, 0.4, 0.1, 0.02)
_EVIDENCE = 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A finding in the appendix; `full` says whether its evidence is written out."""

    finding: d.Finding
    full: bool


def render(report: Report, *, options: Options) -> str:
    """The page; below 2 MB whatever the report holds."""
    document = d.read(report)
    text = ""
    for scale in _SCALES:
        text = _page(document, scale)
        if len(text.encode()) < LIMIT_BYTES:
            break
    return text


def _page(document: d.Document, scale: float) -> str:
    script = (resource_folder("templates") / "report.js").read_text(encoding="utf-8")
    measured, without = d.objectives(document)
    blocking, unshown = fitting(d.blockers(document), _BLOCKER_BYTES * scale)
    entries, omitted = fitting(document.findings, _APPENDIX_BYTES * scale)
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            document=document,
            headline=d.HEADLINES[document.verdict],
            blocking=d.blocking_sentence(document),
            blockers=blocking,
            unshown=unshown,
            other_reasons=d.other_reasons(document)[: round(50 * scale)],
            explained=d.explained(document),
            groups=_groups(entries),
            omitted=omitted,
            shown={entry.finding.fingerprint for entry in (*blocking, *entries)},
            unread=d.unread(document)[: round(100 * scale)],
            objectives=measured[: round(100 * scale)],
            without_target=without[: round(100 * scale)],
            error_budget=d.error_budget(document),
            rows_shown=round(200 * scale),
            charts=charts(document),
            budget=budget(document),
            budget_parts=budget_rows(document),
            budget_summary=budget_summary(document),
            latencies=latency_rows(document),
            percentiles=PERCENTILES,
            rates=rate_lines(document),
            client_warning=client_warning(document),
            formulas=formulas(document),
            trend_charts=trends.trend_charts(document),
            trend_rows=trends.trend_rows(document),
            trend_sentence=trends.trend_sentence(document),
            kinds=trends.kind_rows(document),
            kind_figures=trends.KIND_FIGURES,
            layers=score.layer_rows(document),
            score_line=score.score_line(document),
            maturity_line=score.maturity_line(document),
            maturity_lacks=score.maturity_lacks(document),
            costs=costs.cost_figures(document),
            cost_inputs=costs.cost_inputs(document),
            cpu_line=costs.cpu_line(document),
            levers=costs.lever_rows(document),
            together=costs.together(document),
            hosted_prices=costs.hosted_prices(document),
            list_prices=costs.list_prices(document),
            advice=advice.advice_rows(document),
            decisions=advice.decision_rows(document),
            governance=advice.governance_parts(document, round(50 * scale)),
            kpis=advice.kpi_line(document),
            waived=[f for f in document.findings if f.waiver][: round(200 * scale)],
            command=_command(document),
            policy=escape.block(yaml.safe_dump(document.policy, allow_unicode=True), 20_000) if document.policy else "",
            script=Markup(script),  # noqa: S704  # our own file
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            style=Markup((resource_folder("templates") / "report.css").read_text(encoding="utf-8")),  # noqa: S704
        )
    )


def fitting(findings: Sequence[d.Finding], room: float) -> tuple[tuple[Entry, ...], int]:
    """As many findings in full as fit into `room` bytes, then some in short; and how many are only counted."""
    entries: list[Entry] = []
    size = 0
    for finding in findings:
        if size > room * _SHORT_SHARE:
            break
        full = size < room
        size += _size(finding) if full else 800 + _bytes(finding.message, 400) + _bytes(finding.subject or "", 400)
        entries.append(Entry(finding, full))
    return tuple(entries), len(findings) - len(entries)


def prose(text: str) -> Markup:
    """A sentence with its `code` spans marked."""
    parts = re.split(r"`([^`\n]+)`", escape.block(text))
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else part for number, part in enumerate(parts)
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(resource_folder("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_shown,
    )
    environment.filters |= {"link": escape.web_link, "prose": prose, "line": escape.line, "evidence": _evidence,
                            "anchor": _anchor,
                            "quantity": d.quantity, "interval": d.interval_text, "value": d.value_text,
                            "measured_at": d.measured_at, "other_source": d.other_source, "why_not": d.why_not_other,
                            "why": d.why_open}  # fmt: skip
    environment.globals |= {"words": d.STATUS_WORDS, "rows": d.rows, "section": d.section}
    return environment


def _shown(value: Any) -> Any:
    """What every expression of the template goes through before the HTML escaping."""
    if value is None:
        return "–"
    return escape.block(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _evidence(items: Sequence[d.Evidence]) -> tuple[d.Evidence, ...]:
    return tuple(items[:_EVIDENCE])


def _anchor(fingerprint: str) -> str:
    """A fingerprint as part of an id: ours are hexadecimal, a report from elsewhere may hold anything."""
    return re.sub(r"[^0-9A-Za-z_-]", "", fingerprint)[:64]


def _size(finding: d.Finding) -> int:
    """An upper guess at a finding's HTML: hidden characters are written as up to six, markup as up to five."""
    evidence = sum(
        _bytes(e.path, 400) + _bytes(d.value_text(e.observed), 400) + _bytes(d.value_text(e.expected), 400) + 150
        for e in finding.evidence[:_EVIDENCE]
    )
    texts = (finding.message, finding.title, finding.remediation, finding.subject or "", *finding.references[:20])
    return (
        1500 + evidence + sum(_bytes(text, 1000) for text in texts[:2]) + sum(_bytes(text, 4000) for text in texts[2:])
    )


def _bytes(text: str, limit: int) -> int:
    shown = text[:limit]
    return len(shown) if shown.isascii() and shown.isprintable() and not set(shown) & set("<>&\"'") else len(shown) * 6


def _groups(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.finding.group, []).append(entry)
    return {name: groups[name] for name in sorted(groups)}


def _command(document: d.Document) -> str:
    """What gives this report again from its snapshot."""
    flags = [
        f"--scope {','.join(document.scope)}" if document.scope else "",
        f"--phase {document.phase}" if document.phase else "",
        f"--fail-on {document.fail_on}" if document.fail_on else "",
    ]
    return escape.line(" ".join(("inferaudit evaluate SNAPSHOT", *filter(None, flags), "-o html=report.html")))
