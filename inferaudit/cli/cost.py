"""``inferaudit cost``: the cost calculator."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from inferaudit.cli.figures import FiguresOutput

app = typer.Typer(add_completion=False)


@app.command()
def cost(
    hourly: Annotated[float, typer.Option("--hourly", help="Price of one GPU-hour in USD.")],
    gpus: Annotated[int, typer.Option("--gpus", help="GPUs held.")],
    rate: Annotated[float, typer.Option("--rate", help="Requests per second that they serve.")],
    utilisation: Annotated[float, typer.Option("--utilisation", help="Share of that rate really used, 0 to 1.")] = 0.7,
    token_rate: Annotated[
        float | None, typer.Option("--token-rate", help="Output tokens per second, for the cost of 1 000 tokens.")
    ] = None,
    output: FiguresOutput = None,
) -> None:
    """Cost per request, per million, per month, from the price of a GPU-hour and the rate it serves.

    Example: inferaudit cost --hourly 1.01 --gpus 2 --rate 500
    """
    from inferaudit.cli.figures import deliver_figures
    from inferaudit.cost import FORMULAS, cost_figures

    figures = cost_figures(
        hourly_usd=hourly, gpus=gpus, rate_per_s=rate, utilisation=utilisation, tokens_per_s=token_rate
    )
    per_1000 = figures.per_1000_tokens_usd
    lines = [
        ("per request", f"${figures.per_request_usd:.6f}   = {FORMULAS['per_request_usd']}"),
        ("per million requests", f"${figures.per_million_usd:,.2f}"),
        ("per month", f"${figures.monthly_usd:,.0f}   = {FORMULAS['monthly_usd']}"),
        ("requests per dollar", f"{figures.requests_per_usd:,.0f}"),
        (f"per request at {utilisation:.0%} use", f"${figures.effective_per_request_usd:.6f}"),
        ("per 1 000 tokens", "not computed without --token-rate" if per_1000 is None else f"${per_1000:.6f}"),
    ]
    given = {"hourly_usd": hourly, "gpus": gpus, "rate_per_s": rate, "utilisation": utilisation}
    deliver_figures(output, {**asdict(figures), "inputs": given, "formulas": FORMULAS}, lines)
