"""What serving costs: exact formulas, unrounded numbers.

cost/s = hourly x GPUs / 3600; per request = cost/s / requests/s; monthly = hourly x GPUs x 730; effective at
utilisation u = per request / u. Prices in US dollars.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from inferaudit.errors import UsageError

HOURS_PER_MONTH = 730
DEFAULT_UTILISATION = 0.7

FORMULAS = {
    "per_second_usd": "hourly × gpus ÷ 3600",
    "per_request_usd": "per second ÷ requests per second",
    "per_million_usd": "per request × 1 000 000",
    "monthly_usd": "hourly × gpus × 730",
    "requests_per_usd": "1 ÷ per request",
    "effective_per_request_usd": "per request ÷ utilisation",
    "per_1000_tokens_usd": "per second ÷ tokens per second × 1000",
}


@dataclass(frozen=True, slots=True)
class CostFigures:
    """Cost of a service at a steady rate; `per_1000_tokens_usd` is None without a token rate."""

    per_second_usd: float
    per_request_usd: float
    per_million_usd: float
    monthly_usd: float
    requests_per_usd: float
    effective_per_request_usd: float
    per_1000_tokens_usd: float | None = None


def cost_figures(
    *,
    hourly_usd: float,
    gpus: int,
    rate_per_s: float,
    utilisation: float = DEFAULT_UTILISATION,
    tokens_per_s: float | None = None,
) -> CostFigures:
    """Cost from the price of one GPU-hour, the GPUs held, and the requests (and tokens) per second they serve."""
    if hourly_usd <= 0 or gpus < 1 or rate_per_s <= 0:
        raise UsageError("cost takes an hourly price above 0, at least one GPU and a rate above 0 requests per second")
    if not 0 < utilisation <= 1:
        raise UsageError("utilisation lies above 0 and at most 1, for example 0.7")
    per_second = hourly_usd * gpus / 3600
    per_request = per_second / rate_per_s
    return CostFigures(
        per_second_usd=per_second,
        per_request_usd=per_request,
        per_million_usd=per_request * 1e6,
        monthly_usd=hourly_usd * gpus * HOURS_PER_MONTH,
        requests_per_usd=1 / per_request,
        effective_per_request_usd=per_request / utilisation,
        per_1000_tokens_usd=per_second / tokens_per_s * 1000 if tokens_per_s else None,
    )


def cost_section(
    *, hourly_usd: float | None, gpus: int | None, utilisation: float, benchmark: dict[str, Any] | None
) -> dict[str, Any]:
    """The report's cost: computed where price, GPUs and a measured rate are known, else null with the reason."""
    rate = (benchmark or {}).get("request_rate")
    missing = [
        words
        for words, value in (
            ("the price of a GPU-hour (--hourly, or cost.hourly_usd in the policy)", hourly_usd),
            ("the number of GPUs (cost.gpus, or a workload that asks for them)", gpus),
            ("a measured request rate (--load)", rate),
        )
        if not value
    ]
    keys = ("per_request_usd", "per_million_usd", "monthly_usd", "requests_per_usd", "effective_per_request_usd")
    inputs = {"hourly_usd": hourly_usd, "gpus": gpus, "rate_per_s": rate, "utilisation": utilisation}
    if missing or not (hourly_usd and gpus and rate):
        empty = dict.fromkeys((*keys, "per_1000_tokens_usd"))
        return {**empty, "inputs": inputs, "formulas": FORMULAS, "reason": f"not computed without {'; '.join(missing)}"}
    figures = cost_figures(
        hourly_usd=hourly_usd,
        gpus=gpus,
        rate_per_s=rate,
        utilisation=utilisation,
        tokens_per_s=(benchmark or {}).get("token_rate"),
    )
    numbers = {key: getattr(figures, key) for key in (*keys, "per_1000_tokens_usd")}
    return {**numbers, "inputs": inputs, "formulas": FORMULAS, "reason": None}
