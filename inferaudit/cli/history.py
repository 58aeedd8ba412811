"""``inferaudit history``: stored runs and their trends."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inferaudit.cli import options as o
from inferaudit.cli.figures import FiguresOutput

if TYPE_CHECKING:
    from inferaudit.trend import FigureTrend, Run

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Store key figures of runs, and show how they move from run to run. Nothing is stored unless asked for.",
)

Store = Annotated[
    str,
    typer.Option(
        "--store",
        help="Folder, sqlite:///PATH or postgresql://…; the user's state folder without.",
        envvar="INFERAUDIT_STORE",
        show_envvar=True,
        rich_help_panel=o.ACCESS,
    ),
]
Service = Annotated[str, typer.Option("--service", help="Only runs of this service.", rich_help_panel=o.TARGET)]


@app.command()
def add(
    report: Annotated[Path, typer.Argument(help="JSON report, from -o json=FILE.")],
    store: Store = "",
    output: FiguresOutput = None,
) -> None:
    """Store the key figures of a report: one row, no evidence."""
    import msgspec

    from inferaudit.cli.figures import deliver_figures
    from inferaudit.errors import UsageError
    from inferaudit.history import store_report
    from inferaudit.report_file import dated_ahead, load_report

    read = load_report(report)
    if ahead := dated_ahead(read, dt.datetime.now(dt.UTC)):
        raise UsageError(f"{report} is {ahead}, this machine's time: kept, it would stay the newest of every trend")
    run, added = store_report(read, store)
    said = "stored" if added else "was stored before"
    deliver_figures(output, {"run": msgspec.to_builtins(run), "added": added}, [(run.id, f"{said}: {_summary(run)}")])


@app.command("list")
def list_runs(store: Store = "", service: Service = "", output: FiguresOutput = None) -> None:
    """The stored runs, oldest first."""
    import msgspec

    from inferaudit.cli.figures import deliver_figures
    from inferaudit.history import stored_runs

    runs = stored_runs(store, service=service)
    lines = [(run.id, _summary(run)) for run in runs] or [
        ("", "no runs are stored; add one with `inferaudit history add REPORT`")
    ]
    deliver_figures(output, {"runs": msgspec.to_builtins(runs)}, lines)


@app.command()
def show(
    run: Annotated[str, typer.Argument(help="Id of the run, or its beginning.")],
    store: Store = "",
    output: FiguresOutput = None,
) -> None:
    """Every figure of one run."""
    import msgspec

    from inferaudit.cli.figures import deliver_figures
    from inferaudit.history import stored_run

    figures = msgspec.to_builtins(stored_run(store, run))
    lines = [
        (name.replace("_", " "), "not measured" if value is None else _text(value)) for name, value in figures.items()
    ]
    deliver_figures(output, {"run": figures}, lines)


@app.command()
def trends(
    store: Store = "",
    service: Service = "",
    window: Annotated[int, typer.Option("--window", min=2, help="Runs looked back.", rich_help_panel=o.JUDGE)] = 8,
    output: FiguresOutput = None,
) -> None:
    """How tokens/s, GPU utilisation, P95 and cost move over the last runs like the newest one.

    A figure is called worse when so steady an order would be rare by chance, and it moved by more than 5 %.
    """
    import msgspec

    from inferaudit.cli.figures import deliver_figures
    from inferaudit.history import stored_runs
    from inferaudit.trend import comparable
    from inferaudit.trend import trends as figure_trends

    runs = comparable(stored_runs(store, service=service))[-window:]
    found = figure_trends(runs, window=window)
    head = [("", f"{len(runs)} comparable runs: {_series(runs)}" if runs else "no runs are stored")]
    lines = [(trend.title, _trend(trend)) for trend in found]
    figures = {"runs": msgspec.to_builtins(runs), "trends": msgspec.to_builtins(found)}
    deliver_figures(output, figures, [*head, *lines])


@app.command()
def prune(
    keep: Annotated[int, typer.Option("--keep", min=0, help="Newest runs to keep of each service.")],
    store: Store = "",
    service: Service = "",
    output: FiguresOutput = None,
) -> None:
    """Delete all but the newest runs of each service."""
    from inferaudit.cli.figures import deliver_figures
    from inferaudit.history import prune as prune_runs

    deleted = prune_runs(store, keep, service=service)
    deliver_figures(output, {"deleted": deleted}, [("deleted", f"{deleted} run{'s' * (deleted != 1)}")])


def _summary(run: Run) -> str:
    from inferaudit.escape import line
    from inferaudit.units import plain

    told = [
        text
        for value, text in (
            (run.token_rate, f"{plain(run.token_rate or 0)} tokens/s"),
            (run.e2e_p95_ms, f"P95 {plain(run.e2e_p95_ms or 0)} ms"),
            (run.gpu_utilisation, f"GPU {run.gpu_utilisation or 0:.0%}"),
            (run.per_1000_tokens_usd, f"${run.per_1000_tokens_usd or 0:.6f} per 1 000 tokens"),
        )
        if value is not None
    ]
    measured = ", ".join(told) or "no load measured"
    return f"{line(run.collected_at)}  {line(run.verdict):<10}  {line(run.service)}  {measured}"


def _series(runs: Sequence[Run]) -> str:
    from inferaudit.escape import line

    newest = runs[-1]
    what = [newest.service, newest.model, newest.gpus, newest.profile and f"load {newest.profile}"]
    return line(f"{', '.join(w for w in what if w)}; {runs[0].collected_at} to {newest.collected_at}")


def _trend(trend: FigureTrend) -> str:
    from inferaudit.units import plain

    if trend.direction == "unknown" or trend.first is None or trend.last is None or trend.change is None:
        return f"unknown   {trend.reason}"
    moved = f"{plain(trend.first)} → {plain(trend.last)} {trend.unit}"
    return f"{trend.direction:<8}  {moved}, {trend.change:+.0%} over {trend.runs} runs (p = {trend.p_value:.2g})"


def _text(value: object) -> str:
    from inferaudit.escape import line

    return f"{value:.6g}" if isinstance(value, float) else line(str(value))
