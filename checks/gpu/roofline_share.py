from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, review, unknown
from inferaudit.benchmark import judged_stage, row_values
from inferaudit.capacity import decode_tokens_per_second_ceiling
from inferaudit.engine_args import Engine, quantised_as, serving_engines
from inferaudit.errors import UsageError
from inferaudit.facts.gpu import Gpu
from inferaudit.gpu_table import GpuSpec
from inferaudit.latency import mean_in_flight
from inferaudit.model_shapes import shape_from_name
from inferaudit.records import ABSENT, RecordTable

_STREAMED_KV = {"fp8": "fp8", "fp8_e4m3": "fp8", "fp8_e5m2": "fp8", "int8": "int8"}


@check(
    title="Decoding comes near what the GPUs' memory can deliver",
    severity=Severity.LOW,
    needs=("load.result", "load.records", "nvml.gpus"),
    optional=("workload", "workload.containers", "service.configmaps"),
    remediation=(
        "Raise the batch (concurrency per replica), use CUDA graphs and a current engine, quantise, or take a smaller "
        "GPU: what is paid for here is not used."
    ),
    references=("https://docs.nvidia.com/deeplearning/performance/dl-performance-gpu-background/index.html",),
)
def roofline_share(snapshot: Snapshot, *, min_share: float = 0.2, max_share: float = 1.05) -> Iterator[Judgement]:
    """Each decoding step reads all weights and every sequence's KV cache once; memory bandwidth bounds its pace.

    Measured tokens/s while decoding (requests in flight ÷ mean TPOT) are held against that ceiling for the same batch,
    model and GPUs. No engine reaches it; a small share says where the money goes, more than all of it that model or
    GPUs are not those that were told, or that tokens are guessed ahead (speculative decoding).
    """
    result, records = snapshot.fact("load.result"), snapshot.fact("load.records")
    gpus, stage = snapshot.fact("nvml.gpus"), judged_stage(result)
    maps = () if snapshot.error("service.configmaps") else snapshot.fact("service.configmaps")
    containers = () if snapshot.error("workload.containers") else snapshot.fact("workload.containers")
    workload = None if snapshot.error("workload") else snapshot.fact("workload")
    engines = serving_engines(containers, maps)
    engine = engines[0][1] if len(engines) == 1 else None
    subject = engines[0][0]["subject"] if engine else f"endpoint/{result.url.partition('://')[2].partition('/')[0]}"
    shape = shape_from_name((engine and engine.value("model")) or result.model)
    product = _product(gpus)
    times = [] if stage is None else [value for _, value in row_values(result, records, stage, "tpot") if value > 0]
    if stage is None or not times:
        yield unknown(subject, "no time per output token was measured", Evidence("load.records", None))
        return
    if shape is None:
        seen = Evidence("load.result.model", result.model, "a name that states its size")
        yield unknown(subject, f"the model's size is not stated by its name, {result.model!r}", seen)
        return
    if product is None:
        seen = Evidence("nvml.gpus.product", sorted({gpu.product or "?" for gpu in gpus}), "one known product")
        yield unknown(subject, "the GPUs are not all of one product whose bandwidth is known", seen)
        return
    replicas = max(1, (workload.replicas if workload else None) or 1)
    count = engines[0][0]["gpus"] * workload.pods_per_replica if engine and workload else 0
    count, assumed = (count, "") if count else (max(1, len(gpus) // replicas), f", all {len(gpus)} GPUs taken as its")
    rows = [i for i in records.stage_rows(stage.name) if not records.columns["error"][i]]
    batch = max(1.0, _in_flight(records, rows) / replicas)
    context = _context(records, rows)
    try:
        ceiling = decode_tokens_per_second_ceiling(
            shape,
            product,
            quant=_quant(engine),
            gpus=count,
            batch=round(batch),
            context=context,
            kv_dtype=_kv_dtype(engine),
        )
    except UsageError as error:
        yield unknown(subject, f"the ceiling cannot be computed: {error}", Evidence("quantization", _quant(engine)))
        return
    if ceiling is None:
        yield unknown(
            subject, f"the bandwidth of {product.key} is not known", Evidence("nvml.gpus.product", product.key)
        )
        return
    measured = batch / (fmean(times) / 1e9)
    share = measured / ceiling
    seen = Evidence(
        "load.records.tpot",
        {
            "tokens_per_s": round(measured, 1),
            "ceiling": round(ceiling, 1),
            "batch": round(batch, 1),
            "context": context,
        },
        f">= {min_share:.0%} of the ceiling",
    )
    said = (
        f"{measured:,.0f} of at most {ceiling:,.0f} tokens/s a replica while decoding ({share:.0%}): {shape.name} as "
        f"{_quant(engine)} on {count} × {product.key}, {batch:.1f} requests at once{assumed}"
    )
    if share > max_share:
        yield review(subject, f"{said}; more than can be: check model, GPUs and speculative decoding", seen)
    else:
        yield (failed if share < min_share else passed)(subject, said, seen)


def _product(gpus: Sequence[Gpu]) -> GpuSpec | None:
    found = {gpu.table.key: gpu.table for gpu in gpus if gpu.table is not None and not gpu.mig_enabled}
    return next(iter(found.values())) if len(found) == 1 and all(gpu.table for gpu in gpus) else None


def _in_flight(records: RecordTable, rows: Sequence[int]) -> float:
    sent, ends = records.columns["sent_ns"], records.columns["end_ns"]
    spans = [(sent[i], ends[i]) for i in rows]
    return mean_in_flight(spans, min(s for s, _ in spans), max(e for _, e in spans)) or 1.0


def _context(records: RecordTable, rows: Sequence[int]) -> int:
    """Tokens of a sequence half way through its answer, on average."""

    def mean(name: str) -> float:
        told = [records.columns[name][i] for i in rows if records.columns[name][i] != ABSENT]
        return fmean(told) if told else 0.0

    return round(mean("input_tokens") + mean("output_tokens") / 2)


def _quant(engine: Engine | None) -> str:
    return (quantised_as(engine) if engine else None) or "fp16"


def _kv_dtype(engine: Engine | None) -> str:
    stated: Any = engine.value("kv_cache_precision") if engine else None
    return _STREAMED_KV.get(str(stated).lower(), "fp16")
