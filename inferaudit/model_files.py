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
from inferaudit.model_config import NumberReader, shape_from_config
from inferaudit.model_layers import layer_kinds
from inferaudit.model_shapes import Experts, Mla, ModelShape

_MAX_JSON_BYTES = 64 * 1024 * 1024


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


def _from_gguf(path: Path) -> ModelShape:
    """A GGUF file, all its parts counted when it is split (``…-00001-of-00003.gguf``)."""
    header = read_gguf_header(path)
    architecture = str(header.get("general.architecture", ""))
    own = {key.removeprefix(f"{architecture}."): value for key, value in header.items()}
    read = NumberReader({key: _largest(value) for key, value in own.items()}, str(path))
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
    windowed, window = _gguf_window(own, architecture, layers)
    return ModelShape(
        name=str(header.get("general.name") or path.stem)[:128],
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=read.number("attention.head_count_kv", limit="heads", default=heads),
        head_dim=key_dim,
        intermediate=intermediate,
        vocab=read.number("vocab_size", "tokenizer.ggml.tokens", limit="vocab", default=32_000),
        experts=Experts(
            experts,
            read.number("expert_used_count"),
            width,
            shared_width=read.or_zero("expert_shared_count") * width,
            dense_layers=min(layers, read.or_zero("leading_dense_block_count")),
        )
        if experts
        else None,
        mla=Mla(rank, rope, max(1, key_dim - rope), value_dim, read.optional("attention.q_lora_rank"))
        if rank
        else None,
        window_layers=windowed,
        window=window,
        cacheless_layers=cacheless,
        max_context=read.optional("context_length"),
        stored_bytes=sum(part.stat().st_size for part in parts),
        stored_quant="gguf",
        assumptions=(f"weights as the size of {len(parts)} GGUF file{'s' if len(parts) > 1 else ''}",),
    )


def _gguf_window(own: Mapping[str, Any], architecture: str, layers: int) -> tuple[int, int]:
    """(layers with a sliding window, its width): stated layer by layer, or the architecture's own order."""
    window, pattern = own.get("attention.sliding_window"), own.get("attention.sliding_window_pattern")
    if isinstance(pattern, list) and len(pattern) == layers and isinstance(window, int):
        return sum(bool(each) for each in pattern), window
    kind = {"gemma3": "gemma3_text", "gpt-oss": "gpt_oss"}.get(architecture, architecture)
    stated = {"sliding_window": window, "sliding_window_pattern": pattern if isinstance(pattern, int) else None}
    windowed, width, _, _ = layer_kinds(stated, kind if kind not in ("mistral", "mixtral") else "", layers)
    return windowed, width


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
