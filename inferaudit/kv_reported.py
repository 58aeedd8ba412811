"""How large the KV cache of a running engine is, by its own metrics page. Pure.

vLLM: the labels of ``vllm:cache_config_info``; SGLang: ``sglang:max_total_num_tokens``; TGI:
``tgi_batch_max_total_tokens``; Triton with TensorRT-LLM: ``nv_trt_llm_kv_cache_block_metrics``. llama.cpp holds what it
was told to (``--ctx-size``) and reports no size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inferaudit.exposition import MetricFamily, samples
from inferaudit.units import whole_number

_TRITON = "nv_trt_llm_kv_cache_block_metrics"


@dataclass(frozen=True, slots=True)
class ReportedKv:
    """KV tokens of one engine, the least where the page holds several.

    `blocks` True = blocks × block size: of a model whose layers keep different contexts that is no number of tokens.
    `fraction` and `kv_dtype` are the engine's own settings, where it tells them.
    """

    tokens: int
    metric: str
    blocks: bool = False
    fraction: float | None = None
    kv_dtype: str = ""


def reported_kv(families: Sequence[MetricFamily]) -> ReportedKv | None:
    """What the page tells; None where it tells nothing."""
    told: list[ReportedKv] = []
    for sample in samples(families, "vllm:cache_config_info"):
        labels = sample.labels
        stated = {"fraction": _share(labels.get("gpu_memory_utilization")), "kv_dtype": labels.get("cache_dtype", "")}
        size, blocks, block = (_whole(labels.get(k)) for k in ("kv_cache_size_tokens", "num_gpu_blocks", "block_size"))
        if size:
            told.append(ReportedKv(size, "vllm:cache_config_info kv_cache_size_tokens", **stated))  # type: ignore[arg-type]  # as declared
        elif blocks and block:
            told.append(ReportedKv(blocks * block, "vllm:cache_config_info", blocks=True, **stated))  # type: ignore[arg-type]  # as declared
    for name in ("sglang:max_total_num_tokens", "tgi_batch_max_total_tokens"):
        told += [ReportedKv(round(s.value), name) for s in samples(families, name) if s.value and s.value >= 1]
    per, most = (
        [s.value for s in samples(families, _TRITON) if s.labels.get("kv_cache_block_type") == kind and s.value]
        for kind in ("tokens_per", "max")
    )
    if per and most:
        told.append(ReportedKv(round(min(per) * min(most)), _TRITON, blocks=True))
    return min(told, key=lambda each: each.tokens, default=None)


def _whole(text: str | None) -> int | None:
    return whole_number(text or "") or None


def _share(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 < value <= 1 else None
