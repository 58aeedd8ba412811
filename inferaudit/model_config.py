"""The shape that a Hugging Face ``config.json`` describes. Pure.

Every family names its numbers in its own way, and a multimodal model leaves out those of its language part that equal
the class's defaults. What was assumed is noted; what is missing or absurd is one clear sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inferaudit.errors import UsageError
from inferaudit.model_layers import dense_layers, layer_kinds, mixer_parameters, one_part_layers
from inferaudit.model_shapes import Experts, Mla, ModelShape

_LIMITS = {"layers": 10_000, "hidden": 10**6, "heads": 10**5, "vocab": 10**8, "size": 10**7}
# model_type values whose MLP has two matrices instead of the gated three.
_PLAIN_MLP = frozenset(
    (
        *("gpt2", "gpt_neo", "gpt_neox", "gptj", "gpt_bigcode", "opt", "bloom", "falcon", "mpt", "phi", "starcoder2"),
        *("codegen", "bert", "roberta", "xlm-roberta", "distilbert", "mpnet", "nemotron", "nemotron_h"),
    )
)
_TIED_BY_DEFAULT = frozenset(
    (
        *("gpt2", "gpt_bigcode", "bloom", "opt", "falcon", "mpt", "gemma", "gemma2", "gemma3_text", "gemma3", "cohere"),
        *("cohere2", "bert", "roberta", "xlm-roberta", "distilbert", "mpnet", "modernbert", "nomic_bert", "deberta-v2"),
    )
)
_ENCODERS = frozenset(
    (
        "bert",
        "roberta",
        "xlm-roberta",
        "distilbert",
        "mpnet",
        "modernbert",
        "nomic_bert",
        "deberta-v2",
        "new",
        "camembert",
    )
)
_OLD_NAMES = {"RefinedWebModel": "falcon", "RefinedWeb": "falcon", "gemma3": "gemma3_text"}
_LANGUAGE_PARTS = ("thinker_config", "text_config", "llm_config", "language_config")
# What transformers' configuration classes take where a part of a composite model does not state it.
_DEFAULTS: Mapping[str, Mapping[str, int]] = {
    name: dict(
        zip(
            ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
             "num_key_value_heads", "head_dim"),
            values,
            strict=False,
        )
    )
    for name, values in {
        "llama": (32_000, 4096, 11_008, 32, 32),
        "mistral": (32_000, 4096, 14_336, 32, 32, 8),
        "mixtral": (32_000, 4096, 14_336, 32, 32, 8),
        "qwen2": (151_936, 4096, 22_016, 32, 32, 32),
        "qwen3": (151_936, 4096, 22_016, 32, 32, 32, 128),
        "gemma": (256_000, 3072, 24_576, 28, 16, 16, 256),
        "gemma2": (256_000, 2304, 9216, 26, 8, 4, 256),
        "gemma3_text": (262_208, 2304, 9216, 26, 8, 4, 256),
        "phi3": (32_064, 3072, 8192, 32, 32, 32),
        "gpt2": (50_257, 768, 3072, 12, 12),
        "opt": (50_272, 768, 3072, 12, 12),
    }.items()
}  # fmt: skip


class NumberReader:
    """Reads numbers from a configuration by any of their names, and says which is missing or absurd.

    A class for what every reading shares: the values, where they are from, and the defaults that were taken.
    """

    def __init__(self, values: Mapping[str, Any], source: str, defaults: Mapping[str, int] | None = None) -> None:
        self.values = values
        self.source = source
        self.defaults = defaults or {}
        self.assumed: dict[str, int] = {}

    def number(self, *names: str, limit: str = "size", default: int | None = None) -> int:
        """The first that is stated, else the class's default, else `default`; UsageError where there is none."""
        value = self.optional(*names, limit=limit)
        if value is None and names[0] in self.defaults:
            value = self.assumed[names[0]] = self.defaults[names[0]]
        if value is None:
            value = default
        if value is None:
            raise UsageError(f"{self.source}: {names[0]} is missing")
        return value

    def optional(self, *names: str, limit: str = "size") -> int | None:
        """The first that is stated; a list, of a model whose layers differ, counts as its mean."""
        for name in names:
            value = self.values.get(name)
            if value is None:
                continue
            if isinstance(value, list) and value and all(isinstance(each, int) for each in value):
                value = round(sum(value) / len(value))
            if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _LIMITS[limit]:
                raise UsageError(f"{self.source}: {name} is {value!r}, which is no size of a model")
            return value
        return None

    def or_zero(self, *names: str) -> int:
        """As :meth:`optional`, where 0 is said by leaving it out or by 0."""
        return next((self.number(name) for name in names if self.values.get(name) not in (0, None)), 0)


def shape_from_config(config: Mapping[str, Any], source: str) -> ModelShape:
    """The shape that a Hugging Face ``config.json`` describes, the language part of a multimodal one."""
    text, nested = _language_part(config, source)
    kind = str(text.get("model_type") or config.get("model_type") or "")
    kind = _OLD_NAMES.get(kind, kind)
    read = NumberReader(_flat(text), source, _DEFAULTS.get(kind) if nested else None)
    layers = read.number("num_hidden_layers", "n_layer", "n_layers", "num_layers", limit="layers")
    hidden = read.number("hidden_size", "n_embd", "d_model", "n_embed", limit="hidden")
    heads = read.number("num_attention_heads", "n_head", "n_heads", "num_heads", limit="heads")
    notes = []
    tied = text.get("tie_word_embeddings", config.get("tie_word_embeddings"))
    if tied is None:
        tied = kind in _TIED_BY_DEFAULT
        notes.append(f"tie_word_embeddings is not stated; taken as {str(tied).lower()}")
    if nested:
        notes.append("only the language model of a multimodal model is counted")
    intermediate = _intermediate(read, kind, hidden)
    experts = _experts(read, kind, intermediate, layers)
    windowed, window, cacheless, said = layer_kinds(read.values, kind, layers)
    if kind in _ENCODERS:
        windowed, window, cacheless, said = 0, 0, layers, "an encoder keeps no KV cache"
    shape = ModelShape(
        name=str(config.get("_name_or_path") or kind or source)[:128],
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=_kv_heads(read, heads),
        head_dim=read.number("head_dim", "attention_head_dim", "kv_channels", default=max(1, hidden // heads)),
        intermediate=read.optional("intermediate_size_mlp") or intermediate,
        vocab=read.number("vocab_size", "padded_vocab_size", limit="vocab"),
        tied_embeddings=bool(tied),
        gated_mlp=kind not in _PLAIN_MLP,
        experts=experts,
        mla=_mla(read),
        window_layers=windowed,
        window=window,
        cacheless_layers=cacheless,
        cacheless_parameters=mixer_parameters(read.values, hidden),
        max_context=read.optional("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len"),
        stored_quant=_quantisation(config.get("quantization_config") or text.get("quantization_config")),
    )
    if read.assumed:
        stated = ", ".join(f"{name} {value:,}" for name, value in read.assumed.items())
        notes.append(f"not stated, and taken from transformers' defaults for {kind}: {stated}")
    if said:
        notes.append(said)
    return one_part_layers(shape, read.values, (*shape.assumptions, *notes))


def _language_part(config: Mapping[str, Any], source: str) -> tuple[Mapping[str, Any], bool]:
    """The part that writes text, however deep it lies, and whether it is a part."""
    part, nested = config, False
    while (name := next((name for name in _LANGUAGE_PARTS if part.get(name)), None)) is not None:
        part, nested = part[name], True
        if not isinstance(part, Mapping):
            raise UsageError(f"{source}: {name} is not an object")
    return part, nested


def _flat(text: Mapping[str, Any]) -> dict[str, Any]:
    """MPT and DBRX keep numbers of attention and MLP in objects of their own."""
    inner = [text[name] for name in ("attn_config", "ffn_config") if isinstance(text.get(name), Mapping)]
    merged: dict[str, Any] = {}
    for each in inner:
        merged |= {name: value for name, value in each.items() if name != "model_type"}
    return merged | dict(text)


def _intermediate(read: NumberReader, kind: str, hidden: int) -> int:
    ratio = read.values.get("expansion_ratio")
    usual = round(ratio * hidden) if isinstance(ratio, int | float) and 0 < ratio <= 64 else 4 * hidden
    stated = read.number("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", default=usual)
    return stated // 2 if kind == "qwen" else stated  # the first Qwen counts both halves of the gated MLP


def _kv_heads(read: NumberReader, heads: int) -> int:
    values = read.values
    one = values.get("attn_type") == "multiquery_attention"
    if values.get("multi_query") is True and not values.get("new_decoder_architecture"):
        one = True
    if one:
        return 1
    if values.get("multi_query_attention") is True:
        return read.number("multi_query_group_num", limit="heads")
    return read.number("num_key_value_heads", "num_kv_heads", "n_head_kv", "kv_n_heads", limit="heads", default=heads)


def _experts(read: NumberReader, kind: str, intermediate: int, layers: int) -> Experts | None:
    count = read.optional("num_local_experts", "n_routed_experts", "num_experts", "moe_num_experts", limit="heads")
    if count is None and kind == "mixtral" and read.defaults:
        count = 8
    if count is None or count == 1:
        return None
    width = read.number("moe_intermediate_size", "expert_ffn_hidden_size", default=intermediate)
    shared = read.optional("shared_expert_intermediate_size", "moe_shared_expert_intermediate_size")
    if shared is None:
        shared = read.or_zero("n_shared_experts", "moe_num_shared_experts", "num_shared_experts") * width
    if kind.startswith("llama4"):
        shared = intermediate
    chosen = read.number(
        *("num_experts_per_tok", "num_experts_per_token", "experts_per_token", "moe_top_k", "moe_k"),
        default=2 if kind == "mixtral" and read.defaults else None,
    )
    return Experts(
        count=count,
        per_token=min(count, chosen),
        width=width,
        shared_width=shared,
        dense_layers=dense_layers(read.values, layers),
    )


def _mla(read: NumberReader) -> Mla | None:
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


def _quantisation(value: object) -> str | None:
    """The quantisation a checkpoint states, by our names (:data:`inferaudit.capacity.QUANTS`), or as it states it."""
    if not isinstance(value, Mapping):
        return None
    method = str(value.get("quant_method") or "").lower()
    if method in ("", "modelopt"):  # NVIDIA's ModelOpt says which in a field of its own
        method = str(value.get("quant_algo") or method).lower()
    bits = value.get("bits") or value.get("w_bit")
    if method in ("awq", "gptq", "auto-round") and bits in (4, None):
        return ("gptq-4bit" if method == "gptq" else "awq-4bit") + _group(value)
    if method == "bitsandbytes":
        return "nf4" if value.get("load_in_4bit") or value.get("_load_in_4bit") else "int8"
    if method == "compressed-tensors":
        return _compressed_tensors(value)
    known = {"fp8": "fp8", "fbgemm_fp8": "fp8", "mxfp4": "mxfp4", "nvfp4": "nvfp4"}
    return known.get(method) or ("int8" if bits == 8 else method or None)


def _group(value: Mapping[str, Any]) -> str:
    """Smaller groups have more scales: part of the format's name."""
    size = value.get("group_size") or value.get("q_group_size")
    return f"-g{size}" if size in (32, 64) else ""


def _compressed_tensors(value: Mapping[str, Any]) -> str:
    groups = value.get("config_groups")
    first = next(iter(groups.values()), None) if isinstance(groups, Mapping) else None
    weights = first.get("weights") if isinstance(first, Mapping) else None
    if isinstance(weights, Mapping):
        if weights.get("num_bits") == 4:
            return "nvfp4" if weights.get("type") == "float" else "awq-4bit" + _group(weights)
        if weights.get("num_bits") == 8:
            return "fp8" if weights.get("type") == "float" else "int8"
    return "compressed-tensors"
