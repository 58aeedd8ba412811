"""Will this model fit these GPUs? Weights, KV cache and overhead in bytes, with the formula beside every number.

Pure arithmetic over a :class:`~inferaudit.model_shapes.ModelShape` and a :class:`~inferaudit.gpu_table.GpuSpec`. All
GPUs of a plan are alike and share one model by tensor parallelism; a replica is one such group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from inferaudit.errors import UsageError
from inferaudit.gpu_table import GpuSpec
from inferaudit.model_shapes import ModelShape

GIB = 1024**3
MEMORY_FRACTION = 0.9
_MAX_GPUS = 4096
_MIN_SEQUENCES = 32
# What a process holds on a GPU before any model: CUDA context and library handles; with several, NCCL's buffers too.
_RUNTIME_BYTES = GIB // 2
_COMMUNICATION_BYTES = GIB // 4


@dataclass(frozen=True, slots=True)
class Quant:
    """A weight format: bits of a weight with its share of scales and zero points, and bits of embeddings and head.

    `compute` is the precision the arithmetic runs in.
    """

    name: str
    bits: float
    embedding_bits: float
    compute: str = "bf16"


_GROUP_128 = 4 + (16 + 4) / 128  # a 16-bit scale and a 4-bit zero point for each group of 128 weights
# The GGUF figures are llama.cpp's own bits per weight (its `quantize` tool prints them), embeddings included.
QUANTS: dict[str, Quant] = {
    quant.name: quant
    for quant in (
        Quant("fp32", 32, 32),
        Quant("bf16", 16, 16),
        Quant("fp16", 16, 16, "fp16"),
        Quant("fp8", 8, 16, "fp8"),
        Quant("int8", 8, 16, "int8"),
        Quant("awq-4bit", _GROUP_128, 16),
        Quant("gptq-4bit", _GROUP_128, 16),
        Quant("awq-4bit-g64", 4 + (16 + 4) / 64, 16),
        Quant("gptq-4bit-g64", 4 + (16 + 4) / 64, 16),
        Quant("awq-4bit-g32", 4 + (16 + 4) / 32, 16),
        Quant("gptq-4bit-g32", 4 + (16 + 4) / 32, 16),
        Quant("4bit", _GROUP_128, 16),
        Quant("int4", _GROUP_128, 16),
        Quant("4bit-all", _GROUP_128, _GROUP_128),
        Quant("nvfp4", 4 + 8 / 16, 16),
        Quant("mxfp4", 4 + 8 / 32, 16),
        Quant("nf4", 4 + 8 / 64 + 32 / (64 * 256), 16),
        Quant("q4_0", 4.5, 4.5, "fp16"),
        Quant("q4_k_m", 4.85, 4.85, "fp16"),
        Quant("q5_k_m", 5.69, 5.69, "fp16"),
        Quant("q6_k", 6.5625, 6.5625, "fp16"),
        Quant("q8_0", 8.5, 8.5, "fp16"),
    )
}
KV_BYTES: dict[str, float] = {"fp32": 4, "fp16": 2, "bf16": 2, "fp8": 1, "int8": 1, "q8_0": 34 / 32, "q4_0": 18 / 32}


@dataclass(frozen=True, slots=True)
class Capacity:
    """The answer. Bytes are sums over all GPUs of the plan; `gpus` None = no number of these GPUs is enough.

    `gpus` is the smallest count that holds `concurrency` requests of `context` tokens, `tensor_parallel` the next
    divisor of the attention heads that the KV heads allow too. `planned_gpus` is the count that `fits`,
    `max_concurrency`, `kv_tokens_left` (KV tokens that fit beside weights and overhead) and `overhead_bytes` refer to.
    """

    model: str
    gpu: str
    quant: str
    context: int
    concurrency: int
    parameters: float
    weights_bytes: int
    kv_bytes_per_token: int
    kv_bytes: int
    overhead_bytes: int
    memory_bytes: int
    gpus: int | None
    tensor_parallel: int | None
    planned_gpus: int
    fits: bool
    max_concurrency: int
    kv_tokens_left: int
    assumptions: tuple[str, ...] = ()
    formulas: Mapping[str, str] = field(default_factory=dict)


def named_quant(name: str) -> Quant:
    """A format by name, as people write it (``AWQ-4bit``, ``Q4_K_M``); UsageError lists the known ones."""
    wanted = name.strip().lower()
    for known, quant in QUANTS.items():
        if wanted.replace("-", "").replace("_", "") == known.replace("-", "").replace("_", ""):
            return quant
    aliases = {"awq": "awq-4bit", "gptq": "gptq-4bit", "w8a8": "int8", "w4a16": "int4", "bnb": "nf4", "half": "fp16"}
    if wanted in aliases:
        return QUANTS[aliases[wanted]]
    raise UsageError(f"{name!r} is no weight format we can size; known are {', '.join(QUANTS)}")


def weights_bytes(shape: ModelShape, quant: Quant) -> int:
    """Bytes of the weights: linear layers at the format's bits, embeddings and head at theirs."""
    embeddings = min(shape.embedding_parameters, shape.parameters)
    return round(((shape.parameters - embeddings) * quant.bits + embeddings * quant.embedding_bits) / 8)


def kv_bytes_per_token(shape: ModelShape, kv_dtype: str = "fp16") -> int:
    """Bytes one token of a short context keeps: every caching layer counts."""
    layers = shape.full_layers + shape.window_layers
    return round(layers * shape.cached_values_per_layer * _kv_element(kv_dtype))


def kv_bytes_per_sequence(shape: ModelShape, context: int, kv_dtype: str = "fp16") -> int:
    """Bytes a request of `context` tokens keeps; layers with a sliding window stop growing at its width."""
    layer = shape.cached_values_per_layer * _kv_element(kv_dtype)
    windowed = min(context, shape.window) if shape.window else context
    return round(layer * (shape.full_layers * context + shape.window_layers * windowed))


def overhead_bytes_per_gpu(shape: ModelShape, gpus: int, *, batched_tokens: int, sequences: int) -> int:
    """What one of `gpus` GPUs needs beside weights and KV: the runtime, and the larger of activations and logits."""
    runtime, communication, activations, logits = _overhead_parts(shape, gpus, batched_tokens, sequences)
    return runtime + communication + max(activations, logits)


def _overhead_parts(shape: ModelShape, gpus: int, batched_tokens: int, sequences: int) -> tuple[int, int, int, int]:
    """Bytes of (runtime, communication, activations, logits) on each GPU.

    Activations are those of one layer for one step of `batched_tokens` tokens at 2 bytes: residual, norm, attention's
    projections and output, and both halves of the gated MLP; the matrices' own share is divided over the GPUs.
    """
    width = shape.experts.per_token * shape.experts.width + shape.experts.shared_width if shape.experts else 0
    width = max(width, shape.intermediate)
    projections = (shape.heads + 2 * shape.kv_heads) * shape.head_dim
    activations = round(batched_tokens * 2 * (5 * shape.hidden + (projections + 2 * width) / gpus))
    logits = sequences * shape.vocab * 8  # 32-bit logits and a copy for sampling
    return _RUNTIME_BYTES, _COMMUNICATION_BYTES if gpus > 1 else 0, activations, logits


def kv_pool_tokens(
    shape: ModelShape,
    gpu: GpuSpec,
    gpus: int,
    *,
    weights: int,
    kv_dtype: str = "fp16",
    memory_fraction: float = MEMORY_FRACTION,
    batched_tokens: int = 2048,
    sequences: int = _MIN_SEQUENCES,
) -> int:
    """KV tokens that fit on `gpus` GPUs beside the weights, counted for short contexts; 0 when the weights do not fit.

    A GPU holds its share of the KV heads and never less than one head; MLA's latent is held whole by each.
    """
    pool = _pool_bytes(shape, gpu, gpus, weights, memory_fraction, batched_tokens, sequences)
    per_token = kv_bytes_per_token(shape, kv_dtype)
    return max(0, int(pool * _kv_split(shape, gpus) / per_token)) if per_token else _unbounded(pool)


def plan_capacity(
    shape: ModelShape,
    gpu: GpuSpec,
    *,
    quant: str | None = None,
    kv_dtype: str = "fp16",
    context: int = 4096,
    concurrency: int = 1,
    gpus: int | None = None,
    memory_fraction: float = MEMORY_FRACTION,
    batched_tokens: int = 2048,
) -> Capacity:
    """Sizes `shape` on `gpu`. Without `quant`: the files' own size where they were looked at, else FP16.

    `context` are tokens of prompt and answer together, for each of `concurrency` requests held at once.
    `memory_fraction` of the driver's total may be used. UsageError for what is out of range.
    """
    _check(context, concurrency, gpus, memory_fraction, batched_tokens)
    format_name, weights, weights_formula, notes = _weights(shape, quant)
    sequences = max(concurrency, _MIN_SEQUENCES)
    per_token = kv_bytes_per_token(shape, kv_dtype)
    per_sequence = kv_bytes_per_sequence(shape, context, kv_dtype)

    def held(count: int) -> int:
        pool = _pool_bytes(shape, gpu, count, weights, memory_fraction, batched_tokens, sequences)
        return max(0, int(pool * _kv_split(shape, count) // per_sequence)) if per_sequence else _unbounded(pool)

    needed = next((count for count in range(1, _MAX_GPUS + 1) if held(count) >= concurrency), None)
    planned = gpus or needed or 1
    parallel = None if needed is None else _next_degree(shape, needed)
    overhead = overhead_bytes_per_gpu(shape, planned, batched_tokens=batched_tokens, sequences=sequences)
    most = held(planned)
    tokens = kv_pool_tokens(
        shape,
        gpu,
        planned,
        weights=weights,
        kv_dtype=kv_dtype,
        memory_fraction=memory_fraction,
        batched_tokens=batched_tokens,
        sequences=sequences,
    )
    return Capacity(
        model=shape.name,
        gpu=gpu.key,
        quant=format_name,
        context=context,
        concurrency=concurrency,
        parameters=shape.parameters,
        weights_bytes=weights,
        kv_bytes_per_token=per_token,
        kv_bytes=per_sequence * concurrency,
        overhead_bytes=overhead * planned,
        memory_bytes=gpu.memory_bytes * planned,
        gpus=needed,
        tensor_parallel=parallel,
        planned_gpus=planned,
        fits=most >= concurrency,
        max_concurrency=most,
        kv_tokens_left=tokens,
        assumptions=(*shape.assumptions, *notes, *gpu.notes, *_notes(shape, context, needed, planned)),
        formulas={
            "weights_bytes": weights_formula,
            **_formulas(shape, gpu, planned, kv_dtype, context, concurrency, memory_fraction, batched_tokens, weights),
        },
    )


def decode_tokens_per_second_ceiling(
    shape: ModelShape,
    gpu: GpuSpec,
    *,
    quant: str | None = None,
    gpus: int = 1,
    batch: int = 1,
    context: int = 0,
    kv_dtype: str = "fp16",
) -> float | None:
    """The most tokens/s, all sequences together, that decoding can reach: the lower of the two rooflines.

    Each step reads the weights once and every sequence's KV cache (bandwidth), and multiplies every sequence with
    every active weight (2 operations a weight). None where the GPU's figures are not known. No engine reaches it.
    """
    _check(max(context, 1), batch, gpus, 1.0, 1)
    format_name, weights, _, _ = _weights(shape, quant)
    peak = peak_tflops(gpu, format_name)
    if not gpu.bandwidth_gb_s or not peak:
        return None
    step_bytes = weights * _touched_share(shape, batch) + batch * kv_bytes_per_sequence(shape, context, kv_dtype)
    by_bandwidth = gpu.bandwidth_gb_s * 1e9 * gpus / step_bytes * batch
    by_arithmetic = peak * 1e12 * gpus / (2 * shape.active_parameters)
    return min(by_bandwidth, by_arithmetic)


def peak_tflops(gpu: GpuSpec, quant: str) -> float | None:
    """Dense TFLOP/s in the precision that a weight format computes in; None where the GPU's figures are not known."""
    compute = QUANTS[quant].compute if quant in QUANTS else "bf16"
    return gpu.tflops.get(compute) or gpu.tflops.get("fp16")


def _touched_share(shape: ModelShape, batch: int) -> float:
    """The share of the weights that one step reads: with experts, those that `batch` tokens choose, if at random."""
    if shape.experts is None:
        return 1.0
    active = shape.active_parameters / shape.parameters
    per_expert = shape.experts.per_token / shape.experts.count
    routed = (1 - active) / (1 - per_expert) if per_expert < 1 else 0.0
    return 1 - routed * (1 - per_expert) ** batch


def _check(context: int, concurrency: int, gpus: int | None, fraction: float, batched_tokens: int) -> None:
    for name, value in (("context", context), ("concurrency", concurrency), ("batched tokens", batched_tokens)):
        if not 1 <= value <= 10**9:
            given = f"{value:,}" if abs(value) < 10**15 else f"{value:.3g}"
            raise UsageError(f"{name} must be 1 to {10**9:,}, not {given}")
    if gpus is not None and not 1 <= gpus <= _MAX_GPUS:
        raise UsageError(f"GPUs must be 1 to {_MAX_GPUS}, not {gpus}")
    if not 0 < fraction <= 1:
        raise UsageError(f"the memory fraction must be above 0 and at most 1, not {fraction}")


def _kv_element(kv_dtype: str) -> float:
    try:
        return KV_BYTES[kv_dtype.lower()]
    except KeyError:
        raise UsageError(f"{kv_dtype!r} is no KV cache format we can size; known are {', '.join(KV_BYTES)}") from None


def _weights(shape: ModelShape, quant: str | None) -> tuple[str, int, str, tuple[str, ...]]:
    if quant is None and shape.stored_bytes is not None:
        stored = shape.stored_quant or "as stored"
        return stored, shape.stored_bytes, f"{shape.stored_bytes:,} B, as stored", ()
    chosen = named_quant(quant or (shape.stored_quant if shape.stored_quant in QUANTS else None) or "fp16")
    total = weights_bytes(shape, chosen)
    embeddings = min(shape.embedding_parameters, shape.parameters)
    formula = (
        f"({shape.parameters - embeddings:,.0f} × {chosen.bits:g} bits + {embeddings:,.0f} embedding weights × "
        f"{chosen.embedding_bits:g} bits) ÷ 8 = {total:,} B"
    )
    notes = []
    if chosen.bits != chosen.embedding_bits:
        notes.append(f"{chosen.name}: embeddings and head stay at {chosen.embedding_bits:g} bits")
    if chosen.bits == _GROUP_128:
        notes.append("4-bit groups of 128 weights; smaller groups or other layers left at 16 bits need more")
    return chosen.name, total, formula, tuple(notes)


def _kv_split(shape: ModelShape, gpus: int) -> float:
    """How much smaller one GPU's share of a token's KV is than the whole: heads are not cut, the fullest GPU counts."""
    return 1 if shape.mla else shape.kv_heads / -(-shape.kv_heads // gpus)


def _pool_bytes(
    shape: ModelShape, gpu: GpuSpec, gpus: int, weights: int, fraction: float, batched_tokens: int, sequences: int
) -> float:
    """KV bytes on each GPU."""
    overhead = overhead_bytes_per_gpu(shape, gpus, batched_tokens=batched_tokens, sequences=sequences)
    return gpu.memory_bytes * fraction - weights / gpus - overhead


def _unbounded(pool: float) -> int:
    return 10**9 if pool >= 0 else 0  # a model without a KV cache: memory does not bound its requests


def _next_degree(shape: ModelShape, at_least: int) -> int | None:
    """The next divisor of the attention heads that also shares out the KV heads, or copies each equally often."""

    def valid(count: int) -> bool:
        even = shape.kv_heads % count == 0 or count % shape.kv_heads == 0
        return shape.heads % count == 0 and (even or shape.mla is not None)

    return next((count for count in range(at_least, shape.heads + 1) if valid(count)), None)


def _notes(shape: ModelShape, context: int, needed: int | None, planned: int) -> tuple[str, ...]:
    notes = []
    if needed is None:
        notes.append(f"no number of these GPUs up to {_MAX_GPUS} holds this model: one GPU lacks room for its overhead")
    for count in () if needed is None else dict.fromkeys((needed, planned)):
        parallel = _next_degree(shape, count)
        what = (
            f"{shape.kv_heads} KV heads, nor they it" if shape.heads % count == 0 else f"{shape.heads} attention heads"
        )
        if parallel is None:
            over = f"{count} GPUs exceed the {shape.heads} attention heads"
            notes.append(f"{over}: several nodes or pipeline stages are needed")
        elif parallel != count:
            notes.append(f"{count} does not divide the {what}: tensor parallelism takes {parallel}")
    if shape.max_context is not None and context > shape.max_context:
        notes.append(f"the model's own limit is {shape.max_context:,} tokens, less than the {context:,} asked for")
    if shape.cacheless_layers:
        notes.append(f"{shape.cacheless_layers} layers keep a state of fixed size, which is not counted")
    return tuple(notes)


def _formulas(
    shape: ModelShape,
    gpu: GpuSpec,
    gpus: int,
    kv_dtype: str,
    context: int,
    concurrency: int,
    fraction: float,
    batched_tokens: int,
    weights: int,
) -> dict[str, str]:
    element = _kv_element(kv_dtype)
    layers = shape.full_layers + shape.window_layers
    if shape.mla:
        per_token = f"{layers} layers × {shape.mla.cached_values} latent values × {element:g} B"
    else:
        per_token = f"2 (K and V) × {layers} layers × {shape.kv_heads} KV heads × {shape.head_dim} × {element:g} B"
    sequences = max(concurrency, _MIN_SEQUENCES)
    runtime, communication, activations, logits = _overhead_parts(shape, gpus, batched_tokens, sequences)
    total = f"{concurrency:,} requests × {context:,} tokens × {kv_bytes_per_token(shape, kv_dtype):,} B"
    if shape.window_layers and context > shape.window:
        total += f", {shape.window_layers} layers holding {shape.window:,} tokens only"
    return {
        "kv_bytes_per_token": f"{per_token} = {kv_bytes_per_token(shape, kv_dtype):,} B",
        "kv_bytes": f"{total} = {kv_bytes_per_sequence(shape, context, kv_dtype) * concurrency:,} B",
        "overhead_bytes": (
            f"{gpus} × ({runtime:,} B runtime + {communication:,} B communication + the larger of {activations:,} B "
            f"activations of {batched_tokens:,} tokens and {logits:,} B logits)"
        ),
        "kv_tokens_left": (
            f"({gpu.memory_bytes:,} B × {fraction:g} − {weights:,} B ÷ {gpus} − overhead ÷ {gpus}) × "
            f"{_kv_split(shape, gpus):.3g} ÷ {kv_bytes_per_token(shape, kv_dtype):,} B"
        ),
        "gpus": f"the smallest count of {gpu.key} ({gpu.memory_mib:,} MiB each) that holds the asked KV cache",
    }
