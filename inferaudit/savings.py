"""What would make the service cheaper, each lever computed from what was measured or given. Pure.

A lever is a factor on the cost: 1 changes nothing, 0.8 saves a fifth. Levers multiply, so two of 30 % save 51 % and not
60 %. A lever whose inputs are not known has no factor, names them, and no percentage stands in for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from inferaudit.policy import Cost
from inferaudit.units import plain

ASSUMPTION = "the levers act independently of each other; measure again after each"


@dataclass(frozen=True, slots=True)
class Lever:
    """One way to save: `factor` on the cost, None while `missing` names what it is computed from.

    `counted` is False for what the policy does not allow: it is shown, and not part of the sum.
    """

    id: str
    title: str
    factor: float | None
    formula: str
    arithmetic: str | None
    missing: str | None
    condition: str | None = None
    counted: bool = True


def levers(
    cost: Cost, *, hourly_usd: float | None, rate_per_s: float | None, knee_per_s: float | None, tolerant: bool
) -> tuple[Lever, ...]:
    """All levers, the largest saving first, then those that lack an input; `tolerant` = may run on spot nodes."""
    found = (
        _fill(rate_per_s, knee_per_s),
        _spot(cost, hourly_usd, tolerant),
        _share("scale-to-zero", "Scale to zero while nobody asks", cost.idle_share, "idle_share",
               "the first request after a pause waits for a cold start"),
        _quantise(cost, rate_per_s),
        _route(cost),
        _share("caching", "Answer repeats from a cache", cost.cached_share, "cached_share",
               "only where the same question may get the same answer"),
    )  # fmt: skip
    return tuple(sorted(found, key=lambda lever: (lever.factor is None, lever.factor or 0.0, lever.id)))


def savings_section(
    found: Sequence[Lever], *, monthly_usd: float | None, per_million_usd: float | None
) -> dict[str, Any]:
    """The report's ``cost.savings``: each lever with its saving, and all that save together; null = not computed."""
    useful = [lever.factor for lever in found if lever.counted and lever.factor is not None and lever.factor < 1]
    together = combined(useful) if useful else None
    rows = []
    for lever in found:
        factor = lever.factor
        left = None if factor is None or monthly_usd is None else monthly_usd * factor
        saved = None if left is None or monthly_usd is None else monthly_usd - left
        rows.append({**asdict(lever), "saving": None if factor is None else 1 - factor, "monthly_saving_usd": saved})
    return {
        "levers": rows,
        "factor": together,
        "saving": None if together is None else 1 - together,
        "monthly_usd": None if together is None or monthly_usd is None else monthly_usd * together,
        "per_million_usd": None if together is None or per_million_usd is None else per_million_usd * together,
        "formula": "cost × the factors below 1 of all levers that count",
        "assumption": ASSUMPTION,
    }


def combined(factors: Sequence[float]) -> float:
    """The factor of several levers together: their product, 1 for none."""
    product = 1.0
    for factor in factors:
        product *= factor
    return product


def spot_factor(burst_share: float, spot_hourly_usd: float, hourly_usd: float) -> float:
    """Only the burst may be interrupted: the steady share keeps its price."""
    return 1 - burst_share + burst_share * spot_hourly_usd / hourly_usd


def _fill(rate: float | None, knee: float | None) -> Lever:
    factor = min(rate / knee, 1.0) if rate and knee else None
    return Lever(
        "fill",
        "Load the GPUs up to the measured knee",
        factor,
        "measured rate ÷ rate at the knee, at most 1",
        f"{plain(rate)} ÷ {plain(knee)} = {plain(factor)}" if rate and knee and factor else None,
        None if factor is not None else "a measured rate and a knee (--load full)",
        "batching, concurrency and replicas set so that each GPU takes that load",
    )


def _spot(cost: Cost, hourly: float | None, tolerant: bool) -> Lever:
    burst, spot = cost.burst_share, cost.spot_hourly_usd
    known = burst is not None and spot is not None and hourly is not None
    factor = spot_factor(burst, spot, hourly) if burst is not None and spot is not None and hourly is not None else None
    stated = "" if tolerant else "; not counted, for the policy does not call the service interruption-tolerant"
    return Lever(
        "spot",
        "Serve the burst, and only the burst, on spot nodes",
        factor,
        "1 − burst share + burst share × spot price ÷ price",
        f"1 − {burst:.4g} + {burst:.4g} × {spot:.4g} ÷ {hourly:.4g} = {factor:.4g}" if known else None,
        None if known else "cost.burst_share, cost.spot_hourly_usd and a price of the GPU-hour",
        f"takes PodDisruptionBudget, grace and an on-demand fallback{stated}",
        tolerant,
    )


def _quantise(cost: Cost, rate: float | None) -> Lever:
    quantised = cost.quantised_rate_per_s
    factor = rate / quantised if rate and quantised else None
    return Lever(
        "quantisation",
        "Serve a quantised model",
        factor,
        "measured rate ÷ measured rate of the quantised model on the same GPUs",
        f"{plain(rate)} ÷ {plain(quantised)} = {plain(factor)}" if rate and quantised and factor else None,
        None if factor is not None else "a measured rate, and cost.quantised_rate_per_s measured in the same way",
        "its loss of quality is measured on the golden set first",
    )


def _route(cost: Cost) -> Lever:
    share, ratio = cost.routed_share, cost.routed_cost_ratio
    factor = 1 - share + share * ratio if share is not None and ratio is not None else None
    return Lever(
        "routing",
        "Route easy requests to a smaller model",
        factor,
        "1 − routed share + routed share × the smaller model's cost ratio",
        f"1 − {share:.4g} + {share:.4g} × {ratio:.4g} = {factor:.4g}" if factor is not None else None,
        None if factor is not None else "cost.routed_share and cost.routed_cost_ratio",
        "the smaller model passes the golden set on what it is sent",
    )


def _share(name: str, title: str, share: float | None, key: str, condition: str) -> Lever:
    """A lever that drops a share of the cost."""
    factor = None if share is None else 1 - share
    arithmetic = None if factor is None else f"1 − {share:.4g} = {factor:.4g}"
    words = key.replace("_", " ")
    return Lever(
        name, title, factor, f"1 − {words}", arithmetic, None if factor is not None else f"cost.{key}", condition
    )
