"""How the calculators print: a table for people, or their numbers as JSON (``-o json[=PATH]``)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from inferaudit.cli import options as o
from inferaudit.cli.outputs import print_text, write_text
from inferaudit.errors import UsageError

FiguresOutput = Annotated[
    list[str] | None,
    typer.Option("-o", "--output", help="json[=PATH] or terminal; repeatable.", rich_help_panel=o.OUTPUT),
]


def deliver_figures(values: Sequence[str] | None, figures: Mapping[str, Any], lines: Sequence[tuple[str, str]]) -> None:
    """Print `lines` (label, text) and write `figures`, unrounded, wherever `-o` says."""
    stdout = 0
    for value in values or ("terminal",):
        name, equals, path = value.partition("=")
        if name not in ("json", "terminal") or (equals and not path):
            raise UsageError(f"-o {value!r}: json, json=PATH or terminal")
        text = json.dumps(figures, indent=2, ensure_ascii=False) + "\n" if name == "json" else _table(lines)
        if path and path != "-":
            write_text(Path(path), text)
            continue
        stdout += 1
        if stdout > 1:
            raise UsageError("two outputs on stdout; give all but one a path")
        print_text(text, people=name == "terminal")


def _table(lines: Sequence[tuple[str, str]]) -> str:
    width = max((len(label) for label, _ in lines), default=0)
    return "".join(f"{label:<{width}}  {text}\n" if label else f"{text}\n" for label, text in lines)
