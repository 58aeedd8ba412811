"""From what an engineer writes to a model's shape: a size, a published name, a path.

A bare size such as ``70B`` is the nearest published architecture's, which is then named in
:attr:`ModelShape.assumptions`.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

from inferaudit.errors import UsageError
from inferaudit.model_files import shape_from_path
from inferaudit.model_shapes import NAMED, PUBLISHED, ModelShape

# Models sold under a name without a size. Their small and distilled relatives have longer names.
_UNSIZED = {
    "deepseek(v3|r1)": "DeepSeek-V3-671B",
    "phi4": "Phi-4-14B",
    "mistralnemo": "Mistral-Nemo-12B",
}
_FORMATS = {"awq": "awq-4bit", "gptq": "gptq-4bit", "fp8": "fp8", "int8": "int8", "w8a8": "int8", "int4": "int4",
            "w4a16": "int4", "nvfp4": "nvfp4", "mxfp4": "mxfp4"}  # fmt: skip
_FORMAT_IN_NAME = re.compile(rf"[-_.]({'|'.join(_FORMATS)})(?![a-z0-9])", re.IGNORECASE)
_EDITION = r"\d{0,4}(base|instruct|chat|fp8|fp4|nvfp4|awq|gptq)*"
_SIZE = re.compile(r"(\d{1,3}x)?(\d{1,5}(?:\.\d{1,3})?)\s*([bm])(-a\d{1,3}(?:\.\d)?b)?", re.IGNORECASE)
_SIZE_IN_NAME = re.compile(r"(?<![\w.])((?:\d+x)?\d+(?:\.\d+)?[bm](?:-a\d+(?:\.\d+)?b)?)(?![a-z0-9])", re.IGNORECASE)
_WITHIN = 0.06  # a published model is sold under a round number; beyond this its weights are scaled to the asked size
_ACCEPTED = "a size (70B, 8x7B, 30B-A3B), a published name (Llama-3-70B), a config.json, a model folder or a GGUF file"


def load_model_shape(spec: str) -> ModelShape:
    """The shape of `spec`: a size, a published name, or a path. UsageError says what is accepted or what is broken."""
    text = spec.strip()
    try:
        path = Path(text).expanduser()
        there = bool(text) and path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # a name too long, a home of nobody, a null byte
        raise UsageError(f"{spec!r} is no model we can size ({error}); give {_ACCEPTED}") from None
    if there or text.endswith((".json", ".gguf")) or text.startswith(("/", "./", "../", "~")):
        return shape_from_path(path)
    by_name = {_plain(shape.name): shape for shape in PUBLISHED + NAMED}
    if _plain(text) in by_name:
        return by_name[_plain(text)]
    if re.match(r"-\s*[\d.]", text):
        raise UsageError(f"{text!r} is no size of a model")
    size = _SIZE.fullmatch(text)
    if size is None and (named := shape_from_name(text)) is not None:
        named = named if named.assumptions else _assumed(named, f"{text} is taken as {named.name}")
        format_ = _FORMAT_IN_NAME.search(text)
        return named if format_ is None else replace(named, stored_quant=_FORMATS[format_[1].lower()])
    if size is None:
        raise UsageError(f"{spec!r} is no model we can size; give {_ACCEPTED}")
    return _by_size(text, size)


def shape_from_name(model: str) -> ModelShape | None:
    """The shape that a model's name states (``meta-llama/Llama-3.1-70B-Instruct``); None when it states no size."""
    last = model.rstrip("/").rpartition("/")[2]
    known = {_plain(shape.name): shape for shape in PUBLISHED + NAMED}
    said = max((name for name in known if name in _plain(last)), key=len, default="")
    for pattern, name in _UNSIZED.items():
        said = said or (_plain(name) if re.fullmatch(pattern + _EDITION, _plain(last)) else "")
    if said:
        whole = re.search(r"[-_.](bf16|fp16)(?![a-z0-9])", last, re.IGNORECASE)
        return replace(known[said], stored_quant=None) if whole else known[said]
    sizes = list(_SIZE_IN_NAME.finditer(last))
    if len(sizes) != 1 or not _SIZE.fullmatch(sizes[0][1]):
        return None  # none, several ("Qwen-7B-draft-for-70B"), or one of no model: a guess would be no answer
    try:
        return load_model_shape(sizes[0][1])
    except UsageError:
        return None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _by_size(text: str, size: re.Match[str]) -> ModelShape:
    asked = float(size[2]) * (1e9 if size[3].lower() == "b" else 1e6)
    if not 1e6 <= asked <= 1e13:
        raise UsageError(f"{text!r} is no size of a model")
    if size[1] or size[4]:
        for shape in PUBLISHED:
            if _plain(text) in _plain(shape.name):
                return _assumed(shape, f"{text} is taken as the published architecture {shape.name}")
        known = ", ".join(shape.name for shape in PUBLISHED if shape.experts)
        raise UsageError(f"{text!r} names no published mixture of experts; known are {known}; or give its config.json")
    dense = [shape for shape in PUBLISHED if shape.experts is None or shape.mla is not None]
    nearest = replace(min(dense, key=lambda shape: abs(math.log(shape.parameters / asked))), stored_quant=None)
    what = f"{nearest.layers} layers, {nearest.kv_heads} KV heads, head size {nearest.head_dim}"
    if nearest.mla:
        what = f"{nearest.layers} layers, latent attention of {nearest.mla.cached_values} values a token"
    if abs(nearest.parameters / asked - 1) <= _WITHIN:
        note = f"{text} is taken as {nearest.name}: {what}, {nearest.parameters / 1e9:.2f} billion parameters"
        return _assumed(nearest, note)
    note = f"{text} is taken as the shape of {nearest.name} ({what}) with its weights scaled to {asked / 1e9:g} billion"
    return replace(_assumed(nearest, note), name=text, stated_parameters=asked)


def _assumed(shape: ModelShape, note: str) -> ModelShape:
    return replace(shape, assumptions=(*shape.assumptions, note))
