"""``inferaudit checks``: the catalogue from the outside: list, show, test."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from inferaudit.cli import options as o

app = typer.Typer(add_completion=False, no_args_is_help=True, help="List, explain and test the checks.")

Format = Annotated[str, typer.Option("-o", "--output", help="terminal or json.", rich_help_panel=o.OUTPUT)]


@app.command("list")
def list_checks(
    select: o.Select = None,
    skip: o.Skip = None,
    checks: o.CheckFolders = None,
    coverage: Annotated[
        bool, typer.Option("--coverage", help="Every row of the checklists with the checks behind it.")
    ] = False,
    output: Format = "terminal",
) -> None:
    """List the checks, or with --coverage the checklist rows and what satisfies each."""
    from inferaudit.catalog import load_catalog
    from inferaudit.planning import words

    catalog = load_catalog(checks or ())
    chosen = catalog.select(words(select), words(skip)) if select or skip else tuple(catalog.checks.values())
    data: list[dict[str, object]]
    if coverage:
        from inferaudit.coverage import coverage_rows

        items = coverage_rows(catalog)
        data = [{"row": i.id, "title": i.title, "checks": list(i.checks), "attest": i.attest} for i in items]
        lines = [f"{i.id:<36} {', '.join(i.checks) or 'attestation'}" for i in items]
    else:
        data = [
            {"id": c.id, "severity": c.severity.value, "phase": c.phase.value, "title": c.title, "enabled": c.enabled}
            for c in chosen
        ]
        width = max((len(c.id) for c in chosen), default=0)
        off = {True: "", False: " (off unless selected)"}
        lines = [f"{c.id:<{width}}  {c.severity.value:<8}  {c.title}{off[c.enabled]}" for c in chosen]
        lines.append(f"{len(chosen)} checks; explain one with `inferaudit checks show ID`")
    _write(data, lines, output)


@app.command()
def show(
    check_id: Annotated[str, typer.Argument(help="Id of a check.")],
    checks: o.CheckFolders = None,
    output: Format = "terminal",
) -> None:
    """Explain one check: why, what it reads, its parameters, how to mend what it finds."""
    from inferaudit.catalog import load_catalog
    from inferaudit.coverage import check_page

    check = load_catalog(checks or ()).check(check_id)
    data = {
        "id": check.id,
        "title": check.title,
        "group": check.group,
        "severity": check.severity.value,
        "phase": check.phase.value,
        "active": check.active,
        "enabled": check.enabled,
        "needs": list(check.needs),
        "optional": list(check.optional),
        "params": [{"name": p.name, "type": p.type, "default": p.default} for p in check.params],
        "rationale": check.rationale,
        "remediation": check.remediation,
        "references": list(check.references),
        "tags": list(check.tags),
        "origin": check.origin,
    }
    _write(data, check_page(check).splitlines(), output)


@app.command()
def test(
    check_ids: Annotated[list[str] | None, typer.Argument(help="Ids; all checks of --checks without any.")] = None,
    checks: o.CheckFolders = None,
    cases: Annotated[
        Path | None, typer.Option("--cases", help="Folder with the cases; DIR/../tests/checks by default.")
    ] = None,
) -> None:
    """Run the case files of checks: `<cases>/<check id>/<outcome>-<what>.yaml`."""
    from inferaudit.catalog import load_catalog
    from inferaudit.check_cases import case_files, run_case
    from inferaudit.errors import UsageError
    from inferaudit.escape import line

    folder = cases or (checks[-1].resolve().parent if checks else Path()) / "tests" / "checks"
    if not folder.is_dir():
        raise UsageError(f"no folder {folder}; give --cases DIR")
    catalog = load_catalog(checks or ())
    ids = list(check_ids or [name for name in catalog.checks if (folder / name).is_dir()])
    for name in ids:
        catalog.check(name)
    files = case_files(folder, ids)
    if not files:
        raise UsageError(f"no case of {', '.join(ids) or 'any check'} in {folder}")
    wrong = 0
    for path in files:
        result = run_case(catalog, path)
        print(f"{'FAIL' if result.problems else 'ok  '} {path.parent.name}/{path.name}")
        for problem in result.problems:
            wrong += 1
            print(f"     {line(problem, 2000)}")
    print(f"{len(files)} cases, {wrong} problems")
    raise typer.Exit(1 if wrong else 0)


def _write(data: object, lines: list[str], output: str) -> None:
    import json

    from inferaudit.errors import UsageError

    if output == "json":
        sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    elif output == "terminal":
        sys.stdout.write("\n".join(lines) + "\n")
    else:
        raise UsageError(f"-o {output!r}: terminal or json")
