"""From the definitions to words: the page of a check, and which row of which checklist it satisfies."""

from __future__ import annotations

from inferaudit.catalog import Catalog
from inferaudit.checklists import ChecklistItem
from inferaudit.facts import fact_specs
from inferaudit.model import Check


def coverage_rows(catalog: Catalog) -> list[ChecklistItem]:
    """Every row of every checklist that is not a merge of others, its id prefixed with the checklist's."""
    import msgspec

    return [
        msgspec.structs.replace(item, id=f"{checklist.id}/{item.id}")
        for checklist in catalog.checklists.values()
        for item in checklist.items
    ]


def check_page(check: Check) -> str:
    """The documentation of one check in Markdown: from its definition alone."""
    specs = fact_specs()
    needs = [f"- `{name}`: {specs[name].title}" for name in check.needs]
    optional = [f"- `{name}` (where it exists): {specs[name].title}" for name in check.optional]
    rbac = sorted(
        {
            f"`{rule.verb} {rule.resource}{f'.{rule.group}' if rule.group else ''}`"
            for name in (*check.needs, *check.optional)
            for rule in specs[name].rbac
        }
    )
    params = [f"| `{p.name}` | {p.type} | `{p.default}` |" for p in check.params]
    parts = [
        f"# {check.id}",
        f"**{check.title}.**",
        f"Severity {check.severity.value} · due {check.phase.value} the launch · group {check.group}"
        + (" · sends requests of its own (`--active`)" if check.active else "")
        + ("" if check.enabled else " · off unless selected"),
        "## Why",
        check.rationale,
        "## What to do",
        check.remediation,
        "## What it reads",
        "\n".join([*needs, *optional]),
        *([f"Permissions: {', '.join(rbac)}."] if rbac else []),
        *(["## Parameters", "\n".join(["| name | type | default |", "|---|---|---|", *params])] if params else []),
        *(["## References", "\n".join(f"- <{r}>" for r in check.references)] if check.references else []),
    ]
    return "\n\n".join(parts) + "\n"
