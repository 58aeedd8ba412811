"""What serving costs: exact formulas, unrounded numbers.

cost/s = hourly x GPUs / 3600; per request = cost/s / requests/s; monthly = hourly x GPUs x 730; effective at
utilisation u = per request / u. Prices in US dollars.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from inferaudit.errors import UsageError
from inferaudit.policy import Cost
from inferaudit.prices import GpuPrice, chosen_price, gpu_key, gpu_name, gpu_prices, hosted_prices, price_row
from inferaudit.savings import levers, savings_section

HOURS_PER_MONTH = 730
DEFAULT_UTILISATION = 0.7

FORMULAS = {
    "per_second_usd": "hourly × gpus ÷ 3600",
    "per_request_usd": "per second ÷ requests per second",
    "per_million_usd": "per request × 1 000 000",
    "monthly_usd": "hourly × gpus × 730",
    "requests_per_usd": "1 ÷ per request",
    "effective_per_request_usd": "per request ÷ utilisation",
    "per_good_request_usd": "per second ÷ requests per second that meet every objective",
    "per_1000_tokens_usd": "per second ÷ output tokens per second × 1000: all of the cost laid on the output",
    "per_1000_input_tokens_usd": "per second ÷ input tokens per second × 1000: all of the cost laid on the input",
    "per_1000_all_tokens_usd": "per second ÷ (input + output tokens per second) × 1000",
    "hosted_per_request_usd": "input tokens × price in + output tokens × price out, of an average request",
    "break_even_utilisation": "own cost per request ÷ hosted cost per request; above it the own GPUs are cheaper",
}


@dataclass(frozen=True, slots=True)
class CostFigures:
    """Cost of a service at a steady rate, in US dollars; what lacks its rate is None."""

    per_second_usd: float
    per_request_usd: float
    per_million_usd: float
    monthly_usd: float
    requests_per_usd: float
    effective_per_request_usd: float
    per_good_request_usd: float | None = None
    per_1000_tokens_usd: float | None = None
    per_1000_input_tokens_usd: float | None = None
    per_1000_all_tokens_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Traffic:
    """What was measured, per second: requests, those within every objective, tokens in and out; None = not measured."""

    rate_per_s: float | None = None
    goodput_per_s: float | None = None
    input_tokens_per_s: float | None = None
    output_tokens_per_s: float | None = None


def cost_figures(
    *,
    hourly_usd: float,
    gpus: int,
    rate_per_s: float,
    utilisation: float = DEFAULT_UTILISATION,
    tokens_per_s: float | None = None,
    input_tokens_per_s: float | None = None,
    goodput_per_s: float | None = None,
) -> CostFigures:
    """Cost from the price of one GPU-hour, the GPUs held, and the requests (and tokens) per second they serve.

    `tokens_per_s` are output tokens. UsageError for a price, a count or a rate that is not above 0.
    """
    if not (0 < hourly_usd < math.inf and gpus >= 1 and 0 < rate_per_s < math.inf):
        raise UsageError("cost takes an hourly price above 0, at least one GPU and a rate above 0 requests per second")
    if not 0 < utilisation <= 1:
        raise UsageError("utilisation lies above 0 and at most 1, for example 0.7")
    if not all(rate is None or 0 <= rate < math.inf for rate in (tokens_per_s, input_tokens_per_s, goodput_per_s)):
        raise UsageError("tokens and good requests per second are 0 or more, and finite")
    per_second = hourly_usd * gpus / 3600
    per_request = per_second / rate_per_s
    if not 1e-100 < per_request < 1e100 or per_second > 1e100:
        raise UsageError(
            "these figures are beyond any service: the cost of a request comes to nothing, or to no number"
        )
    both = tokens_per_s + input_tokens_per_s if tokens_per_s is not None and input_tokens_per_s is not None else None
    return CostFigures(
        per_second_usd=per_second,
        per_request_usd=per_request,
        per_million_usd=per_request * 1e6,
        monthly_usd=hourly_usd * gpus * HOURS_PER_MONTH,
        requests_per_usd=1 / per_request,
        effective_per_request_usd=per_request / utilisation,
        per_good_request_usd=per_second / goodput_per_s if goodput_per_s else None,
        per_1000_tokens_usd=_per_1000(per_second, tokens_per_s),
        per_1000_input_tokens_usd=_per_1000(per_second, input_tokens_per_s),
        per_1000_all_tokens_usd=_per_1000(per_second, both),
    )


def _per_1000(per_second: float, tokens_per_s: float | None) -> float | None:
    return per_second / tokens_per_s * 1000 if tokens_per_s else None


def traffic_of(benchmark: Mapping[str, Any] | None) -> Traffic:
    """The rates of a report's ``benchmark``; tokens of an average good request times the request rate.

    Nothing is known where the client, and not the service, set the rate.
    """
    if not benchmark or client_set_the_rate(benchmark):
        return Traffic()
    rate, ok = benchmark.get("request_rate"), (benchmark.get("requests") or {}).get("ok")
    given = (benchmark.get("tokens") or {}).get("input")
    return Traffic(
        rate_per_s=rate,
        goodput_per_s=benchmark.get("goodput"),
        input_tokens_per_s=given / ok * rate if given is not None and ok and rate else None,
        output_tokens_per_s=benchmark.get("token_rate"),
    )


def client_set_the_rate(benchmark: Mapping[str, Any] | None) -> bool:
    """True where the load generator was the bottleneck of the rate: the service may do more, nobody knows how much."""
    return "request_rate" in (((benchmark or {}).get("client") or {}).get("falsifies") or ())


def cost_section(
    *,
    cost: Cost,
    gpus: int | None,
    products: Sequence[str],
    models: Sequence[str],
    benchmark: Mapping[str, Any] | None,
    collected_at: str,
    interruption_tolerant: bool = False,
) -> dict[str, Any]:
    """The report's cost: computed where price, GPUs and a measured rate are known, else null with the reason.

    `products` are the GPUs as the driver names them, `models` the ids served. List prices stand beside; only
    ``cost.cloud`` makes one of them the price.
    """
    traffic = traffic_of(benchmark)
    hourly, price, no_price = _price(cost, products)
    limited = "the client was the bottleneck of this one: --workers auto" if client_set_the_rate(benchmark) else ""
    figures = None
    if hourly and gpus and traffic.rate_per_s:
        figures = cost_figures(
            hourly_usd=hourly,
            gpus=gpus,
            rate_per_s=traffic.rate_per_s,
            utilisation=cost.utilisation,
            tokens_per_s=traffic.output_tokens_per_s,
            input_tokens_per_s=traffic.input_tokens_per_s,
            goodput_per_s=traffic.goodput_per_s,
        )
    missing = [
        words
        for words, known in (
            (no_price or "the price of a GPU-hour (--hourly, cost.hourly_usd or cost.cloud in the policy)", hourly),
            ("the number of GPUs (cost.gpus, or a workload that asks for them)", gpus),
            (f"a measured request rate ({limited or '--load'})", traffic.rate_per_s),
        )
        if not known
    ]
    numbers: dict[str, Any] = asdict(figures) if figures else dict.fromkeys(CostFigures.__dataclass_fields__)
    knee = ((benchmark or {}).get("knee") or {}).get("rate")
    found = levers(
        cost, hourly_usd=hourly, rate_per_s=traffic.rate_per_s, knee_per_s=knee, tolerant=interruption_tolerant
    )
    monthly = hourly * gpus * HOURS_PER_MONTH if hourly and gpus else None
    return {
        **numbers,
        "monthly_usd": monthly,
        "inputs": {"hourly_usd": hourly, "gpus": gpus, "utilisation": cost.utilisation, **asdict(traffic)},
        "price": price_row(price, collected_at) if price else None,
        "list_prices": _list_prices(cost, products, gpus, traffic, collected_at),
        "hosted": _hosted(cost, models, figures, traffic, collected_at),
        "cpu": _cpu(cost, figures),
        "savings": savings_section(found, monthly_usd=monthly, per_million_usd=numbers["per_million_usd"]),
        "formulas": FORMULAS,
        "reason": f"not computed without {'; '.join(missing)}" if missing else None,
    }


def _price(cost: Cost, products: Sequence[str]) -> tuple[float | None, GpuPrice | None, str | None]:
    """Dollars of a GPU-hour, the row of the sheet it comes from, and why there is none."""
    if cost.hourly_usd or not cost.cloud:
        return cost.hourly_usd, None, None
    if len(set(map(gpu_key, products))) != 1:
        why = "one GPU product that the price sheet could be asked about" if not products else "one kind of GPU"
        return None, None, f"{why} (cost.cloud is {cost.cloud}; cost.hourly_usd says it outright)"
    try:
        price = chosen_price(products[0], cost.cloud, own_prices(cost))
    except UsageError as error:
        return None, None, f"a price: {error}"
    if price is None:
        return None, None, f"a price of {products[0]} at {cost.cloud}, which the sheet lacks (cost.hourly_usd)"
    return price.usd, price, None


def own_prices(cost: Cost) -> tuple[GpuPrice, ...]:
    """The rows of the policy's own price sheet."""
    return tuple(
        GpuPrice(
            cloud=row.cloud,
            gpu=row.gpu,
            kind=row.kind,
            region=row.region,
            instance="",
            usd=row.usd,
            date=dt.date.fromisoformat(row.date),
            page=None,
            source=row.source,
        )
        for row in cost.prices
    )


def _list_prices(
    cost: Cost, products: Sequence[str], gpus: int | None, traffic: Traffic, collected_at: str
) -> list[dict[str, Any]] | None:
    """What the same GPUs cost elsewhere, and what a million requests would; None without one known product."""
    if len({gpu_key(product) for product in products}) != 1:
        return None
    prices = gpu_prices(products[0], own=own_prices(cost))
    if not prices and gpu_name(products[0]) is None:
        return None
    rows = []
    for price in prices:
        monthly = price.usd * gpus * HOURS_PER_MONTH if gpus else None
        rate = traffic.rate_per_s
        million = price.usd * gpus / 3600 / rate * 1e6 if gpus and rate else None
        rows.append({**price_row(price, collected_at), "monthly_usd": monthly, "per_million_usd": million})
    return rows


def _hosted(
    cost: Cost, models: Sequence[str], figures: CostFigures | None, traffic: Traffic, collected_at: str
) -> list[dict[str, Any]] | None:
    """The same traffic at a hosted price a token; None where no such price is known."""
    rows: list[dict[str, Any]] = [
        {key: value for key, value in price_row(price, collected_at).items() if key != "models"}
        for price in hosted_prices(models)
    ]
    if cost.hosted_input_usd is not None and cost.hosted_output_usd is not None:
        given = {"provider": "policy", "input_usd": cost.hosted_input_usd, "output_usd": cost.hosted_output_usd}
        rows.insert(0, {**given, **dict.fromkeys(("date", "page", "source", "age_days"))})
    rate, into, out = traffic.rate_per_s, traffic.input_tokens_per_s, traffic.output_tokens_per_s
    for row in rows:
        each = None
        if rate and into is not None and out is not None:
            each = (into * row["input_usd"] + out * row["output_usd"]) / rate / 1e6
        row["per_request_usd"] = each
        row["per_million_usd"] = None if each is None else each * 1e6
        row["break_even_utilisation"] = figures.per_request_usd / each if figures and each else None
    return rows or None


def _cpu(cost: Cost, figures: CostFigures | None) -> dict[str, Any] | None:
    """A CPU node that serves the same model, per request; None where the policy gives none."""
    if cost.cpu_hourly_usd is None or cost.cpu_rate_per_s is None:
        return None
    own = cost_figures(
        hourly_usd=cost.cpu_hourly_usd, gpus=1, rate_per_s=cost.cpu_rate_per_s, utilisation=cost.utilisation
    )
    ratio = own.per_request_usd / figures.per_request_usd if figures else None
    return {"per_request_usd": own.per_request_usd, "per_million_usd": own.per_million_usd, "ratio_to_gpu": ratio}
