"""Model shapes read from a model's own files: ``config.json``, folders of safetensors, GGUF headers.

Files may come from anywhere, so every number is checked, every read bounded, and a broken file is one clear sentence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from inferaudit.errors import UsageError
from inferaudit.gguf_header import read_gguf_header
from inferaudit.model_shapes import Experts, Mla, ModelShape

_MAX_JSON_BYTES = 64 * 1024 * 1024
_LIMITS = {"layers": 10_000, "hidden": 10**6, "heads": 10**5, "vocab": 10**8, "size": 10**7}
# model_type values whose MLP has two matrices instead of the gated three.
_PLAIN_MLP = frozenset(
    (
        *("gpt2", "gpt_neo", "gpt_neox", "gptj", "gpt_bigcode", "opt", "bloom", "falcon", "mpt", "phi", "starcoder2"),
        *("codegen", "bert", "roberta", "nemotron"),
    )
)
_TIED_BY_DEFAULT = frozenset(
    ("gpt2", "gpt_bigcode", "bloom", "opt", "falcon", "mpt", "gemma", "gemma2", "gemma3_text", "gemma3", "cohere")
)


def shape_from_path(path: Path) -> ModelShape:
    """The shape of a model folder, a ``config.json`` or a GGUF file; UsageError when it is none of these."""
    try:
        if path.is_dir():
            return _from_folder(path)
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder")
        if path.suffix == ".gguf":
            return _from_gguf(path)
        if path.name.endswith(".safetensors.index.json"):
            return _from_folder(path.parent)
        if path.suffix == ".json":
            return shape_from_config(_read_json(path), str(path))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    raise UsageError(f"{path}: not a config.json, a model folder or a GGUF file")


def _from_folder(folder: Path) -> ModelShape:
    config = folder / "config.json"
    ggufs = sorted(folder.glob("*.gguf"))
    if not config.exists() and ggufs:
        return _from_gguf(ggufs[0])
    if not config.exists():
        raise UsageError(f"{folder}: no config.json and no GGUF file in this folder")
    shape = shape_from_config(_read_json(config), str(config))
    stored, note = _stored_bytes(folder)
    if stored is None:
        return replace(shape, assumptions=(*shape.assumptions, note))
    return replace(shape, name=folder.name or shape.name, stored_bytes=stored, assumptions=(*shape.assumptions, note))


def _stored_bytes(folder: Path) -> tuple[int | None, str]:
    """(bytes of the weights, where they were counted). Mistral's ``consolidated`` copies are not counted twice."""
    for index in sorted(folder.glob("*.safetensors.index.json")):
        metadata = _read_json(index).get("metadata")
        total = metadata.get("total_size") if isinstance(metadata, dict) else None
        if isinstance(total, int | float) and not isinstance(total, bool) and total > 0:
            return int(total), f"weights as stated by {index.name}"
    for pattern in ("*.safetensors", "pytorch_model*.bin", "*.gguf"):
        files = [file for file in sorted(folder.glob(pattern)) if not file.name.startswith("consolidated")]
        if files:
            return sum(file.stat().st_size for file in files), f"weights as the size of {len(files)} {pattern} files"
    return None, "no weights beside config.json: their size is computed from the shape"


def _read_json(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _MAX_JSON_BYTES:
        raise UsageError(f"{path}: too large for a JSON description of a model")
    try:
        value = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise UsageError(f"{path}: not a JSON object")
    return value


class _Config:
    """Reads numbers from a configuration by any of their names, and says which is missing or absurd."""

    def __init__(self, values: Mapping[str, Any], source: str) -> None:
        self.values = values
        self.source = source

    def number(self, *names: str, limit: str = "size", default: int | None = None) -> int:
        value = self.optional(*names, limit=limit)
        if value is None:
            value = default
        if value is None:
            raise UsageError(f"{self.source}: {names[0]} is missing")
        return value

    def optional(self, *names: str, limit: str = "size") -> int | None:
        for name in names:
            value = self.values.get(name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _LIMITS[limit]:
                raise UsageError(f"{self.source}: {name} is {value!r}, which is no size of a model")
            return value
        return None


def shape_from_config(config: Mapping[str, Any], source: str) -> ModelShape:
    """The shape that a Hugging Face ``config.json`` describes, the language part of a multimodal one."""
    text = config.get("text_config") or config.get("llm_config") or config
    if not isinstance(text, Mapping):
        raise UsageError(f"{source}: text_config is not an object")
    read = _Config(text, source)
    kind = str(text.get("model_type") or config.get("model_type") or "")
    layers = read.number("num_hidden_layers", "n_layer", "n_layers", "num_layers", limit="layers")
    hidden = read.number("hidden_size", "n_embd", "d_model", limit="hidden")
    heads = read.number("num_attention_heads", "n_head", "n_heads", limit="heads")
    kv_default = 1 if text.get("multi_query") is True else heads
    notes = []
    tied = text.get("tie_word_embeddings", config.get("tie_word_embeddings"))
    if tied is None:
        tied = kind in _TIED_BY_DEFAULT
        notes.append(f"tie_word_embeddings is not stated; taken as {str(tied).lower()}")
    if text is not config:
        notes.append("only the language model of a multimodal model is counted")
    intermediate = read.number("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", default=4 * hidden)
    windowed, cacheless = _layer_kinds(text, layers)
    return ModelShape(
        name=str(config.get("_name_or_path") or kind or source)[:128],
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=read.number("num_key_value_heads", "num_kv_heads", "n_head_kv", limit="heads", default=kv_default),
        head_dim=read.number("head_dim", "attention_head_dim", default=max(1, hidden // heads)),
        intermediate=intermediate,
        vocab=read.number("vocab_size", limit="vocab"),
        tied_embeddings=bool(tied),
        gated_mlp=kind not in _PLAIN_MLP,
        experts=_experts(read, intermediate, layers),
        mla=_mla(read),
        window_layers=windowed,
        window=int(read.optional("sliding_window") or 0) if windowed else 0,
        cacheless_layers=cacheless,
        max_context=read.optional("max_position_embeddings", "n_positions", "max_sequence_length"),
        stored_quant=_quantisation(config.get("quantization_config") or text.get("quantization_config")),
        assumptions=tuple(notes),
    )


def _experts(read: _Config, intermediate: int, layers: int) -> Experts | None:
    count = read.optional("num_local_experts", "n_routed_experts", "num_experts", limit="heads")
    if count is None or count == 1:
        return None
    width = read.number("moe_intermediate_size", "expert_ffn_hidden_size", default=intermediate)
    shared = read.optional("shared_expert_intermediate_size")
    if shared is None:
        shared = _or_zero(read, "n_shared_experts") * width
    return Experts(
        count=count,
        per_token=min(count, read.number("num_experts_per_tok", "num_experts_per_token", "experts_per_token")),
        width=width,
        shared_width=shared,
        dense_layers=min(layers, _or_zero(read, "first_k_dense_replace")),
    )


def _or_zero(read: _Config, name: str) -> int:
    return 0 if read.values.get(name) in (0, None) else read.number(name)


def _mla(read: _Config) -> Mla | None:
    rank = read.optional("kv_lora_rank")
    if rank is None:
        return None
    return Mla(
        kv_rank=rank,
        rope_dim=read.number("qk_rope_head_dim"),
        nope_dim=read.number("qk_nope_head_dim"),
        value_dim=read.number("v_head_dim"),
        query_rank=read.optional("q_lora_rank"),
    )


def _layer_kinds(text: Mapping[str, Any], layers: int) -> tuple[int, int]:
    """(layers with a sliding window, layers without a KV cache)."""
    kinds = text.get("layer_types")
    if isinstance(kinds, list) and len(kinds) == layers:
        windowed = sum("sliding" in str(kind) or "chunked" in str(kind) for kind in kinds)
        return windowed, sum(bool(re.search("linear|mamba|recurrent|conv", str(kind))) for kind in kinds)
    every = text.get("full_attention_interval") or text.get("attn_layer_period")
    if isinstance(every, int) and not isinstance(every, bool) and 1 < every <= layers:
        return 0, layers - layers // every
    pattern = text.get("sliding_window_pattern")
    if isinstance(pattern, int) and not isinstance(pattern, bool) and pattern > 1 and text.get("sliding_window"):
        return layers - layers // pattern, 0
    if text.get("sliding_window") and text.get("use_sliding_window", True) and text.get("model_type") == "mistral":
        return layers, 0
    return 0, 0


def _quantisation(value: object) -> str | None:
    """The quantisation a checkpoint states, by our names (:data:`inferaudit.capacity.QUANTS`), or as it states it."""
    if not isinstance(value, Mapping):
        return None
    method = str(value.get("quant_method") or value.get("quant_algo") or "").lower()
    bits = value.get("bits") or value.get("w_bit")
    if method in ("awq", "gptq", "auto-round") and bits in (4, None):
        return "gptq-4bit" if method == "gptq" else "awq-4bit"
    if method == "bitsandbytes":
        return "nf4" if value.get("load_in_4bit") or value.get("_load_in_4bit") else "int8"
    if method == "compressed-tensors":
        return _compressed_tensors(value)
    known = {"fp8": "fp8", "fbgemm_fp8": "fp8", "mxfp4": "mxfp4", "nvfp4": "nvfp4"}
    return known.get(method) or ("int8" if bits == 8 else method or None)


def _compressed_tensors(value: Mapping[str, Any]) -> str:
    groups = value.get("config_groups")
    first = next(iter(groups.values()), None) if isinstance(groups, Mapping) else None
    weights = first.get("weights") if isinstance(first, Mapping) else None
    if isinstance(weights, Mapping):
        if weights.get("num_bits") == 4:
            return "nvfp4" if weights.get("type") == "float" else "awq-4bit"
        if weights.get("num_bits") == 8:
            return "fp8" if weights.get("type") == "float" else "int8"
    return "compressed-tensors"


def _from_gguf(path: Path) -> ModelShape:
    """A GGUF file, all its parts counted when it is split (``…-00001-of-00003.gguf``)."""
    header = read_gguf_header(path)
    architecture = str(header.get("general.architecture", ""))
    own = {key.removeprefix(f"{architecture}."): value for key, value in header.items()}
    read = _Config({key: _largest(value) for key, value in own.items()}, str(path))
    layers, hidden = read.number("block_count", limit="layers"), read.number("embedding_length", limit="hidden")
    heads = read.number("attention.head_count", limit="heads")
    kv_heads = own.get("attention.head_count_kv")
    # Hybrids state KV heads layer by layer, 0 where a layer keeps no KV.
    cacheless = sum(count == 0 for count in kv_heads) if isinstance(kv_heads, list) else 0
    experts = read.optional("expert_count") if own.get("expert_count") else None
    intermediate = read.number("feed_forward_length", "expert_feed_forward_length", default=4 * hidden)
    width = read.number("expert_feed_forward_length", default=intermediate)
    rank = read.optional("attention.kv_lora_rank")
    rope = read.number("rope.dimension_count", default=64)
    key_dim = read.number("attention.key_length_mla", "attention.key_length", default=max(1, hidden // heads))
    value_dim = read.number("attention.value_length_mla", "attention.value_length", default=key_dim)
    parts = _gguf_parts(path)
    return ModelShape(
        name=str(header.get("general.name") or path.stem)[:128],
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=read.number("attention.head_count_kv", limit="heads", default=heads),
        head_dim=key_dim,
        intermediate=intermediate,
        vocab=read.number("vocab_size", "tokenizer.ggml.tokens", limit="vocab", default=32_000),
        experts=Experts(experts, read.number("expert_used_count"), width) if experts else None,
        mla=Mla(rank, rope, max(1, key_dim - rope), value_dim, read.optional("attention.q_lora_rank"))
        if rank
        else None,
        cacheless_layers=cacheless,
        max_context=read.optional("context_length"),
        stored_bytes=sum(part.stat().st_size for part in parts),
        stored_quant="gguf",
        assumptions=(f"weights as the size of {len(parts)} GGUF file{'s' if len(parts) > 1 else ''}",),
    )


def _largest(value: object) -> object:
    return max(value) if isinstance(value, list) and value else value


def _gguf_parts(path: Path) -> list[Path]:
    split = re.fullmatch(r"(.*)-\d{5}-of-(\d{5})\.gguf", path.name)
    if not split:
        return [path]
    parts = [path.with_name(f"{split[1]}-{number:05d}-of-{split[2]}.gguf") for number in range(1, int(split[2]) + 1)]
    missing = [part.name for part in parts if not part.exists()]
    if missing:
        raise UsageError(f"{path}: parts of this model are missing: {', '.join(missing[:3])}")
    return parts
