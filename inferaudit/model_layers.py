"""Which layers of a model keep KV and for how long, which have experts, and what the others hold. Pure.

Families say it in a dozen ways: a list of kinds, a period, a pattern of letters, or nothing where the class knows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from inferaudit.errors import UsageError
from inferaudit.model_shapes import ModelShape

# Every n-th layer sees the whole context and the others a window, where the configuration does not say so itself.
_WINDOW_PERIOD = {"gemma2": 2, "gemma3_text": 6, "cohere2": 4, "gpt_oss": 2, "llama4_text": 4}
_ALL_WINDOWED = frozenset(("mistral", "mixtral"))
_NO_CACHE = re.compile(r"linear|mamba|recurrent|conv|ssm", re.IGNORECASE)
_WINDOWED = re.compile(r"sliding|chunked|local", re.IGNORECASE)


def layer_kinds(text: Mapping[str, Any], kind: str, layers: int) -> tuple[int, int, int, str]:
    """(layers with a window, its width, layers without a KV cache, what was assumed or "")."""
    window = _positive(text.get("sliding_window")) or _positive(text.get("attention_chunk_size")) or 0
    if kind == "qwen2" and not text.get("use_sliding_window", False):
        window = 0
    listed = _listed_kinds(text, layers)
    if listed is not None:
        return (
            sum(bool(_WINDOWED.search(each)) for each in listed),
            window,
            sum(bool(_NO_CACHE.search(each)) for each in listed),
            "",
        )
    shared = min(layers - 1, _positive(text.get("num_kv_shared_layers")) or 0)
    every = _period(text.get("full_attention_interval") or text.get("attn_layer_period"), layers)
    if every is not None:
        return 0, 0, layers - layers // every, ""
    if not window or text.get("use_sliding_window") is False:
        return 0, 0, shared, ""
    pattern = text.get("sliding_window_pattern") or text.get("_sliding_window_pattern") or _WINDOW_PERIOD.get(kind)
    if isinstance(pattern, str) and re.fullmatch(r"[LG]{1,64}", pattern):
        return sum(pattern[i % len(pattern)] == "L" for i in range(layers)), window, shared, ""
    every = _period(pattern, layers)
    if every is not None:
        return layers - layers // every, window, shared, ""
    if kind in _ALL_WINDOWED:
        return layers, window, shared, ""
    if text.get("use_sliding_window") is True:
        whole = text.get("max_window_layers")
        first = whole if isinstance(whole, int) and 0 <= whole <= layers else layers
        return layers - first, window, shared, ""
    longest = _positive(text.get("max_position_embeddings"))
    if longest is not None and window < longest:
        return 0, 0, shared, f"sliding_window {window:,} is stated; the KV cache is counted for the whole context"
    return 0, 0, shared, ""


def dense_layers(text: Mapping[str, Any], layers: int) -> int:
    """How many layers of a mixture of experts have an ordinary MLP."""
    first = _positive(text.get("first_k_dense_replace")) or _positive(text.get("moe_layer_start_index")) or 0
    only = {each for each in text.get("mlp_only_layers") or () if isinstance(each, int)}
    chosen = text.get("moe_layers")
    frequency = text.get("moe_layer_freq")
    step = _positive(text.get("decoder_sparse_step")) or _positive(text.get("interleave_moe_layer_step")) or 1
    period = _positive(text.get("expert_layer_period"))
    offset = text.get("expert_layer_offset") or 0

    def sparse(i: int) -> bool:
        if isinstance(chosen, list) and chosen:
            return i in chosen
        if isinstance(frequency, list) and len(frequency) == layers:
            return bool(frequency[i])
        if period is not None:
            return i % period == offset
        every = _positive(frequency) or 1
        return i >= first and i not in only and (i + 1) % step == 0 and i % every == 0

    return sum(not sparse(i) for i in range(layers))


def mixer_parameters(text: Mapping[str, Any], hidden: int) -> int | None:
    """Weights of what a Mamba layer has in place of attention; None where the model names none."""
    expand = text.get("mamba_expand")
    if isinstance(expand, bool) or not isinstance(expand, int | float) or not 0 < expand <= 16:
        return None
    inner, state = round(expand * hidden), _positive(text.get("mamba_d_state")) or 16
    rank = _positive(text.get("mamba_dt_rank")) or math.ceil(hidden / 16)
    conv = _positive(text.get("mamba_d_conv")) or 4
    if _positive(text.get("mamba_n_heads")):  # the second kind: one projection for all, a state for each head
        groups, heads = _positive(text.get("mamba_n_groups")) or 1, _positive(text.get("mamba_n_heads")) or 1
        return hidden * (2 * inner + 2 * groups * state + heads) + inner * hidden + conv * (inner + 2 * groups * state)
    return hidden * 2 * inner + inner * (conv + rank + 2 * state) + rank * inner + inner * state + inner * hidden


def one_part_layers(shape: ModelShape, text: Mapping[str, Any], notes: tuple[str, ...]) -> ModelShape:
    """`shape` with its notes; of Nemotron-H, whose layers are each only one thing: M Mamba, * attention, - MLP."""
    pattern = text.get("hybrid_override_pattern")
    if isinstance(text.get("block_configs"), list):
        notes = (*notes, "its layers differ from each other (block_configs), which is not read: an upper bound")
    if pattern is None:
        return replace(shape, assumptions=notes)
    if not isinstance(pattern, str) or not re.fullmatch(rf"[M*\-E]{{{shape.layers}}}", pattern):
        raise UsageError(f"hybrid_override_pattern does not say what each of the {shape.layers} layers is")
    heads = _positive(text.get("mamba_num_heads")) or 128
    inner = heads * (_positive(text.get("mamba_head_dim")) or 64)
    extra = 2 * (_positive(text.get("n_groups")) or 8) * (_positive(text.get("ssm_state_size")) or 128)
    mamba = shape.hidden * (2 * inner + extra + heads) + inner * shape.hidden
    attention = shape.hidden * shape.head_dim * (2 * shape.heads + 2 * shape.kv_heads)
    mlp = 2 * shape.hidden * shape.intermediate
    if shape.experts:
        e = shape.experts
        expert = 2 * shape.hidden * (e.count * e.width + e.shared_width) + shape.hidden * e.count
    else:
        expert = mlp
    parts = {"M": mamba, "*": attention, "-": mlp, "E": expert}
    total = sum(parts[letter] for letter in pattern) + shape.embedding_parameters
    return replace(
        shape, stated_parameters=float(total), cacheless_layers=shape.layers - pattern.count("*"), assumptions=notes
    )


def _listed_kinds(text: Mapping[str, Any], layers: int) -> Sequence[str] | None:
    """What each layer is, where that is listed."""
    for name in ("layer_types", "layers_block_type", "block_types"):
        kinds = text.get(name)
        if isinstance(kinds, list) and len(kinds) == layers:
            return [str(kind) for kind in kinds]
    numbers = text.get("attn_type_list")  # MiniMax: 1 = attention, 0 = a state of fixed size
    if isinstance(numbers, list) and len(numbers) == layers:
        return ["attention" if number else "linear" for number in numbers]
    linear = text.get("linear_attn_config")
    if isinstance(linear, Mapping) and isinstance(linear.get("full_attn_layers"), list):
        full = {n for n in linear["full_attn_layers"] if isinstance(n, int)}
        return ["attention" if n in full else "linear" for n in range(1, layers + 1)]
    return None


def _positive(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 10**9 else None


def _period(value: object, layers: int) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 1 < value <= layers else None
