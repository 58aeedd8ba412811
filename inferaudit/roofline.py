"""How near a stage of the load came to what the GPUs can do: tokens/s against the two rooflines. Pure.

Decoding reads all weights and every sequence's KV cache for each step (memory bandwidth); prompts and answers together
take two operations a token and active weight (arithmetic). The model's size comes from its name, its format from the
engine's arguments, the GPUs from what the driver or an exporter showed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from inferaudit.benchmark import row_values
from inferaudit.capacity import decode_tokens_per_second_ceiling, peak_tflops
from inferaudit.engine_args import Engine, quantised_as, serving_engines
from inferaudit.errors import UsageError
from inferaudit.facts.gpu import Gpu
from inferaudit.facts.load import LoadStage
from inferaudit.gpu_table import GpuSpec
from inferaudit.latency import mean_in_flight
from inferaudit.load_readings import answered
from inferaudit.model import Evidence, Snapshot
from inferaudit.model_names import shape_from_name
from inferaudit.records import ABSENT, RecordTable

OPTIONAL = ("workload", "workload.containers", "service.configmaps")
"""Facts that a check names as optional to use this module, beside load.result, load.records and nvml.gpus."""

_STREAMED_KV = {"fp8": "fp8", "fp8_e4m3": "fp8", "fp8_e5m2": "fp8", "int8": "int8"}


@dataclass(frozen=True, slots=True)
class Roofline:
    """What a replica did in a stage. Rates are tokens/s of one replica of `gpus` GPUs.

    `decoded` = requests in flight ÷ mean TPOT, held against `ceiling`. `produced` are output tokens over the time of
    the stage. `arithmetic_share` counts prompts too: tokens × 2 × active weights ÷ (peak × time); None = not known.
    """

    decoded: float
    ceiling: float
    produced: float
    arithmetic_share: float | None
    batch: float
    context: int
    gpus: int
    what: str

    @property
    def decode_share(self) -> float:
        """Share of the ceiling that decoding reached."""
        return self.decoded / self.ceiling

    @property
    def share(self) -> float:
        """The larger of the two shares: long prompts use arithmetic, long answers bandwidth."""
        return max(self.decode_share, self.arithmetic_share or 0.0)


@dataclass(frozen=True, slots=True)
class NoRoofline:
    """Why there is none, with the evidence."""

    why: str
    evidence: Evidence


def serving_engine(snapshot: Snapshot) -> tuple[str, Engine | None, int]:
    """(subject, engine, GPUs of a replica) of the one serving container; (endpoint, None, 0) where none is known."""
    maps = () if snapshot.error("service.configmaps") else snapshot.fact("service.configmaps")
    containers = () if snapshot.error("workload.containers") else snapshot.fact("workload.containers")
    engines = serving_engines(containers, maps)
    if len(engines) != 1:
        url = snapshot.fact("load.result").url
        return f"endpoint/{url.partition('://')[2].partition('/')[0]}", None, 0
    container, engine = engines[0]
    pods = 0 if snapshot.error("workload") else snapshot.fact("workload").pods_per_replica
    return container["subject"], engine, container["gpus"] * pods


def roofline(snapshot: Snapshot, stage: LoadStage | None) -> Roofline | NoRoofline:
    """The figures of `stage`, or why they cannot be computed."""
    result, records, gpus = snapshot.fact("load.result"), snapshot.fact("load.records"), snapshot.fact("nvml.gpus")
    _, engine, own_gpus = serving_engine(snapshot)
    times = [] if stage is None else [value for _, value in row_values(result, records, stage, "tpot") if value > 0]
    if stage is None or not times:
        return NoRoofline("no time per output token was measured", Evidence("load.records", None))
    shape = shape_from_name((engine and engine.value("model")) or result.model)
    if shape is None:
        seen = Evidence("load.result.model", result.model, "a name that states its size")
        return NoRoofline(f"the model's size is not stated by its name, {result.model!r}", seen)
    product = one_product(gpus)
    if product is None:
        seen = Evidence("nvml.gpus.product", sorted({gpu.product or "?" for gpu in gpus}), "one known product")
        return NoRoofline("the GPUs are not all of one product whose bandwidth is known", seen)
    workload = None if snapshot.error("workload") else snapshot.fact("workload")
    replicas = max(1, (workload.replicas if workload else None) or 1)
    count, assumed = own_gpus, ""
    if not count:
        count, assumed = max(1, len(gpus) // replicas), f", all {len(gpus)} GPUs taken as its"
    rows = answered(records, stage)
    span_ns = _span_ns(records, rows)
    batch = max(1.0, _in_flight(records, rows) / replicas)
    context, quant = _context(records, rows), (quantised_as(engine) if engine else None) or shape.stored_quant or "fp16"
    try:
        ceiling = decode_tokens_per_second_ceiling(
            shape,
            product,
            quant=quant,
            gpus=count,
            batch=round(batch),
            context=context,
            kv_dtype=_kv_dtype(engine),
        )
    except UsageError as error:
        return NoRoofline(f"the ceiling cannot be computed: {error}", Evidence("quantization", quant))
    if ceiling is None:
        return NoRoofline(f"the bandwidth of {product.key} is not known", Evidence("nvml.gpus.product", product.key))
    answers, prompts = _total(records, rows, "output_tokens"), _total(records, rows, "input_tokens")
    peak = peak_tflops(product, quant)
    seconds = span_ns / 1e9 * replicas
    arithmetic = None
    if peak and seconds > 0:
        arithmetic = (answers + prompts) * 2 * shape.active_parameters / (peak * 1e12 * count * seconds)
    return Roofline(
        decoded=batch / (fmean(times) / 1e9),
        ceiling=ceiling,
        produced=answers / seconds if seconds > 0 else 0.0,
        arithmetic_share=arithmetic,
        batch=batch,
        context=context,
        gpus=count,
        what=f"{shape.name} as {quant} on {count} × {product.key}, {batch:.1f} requests at once{assumed}",
    )


def one_product(gpus: Sequence[Gpu]) -> GpuSpec | None:
    """The product of all GPUs, where it is one and known; None for MIG, whose slices have not the board's figures."""
    found = {gpu.table.key: gpu.table for gpu in gpus if gpu.table is not None and not gpu.mig_enabled}
    if len(found) != 1 or any(gpu.table is None or gpu.mig_enabled for gpu in gpus):
        return None
    return next(iter(found.values()))


def _span_ns(records: RecordTable, rows: Sequence[int]) -> int:
    sent, ends = records.columns["sent_ns"], records.columns["end_ns"]
    return max(ends[i] for i in rows) - min(sent[i] for i in rows) if rows else 0


def _in_flight(records: RecordTable, rows: Sequence[int]) -> float:
    sent, ends = records.columns["sent_ns"], records.columns["end_ns"]
    spans = [(sent[i], ends[i]) for i in rows]
    return mean_in_flight(spans, min(s for s, _ in spans), max(e for _, e in spans)) or 1.0


def _total(records: RecordTable, rows: Sequence[int], name: str) -> int:
    column = records.columns[name]
    return sum(column[i] for i in rows if column[i] != ABSENT)


def _context(records: RecordTable, rows: Sequence[int]) -> int:
    """Tokens of a sequence half way through its answer, on average."""

    def mean(name: str) -> float:
        known = [records.columns[name][i] for i in rows if records.columns[name][i] != ABSENT]
        return fmean(known) if known else 0.0

    return round(mean("input_tokens") + mean("output_tokens") / 2)


def _kv_dtype(engine: Engine | None) -> str:
    stated: Any = engine.value("kv_cache_precision") if engine else None
    return _STREAMED_KV.get(str(stated).lower(), "fp16")
