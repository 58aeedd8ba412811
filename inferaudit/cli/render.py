"""``inferaudit render``: a JSON report in any other format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inferaudit.cli import options as o

app = typer.Typer(add_completion=False)


@app.command()
def render(
    report: Annotated[Path, typer.Argument(help="JSON report, from -o json=FILE.")],
    output: o.Outputs = None,
) -> None:
    """Turn a JSON report into any other format; the HTML equals the run's own."""
    from inferaudit.cli.outputs import deliver, parse_outputs
    from inferaudit.report_file import load_report

    outputs = parse_outputs(output)
    deliver(load_report(report), outputs)
