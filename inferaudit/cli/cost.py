"""``inferaudit cost``: the cost calculator."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from inferaudit.cli.figures import FiguresOutput

app = typer.Typer(add_completion=False)
_SHEET = "Price sheet"
_SAVINGS = "Savings"


@app.command()
def cost(
    gpus: Annotated[int, typer.Option("--gpus", help="GPUs held.")],
    rate: Annotated[str, typer.Option("--rate", help="Requests per second that they serve: 500, 20/s, 600/min.")],
    hourly: Annotated[float | None, typer.Option("--hourly", help="Price of one GPU-hour in USD.")] = None,
    cloud: Annotated[
        str, typer.Option("--cloud", help="Take that price from the sheet instead.", rich_help_panel=_SHEET)
    ] = "",
    gpu: Annotated[
        str, typer.Option("--gpu", help="The GPU, for example 'H100 SXM 80GB'.", rich_help_panel=_SHEET)
    ] = "",
    utilisation: Annotated[float, typer.Option("--utilisation", help="Share of that rate really used, 0 to 1.")] = 0.7,
    token_rate: Annotated[
        str | None, typer.Option("--token-rate", help="Output tokens per second, for the cost of 1 000 tokens.")
    ] = None,
    input_token_rate: Annotated[str | None, typer.Option("--input-token-rate", help="Input tokens per second.")] = None,
    goodput: Annotated[
        str | None, typer.Option("--goodput", help="Requests per second that meet every objective.")
    ] = None,
    spot_hourly: Annotated[
        float | None, typer.Option("--spot-hourly", help="Price of the GPU-hour on spot.", rich_help_panel=_SAVINGS)
    ] = None,
    burst_share: Annotated[
        float | None,
        typer.Option("--burst-share", help="Share of the GPU-hours above the steady load.", rich_help_panel=_SAVINGS),
    ] = None,
    idle_share: Annotated[
        float | None,
        typer.Option("--idle-share", help="Share of the hours in which nobody asks.", rich_help_panel=_SAVINGS),
    ] = None,
    output: FiguresOutput = None,
) -> None:
    """Cost per request, per million, per month, from the price of a GPU-hour and the rate it serves.

    Example: inferaudit cost --hourly 1.01 --gpus 2 --rate 500
    """
    from inferaudit.cli.figures import deliver_figures
    from inferaudit.cost import FORMULAS, cost_figures
    from inferaudit.errors import UsageError
    from inferaudit.prices import chosen_price
    from inferaudit.savings import levers, savings_section
    from inferaudit.units import flag_value, parse_rate_per_s

    price = None
    if hourly is None:
        if not cloud or not gpu:
            raise UsageError("give the price of a GPU-hour with --hourly, or --cloud and --gpu for one of the sheet")
        price = chosen_price(gpu, cloud)
        if price is None:
            raise UsageError(f"the price sheet has no {gpu!r} at {cloud}{_known(gpu)}; --hourly says it outright")
        hourly = price.usd
    per_s = flag_value("--rate", rate, parse_rate_per_s)
    output_tokens, input_tokens, good = (
        None if text is None else flag_value(flag, text, parse_rate_per_s)
        for flag, text in (
            ("--token-rate", token_rate),
            ("--input-token-rate", input_token_rate),
            ("--goodput", goodput),
        )
    )
    figures = cost_figures(
        hourly_usd=hourly,
        gpus=gpus,
        rate_per_s=per_s,
        utilisation=utilisation,
        tokens_per_s=output_tokens,
        input_tokens_per_s=input_tokens,
        goodput_per_s=good,
    )
    given = {
        "hourly_usd": hourly,
        "gpus": gpus,
        "rate_per_s": per_s,
        "utilisation": utilisation,
        "goodput_per_s": good,
        "input_tokens_per_s": input_tokens,
        "output_tokens_per_s": output_tokens,
    }
    found = levers(
        _policy(spot_hourly, burst_share, idle_share),
        hourly_usd=hourly,
        rate_per_s=per_s,
        knee_per_s=None,
        tolerant=True,
    )
    savings = savings_section(found, monthly_usd=figures.monthly_usd, per_million_usd=figures.per_million_usd)
    lines = [
        ("per request", f"${figures.per_request_usd:.6f}   = {FORMULAS['per_request_usd']}"),
        ("per million requests", f"${figures.per_million_usd:,.2f}"),
        ("per month", f"${figures.monthly_usd:,.0f}   = {FORMULAS['monthly_usd']}"),
        ("requests per dollar", f"{figures.requests_per_usd:,.0f}"),
        (f"per request at {utilisation:.0%} use", f"${figures.effective_per_request_usd:.6f}"),
        ("per request within objectives", _dollars(figures.per_good_request_usd, "--goodput")),
        ("per 1 000 tokens out", _dollars(figures.per_1000_tokens_usd, "--token-rate")),
        ("per 1 000 tokens in", _dollars(figures.per_1000_input_tokens_usd, "--input-token-rate")),
    ]
    if price:
        place = f"{price.cloud} {price.region or ''}".strip()
        text = f"${price.usd:g} an hour: {price.gpu}, {place}, {price.kind}, as of {price.date} ({price.source})"
        lines.insert(0, ("price", text))
    lines += [
        (lever["title"], f"saves {lever['saving']:.1%}: {lever['arithmetic']}")
        for lever in savings["levers"]
        if lever["factor"] is not None
    ]
    if savings["factor"] is not None:
        lines.append(("all of them together", f"${savings['monthly_usd']:,.0f} a month"))
    numbers = {**asdict(figures), "inputs": given, "savings": savings, "formulas": FORMULAS}
    deliver_figures(output, numbers, lines)


def _policy(spot_hourly: float | None, burst_share: float | None, idle_share: float | None) -> Any:
    """The flags as the policy's section; UsageError for a share that is none."""
    from pydantic import ValidationError

    from inferaudit.errors import UsageError
    from inferaudit.policy import Cost

    try:
        return Cost(spot_hourly_usd=spot_hourly, burst_share=burst_share, idle_share=idle_share)
    except ValidationError as error:
        problem = error.errors()[0]
        raise UsageError(
            f"--{str(problem['loc'][0]).removesuffix('_usd').replace('_', '-')}: {problem['msg']}"
        ) from error


def _dollars(value: float | None, flag: str) -> str:
    return f"not computed without {flag}" if value is None else f"${value:.6f}"


def _known(gpu: str) -> str:
    """The nearest GPU of the sheet, or where this one is sold."""
    from inferaudit.prices import gpu_name, gpu_prices, price_sheet

    if gpu_name(gpu):
        return f" (it has {', '.join(sorted({p.cloud for p in gpu_prices(gpu)}))})"
    return f" (known GPUs: {', '.join(price_sheet().products)})"
