"""The price sheet: list prices of GPU-hours and of hosted models, each with its day and its source. Data, no judgement.

``prices.yaml`` beside this module is part of the release: the same version knows the same prices everywhere.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from inferaudit.errors import UsageError
from inferaudit.yaml_text import read_yaml


class GpuPrice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """US dollars for one GPU and one hour; `kind` is on-demand, spot or serverless."""

    cloud: str
    gpu: str
    kind: str
    region: str | None
    instance: str
    usd: float
    date: dt.date
    page: str | None
    source: str


class HostedPrice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """US dollars for a million tokens in and out of a hosted model, known by the last part of its id."""

    provider: str
    models: tuple[str, ...]
    input_usd: float
    output_usd: float
    date: dt.date
    page: str | None
    source: str


class PriceSheet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All list prices; `products` gives the driver's names of each GPU."""

    products: dict[str, tuple[str, ...]]
    gpu_hours: tuple[GpuPrice, ...]
    hosted: tuple[HostedPrice, ...]


@cache
def price_sheet() -> PriceSheet:
    """The sheet of this release."""
    text = (files("inferaudit") / "prices.yaml").read_text(encoding="utf-8")
    return msgspec.convert(read_yaml(text), PriceSheet)


def gpu_name(product: str) -> str | None:
    """The sheet's name of a GPU, from the driver's, a node label's or its own; None when the sheet has no such GPU."""
    wanted = _words(product)
    for name, products in price_sheet().products.items():
        if wanted in map(_words, (name, *products)):
            return name
    return None


def gpu_key(product: str) -> str:
    """The same text for every name of a GPU: the sheet's, or that of a GPU which the sheet lacks, less its case."""
    return gpu_name(product) or _words(product)


def gpu_prices(product: str, cloud: str = "", kind: str = "", own: Sequence[GpuPrice] = ()) -> tuple[GpuPrice, ...]:
    """What an hour of this GPU costs, cheapest first; empty when nobody says.

    `own` are a site's rows; they stand in the place of the sheet's for the same GPU, cloud and kind.
    """
    wanted = gpu_key(product)
    replaced = {(gpu_key(p.gpu), p.cloud.lower(), p.kind) for p in own}
    sheet = [p for p in price_sheet().gpu_hours if (gpu_key(p.gpu), p.cloud, p.kind) not in replaced]
    found = [
        p
        for p in (*own, *sheet)
        if gpu_key(p.gpu) == wanted and cloud.lower() in ("", p.cloud.lower()) and kind in ("", p.kind)
    ]
    return tuple(sorted(found, key=lambda p: (p.usd, p.cloud, p.kind)))


def chosen_price(product: str, cloud: str, own: Sequence[GpuPrice] = ()) -> GpuPrice | None:
    """The price of this GPU at `cloud` that is not spot; UsageError for a cloud of neither the sheet nor `own`."""
    clouds = sorted({p.cloud.lower() for p in (*own, *price_sheet().gpu_hours)})
    if cloud.lower() not in clouds:
        raise UsageError(f"the price sheet has no cloud {cloud!r}; it has {', '.join(clouds)}")
    return next((p for p in gpu_prices(product, cloud, own=own) if p.kind != "spot"), None)


def hosted_prices(models: Sequence[str]) -> tuple[HostedPrice, ...]:
    """What these models cost where others host them, cheapest output first."""
    wanted = {_words(model.rpartition("/")[2]) for model in models}
    found = [p for p in price_sheet().hosted if wanted & set(map(_words, p.models))]
    return tuple(sorted(found, key=lambda p: (p.output_usd, p.input_usd, p.provider)))


def price_row(price: GpuPrice | HostedPrice, collected_at: str) -> dict[str, Any]:
    """A price as it stands in the report, with its age in days on the day of the audit; negative ages are 0."""
    data: dict[str, Any] = {**msgspec.to_builtins(price), "date": price.date.isoformat()}
    return {**data, "age_days": max((dt.date.fromisoformat(collected_at[:10]) - price.date).days, 0)}


def _words(name: str) -> str:
    return " ".join(re.findall(r"[a-z0-9.]+", name.lower()))
