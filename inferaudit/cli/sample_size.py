"""``inferaudit sample-size``: how many requests an A/B test needs."""

from __future__ import annotations

from typing import Annotated

import typer

from inferaudit.cli.figures import FiguresOutput

app = typer.Typer(add_completion=False)


@app.command("sample-size")
def sample_size(
    baseline: Annotated[
        float, typer.Option("--baseline", help="Share in arm A, 0 to 1, for example 0.10; with --sd its mean.")
    ],
    lift: Annotated[float, typer.Option("--lift", help="The change worth seeing, for example 0.01.")],
    relative: Annotated[bool, typer.Option("--relative", help="The lift is a share of the baseline.")] = False,
    absolute: Annotated[bool, typer.Option("--absolute", help="The lift is added to the baseline.")] = False,
    sd: Annotated[
        float | None,
        typer.Option("--sd", help="Standard deviation of one request: two means instead of two shares."),
    ] = None,
    power: Annotated[float, typer.Option("--power", help="Chance of seeing it when it is there.")] = 0.8,
    alpha: Annotated[float, typer.Option("--alpha", help="Chance of seeing it when it is not.")] = 0.05,
    sides: Annotated[int, typer.Option("--sides", help="2: better or worse; 1: one of them.")] = 2,
    per_day: Annotated[
        str | None, typer.Option("--per-day", help="Requests a day over both arms (50k, 1M), for the days it takes.")
    ] = None,
    output: FiguresOutput = None,
) -> None:
    """Requests an A/B test needs, by the formula for two proportions, or for two means; no rule of thumb.

    Examples: inferaudit sample-size --baseline 0.10 --lift 0.01 --relative

    inferaudit sample-size --baseline 420 --lift -0.05 --relative --sd 180   (a mean of 420 ms, 5 % less)
    """
    from inferaudit.cli.figures import deliver_figures
    from inferaudit.errors import UsageError
    from inferaudit.stats import days_needed, sample_size_means, sample_size_proportions
    from inferaudit.units import flag_value, parse_amount

    if relative == absolute:
        raise UsageError(
            f"say either --relative (from {baseline:g} to {baseline * (1 + lift):g}) "
            f"or --absolute (from {baseline:g} to {baseline + lift:g}): they differ a hundredfold"
        )
    target = baseline * (1 + lift) if relative else baseline + lift
    daily = None if per_day is None else flag_value("--per-day", per_day, parse_amount)
    try:
        if sd is None:
            per_arm = sample_size_proportions(baseline, lift, relative=relative, power=power, alpha=alpha, sides=sides)
        else:
            per_arm = sample_size_means(sd, target - baseline, power=power, alpha=alpha, sides=sides)
        days = None if daily is None else max(7, days_needed(2 * per_arm, daily))
    except ValueError as error:
        raise UsageError(str(error)) from error
    figures = {
        "per_arm": per_arm,
        "total": 2 * per_arm,
        "days": days,
        "inputs": {
            "baseline": baseline,
            "target": target,
            "relative": relative,
            "sd": sd,
            "power": power,
            "alpha": alpha,
            "sides": sides,
            "per_day": daily,
        },
    }
    lines = [
        ("to see", f"{baseline:g} → {target:g}"),
        ("requests per arm", f"{per_arm:,}"),
        ("in total", f"{2 * per_arm:,}"),
        (
            "days",
            "not computed without --per-day" if days is None else f"{days:,} (at least one week: traffic has a cycle)",
        ),
    ]
    deliver_figures(output, figures, lines)
