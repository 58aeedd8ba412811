"""Capacity arithmetic: against engines' published figures, by its laws, and for every way a model can be named."""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferaudit.capacity import (
    GIB,
    QUANTS,
    decode_tokens_per_second_ceiling,
    kv_bytes_per_sequence,
    kv_bytes_per_token,
    kv_pool_tokens,
    named_quant,
    overhead_bytes_per_gpu,
    plan_capacity,
    weights_bytes,
)
from inferaudit.errors import UsageError
from inferaudit.gpu_table import MIB, GpuSpec, named_gpu
from inferaudit.model_names import load_model_shape, shape_from_name
from inferaudit.model_shapes import PUBLISHED

H100 = named_gpu("H100-80GB")
LLAMA_70B = load_model_shape("70B")


# Published figures


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("Llama-3-8B", 8.03),
        ("Llama-3-70B", 70.55),
        ("Llama-3.1-405B", 405.85),
        ("Mixtral-8x7B", 46.7),
        ("Mixtral-8x22B", 140.6),
        ("Qwen3-30B-A3B", 30.5),
        ("Qwen3-235B-A22B", 235),
        ("DeepSeek-V3-671B", 671),
        ("gpt-oss-120b", 116.8),
        ("gpt-oss-20b", 20.9),
        ("Gemma-2-27B", 27.2),
    ],
)
def test_parameters_are_the_published_counts(name: str, billions: float) -> None:
    assert load_model_shape(name).parameters / 1e9 == pytest.approx(billions, rel=0.005)


@pytest.mark.parametrize(
    ("name", "billions"), [("DeepSeek-V3-671B", 37), ("Mixtral-8x7B", 12.9), ("Qwen3-30B-A3B", 3.3)]
)
def test_active_parameters_are_the_published_counts(name: str, billions: float) -> None:
    assert load_model_shape(name).active_parameters / 1e9 == pytest.approx(billions, rel=0.02)


@pytest.mark.parametrize(
    ("name", "quant", "gib"),
    [
        ("Llama-3-8B", "bf16", 14.9888),  # "Loading model weights took": vllm-project/vllm issue 10517
        ("Llama-3-70B", "int8", 67.7229),  # the same line for w8a8: vllm-project/vllm pull request 12569
        ("Llama-3-70B", "q4_0", 37.22),  # "model size", llama.cpp: ollama/ollama pull request 6279
        ("Qwen3-30B-A3B", "q4_k_m", 17.28),  # "file size", llama.cpp: ggml-org/llama.cpp issue 14235
    ],
)
def test_weights_are_what_engines_report(name: str, quant: str, gib: float) -> None:
    assert weights_bytes(load_model_shape(name), QUANTS[quant]) / GIB == pytest.approx(gib, rel=0.01)


# Engine, model, GPUs, KV format, tokens, and the MiB that the engine said each GPU holds for them; the thread it is in.
PUBLISHED_KV = [
    ("vLLM", "Llama-3-8B", 1, "fp16", 31_232, 3.81 * 1024, "vllm-project/vllm/issues/10517"),
    ("vLLM", "Llama-3-8B", 1, "fp16", 23_648, 2.89 * 1024, "vllm-project/vllm/issues/10517"),
    ("vLLM", "Qwen3-235B-A22B", 4, "fp16", 178_880, 8.11 * 1024, "vllm-project/vllm/issues/21348"),
    ("SGLang", "Qwen3-235B-A22B", 4, "fp16", 367_404, 2 * 8.23 * 1024, "vllm-project/vllm/issues/21348"),
    ("ik_llama.cpp", "DeepSeek-V3-671B", 1, "q8_0", 32_768, 1166.62, "ikawrakow/ik_llama.cpp/pull/259"),
]


@pytest.mark.parametrize("row", PUBLISHED_KV, ids=lambda row: f"{row[0]}-{row[1]}-{row[4]}")
def test_kv_sizes_are_what_engines_report(row: tuple[str, str, int, str, int, float, str]) -> None:
    engine, model, gpus, kv, tokens, mebibytes, thread = row
    computed = kv_bytes_per_token(load_model_shape(model), kv) * tokens / gpus / MIB
    assert computed == pytest.approx(mebibytes, rel=0.05)
    page = (Path(__file__).parents[1] / "docs" / "capacity.md").read_text(encoding="utf-8")
    line = (
        f"| {engine} | {model} | {gpus} | {kv} | {tokens:,} | {mebibytes:,.0f} | {computed:,.0f} | "
        f"{computed / mebibytes - 1:+.1%} | [{thread.split('/')[-1]}](https://github.com/{thread}) |"
    )
    assert line.replace("%", " %", 1) in page, line


def test_llama_cpps_window_cache_of_gpt_oss() -> None:
    """12 layers of 768 cells: 18.00 MiB (ggml-org/llama.cpp pull request 17609)."""
    shape = load_model_shape("gpt-oss-20b")
    assert shape.cached_values_per_layer * 2 * shape.window_layers * 768 == 18 * MIB


@pytest.mark.parametrize(("batched_tokens", "published"), [(20_000, 1952 * 16), (29_000, 1478 * 16)])
def test_the_kv_pool_of_a_real_engine_is_predicted_within_five_percent(batched_tokens: int, published: int) -> None:
    """vLLM on an RTX 3090, Llama-3.1-8B, whole-prompt prefill: vllm-project/vllm issue 10517."""
    shape = load_model_shape("Llama-3-8B")
    gpu = GpuSpec("3090", "", round(23.58 * 1024), 936, {"bf16": 71}, "8.6", None, ())
    weights = round(14.9888 * GIB)
    tokens = kv_pool_tokens(shape, gpu, 1, weights=weights, batched_tokens=batched_tokens, sequences=256)
    assert tokens == pytest.approx(published, rel=0.05)


def test_llama_cpp_kv_buffer() -> None:
    """28 layers with 512 keys and values a token, 2048 tokens: 112 MiB (JamePeng/llama-cpp-python pull request 1)."""
    shape = load_model_shape("Qwen2.5-1.5B")
    wide = kv_bytes_per_sequence(shape, 2048) * 512 / (shape.kv_heads * shape.head_dim)
    assert wide == 112 * MIB


# The answers people ask for


def test_70b_is_llama_3_with_its_kv() -> None:
    assert kv_bytes_per_token(LLAMA_70B) == 327_680
    (note,) = LLAMA_70B.assumptions
    assert "Llama-3-70B" in note
    assert "80 layers, 8 KV heads, head size 128" in note


def test_70b_at_fp16_needs_two_h100() -> None:
    plan = plan_capacity(LLAMA_70B, H100, quant="fp16")
    assert plan.weights_bytes == pytest.approx(140e9, rel=0.01)
    assert (plan.gpus, plan.tensor_parallel, plan.fits) == (2, 2, True)
    assert plan.memory_bytes == 2 * 81_559 * MIB
    assert 20_000 < plan.kv_tokens_left < 39_000, "little room is left, and it is printed"
    assert "140" not in plan.formulas["kv_bytes_per_token"]
    assert "327,680" in plan.formulas["kv_bytes_per_token"]
    assert plan_capacity(LLAMA_70B, H100, quant="fp16", gpus=1).fits is False


def test_70b_at_four_bits_fits_one_80_one_48_or_two_24() -> None:
    most, least = (weights_bytes(LLAMA_70B, QUANTS[name]) for name in ("awq-4bit", "4bit-all"))
    assert least == pytest.approx(36.6e9, rel=0.005)
    assert most == pytest.approx(39.8e9, rel=0.005)
    for gpu, count in (("H100-80GB", 1), ("L40S", 1), ("48GB", 1), ("L4", 2), ("RTX-4090", 2)):
        plan = plan_capacity(LLAMA_70B, named_gpu(gpu), quant="awq-4bit")
        assert (plan.gpus, plan.fits) == (count, True), gpu
        assert plan.kv_tokens_left >= 4096, gpu


@pytest.mark.parametrize(
    ("quant", "gpu", "count", "tokens"),
    [
        ("fp16", "H100-80GB", 2, 32_000),
        ("4bit-all", "H100-80GB", 1, 120_000),
        ("awq-4bit", "H100-80GB", 1, 110_000),
        ("awq-4bit", "L40S", 1, 8_300),
        ("awq-4bit", "RTX-4090", 2, 13_000),
        ("awq-4bit", "L4", 2, 4_500),
    ],
)
def test_the_table_of_the_page_on_capacity(quant: str, gpu: str, count: int, tokens: int) -> None:
    page = (Path(__file__).parents[1] / "docs" / "capacity.md").read_text(encoding="utf-8")
    assert f"about {tokens:,}".replace(",", " ") in page
    left = plan_capacity(LLAMA_70B, named_gpu(gpu), quant=quant, gpus=count).kv_tokens_left
    assert left == pytest.approx(tokens, rel=0.03)


def test_a_count_that_does_not_divide_the_heads_names_the_next() -> None:
    plan = plan_capacity(LLAMA_70B, H100, quant="fp16", concurrency=16)
    assert (plan.gpus, plan.tensor_parallel) == (3, 4)
    assert any("3 does not divide the 64 attention heads" in note for note in plan.assumptions)
    asked = plan_capacity(LLAMA_70B, H100, quant="fp16", gpus=5)
    assert asked.fits
    assert "5 does not divide the 64 attention heads: tensor parallelism takes 8" in asked.assumptions


def test_a_gpu_too_small_for_its_overhead_is_never_enough() -> None:
    plan = plan_capacity(LLAMA_70B, named_gpu("1GB"))
    assert (plan.gpus, plan.tensor_parallel, plan.fits, plan.max_concurrency) == (None, None, False, 0)
    assert any("no number of these GPUs" in note for note in plan.assumptions)


def test_a_context_beyond_the_model_is_said() -> None:
    shape = load_model_shape("Llama-3-8B")
    plan = plan_capacity(replace(shape, max_context=8192), H100, context=10_000)
    assert any("8,192" in note for note in plan.assumptions)


def test_latent_attention_is_held_whole_by_every_gpu() -> None:
    shape = load_model_shape("DeepSeek-V3-671B")
    assert kv_bytes_per_token(shape) == 61 * 576 * 2
    h200 = named_gpu("H200")
    eight, sixteen = (plan_capacity(shape, h200, quant="fp8", gpus=count).kv_tokens_left for count in (8, 16))
    assert 0 < eight < sixteen
    per_gpu = h200.memory_bytes * 0.9 / kv_bytes_per_token(shape)
    assert sixteen < per_gpu, "no GPU's latent can be longer than the GPU"


def test_sliding_windows_stop_growing() -> None:
    shape = load_model_shape("gpt-oss-120b")
    short, long = kv_bytes_per_sequence(shape, 128), kv_bytes_per_sequence(shape, 128_000)
    assert short == 128 * kv_bytes_per_token(shape)
    assert long == pytest.approx(128_000 * kv_bytes_per_token(shape) / 2, rel=0.01)


@pytest.mark.parametrize(
    "broken",
    [
        {"context": 0},
        {"concurrency": 0},
        {"gpus": 0},
        {"memory_fraction": 0.0},
        {"memory_fraction": 1.2},
        {"quant": "3bit"},
        {"kv_dtype": "int3"},
        {"batched_tokens": 0},
    ],
)
def test_what_makes_no_sense_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        plan_capacity(LLAMA_70B, H100, **broken)


@pytest.mark.parametrize(
    ("name", "known"), [("AWQ-4bit", "awq-4bit"), ("Q4_K_M", "q4_k_m"), ("awq", "awq-4bit"), ("W8A8", "int8")]
)
def test_formats_as_people_write_them(name: str, known: str) -> None:
    assert named_quant(name).name == known


# Laws

shapes = st.sampled_from(PUBLISHED)
gpus = st.sampled_from([named_gpu(key) for key in ("H100-80GB", "L4", "H200", "A100-40GB", "B200")])
quants = st.sampled_from(sorted(QUANTS))


@settings(deadline=None, max_examples=60)
@given(shapes, gpus, quants, st.integers(1, 100_000), st.integers(1, 64))
def test_the_smallest_count_fits_and_one_less_does_not(
    shape: Any, gpu: GpuSpec, quant: str, context: int, concurrency: int
) -> None:
    plan = plan_capacity(shape, gpu, quant=quant, context=context, concurrency=concurrency)
    if plan.gpus is None:
        assert plan.fits is False
        return
    assert plan.fits
    assert plan.planned_gpus == plan.gpus
    assert plan.max_concurrency >= concurrency
    assert plan.kv_bytes == kv_bytes_per_sequence(shape, context) * concurrency
    assert plan.weights_bytes + plan.kv_bytes + plan.overhead_bytes <= plan.memory_bytes
    if plan.gpus > 1:
        fewer = plan_capacity(shape, gpu, quant=quant, context=context, concurrency=concurrency, gpus=plan.gpus - 1)
        assert not fewer.fits
    if plan.tensor_parallel is not None:
        assert plan.tensor_parallel >= plan.gpus
        assert shape.heads % plan.tensor_parallel == 0


@given(shapes, quants, st.integers(1, 16), st.integers(1, 4096), st.integers(1, 512))
def test_more_never_needs_less(shape: Any, quant: str, count: int, tokens: int, sequences: int) -> None:
    here = overhead_bytes_per_gpu(shape, count, batched_tokens=tokens, sequences=sequences)
    assert here <= overhead_bytes_per_gpu(shape, count, batched_tokens=tokens + 1, sequences=sequences + 1)
    assert kv_bytes_per_sequence(shape, tokens) <= kv_bytes_per_sequence(shape, tokens + 1)
    assert weights_bytes(shape, QUANTS[quant]) <= weights_bytes(shape, QUANTS["fp32"])


@given(st.integers(1, 2000), st.integers(0, 32_000))
def test_the_decode_ceiling_grows_with_the_batch_up_to_the_arithmetic(batch: int, context: int) -> None:
    one = decode_tokens_per_second_ceiling(LLAMA_70B, H100, quant="fp16", gpus=2, batch=batch, context=context)
    two = decode_tokens_per_second_ceiling(LLAMA_70B, H100, quant="fp16", gpus=2, batch=2 * batch, context=context)
    assert one is not None
    assert two is not None
    assert 0 < one <= two * 1.000001
    assert two <= 2 * 989e12 / (2 * LLAMA_70B.parameters) * 1.000001


def test_the_decode_ceiling_is_bandwidth_over_bytes_read() -> None:
    ceiling = decode_tokens_per_second_ceiling(LLAMA_70B, H100, quant="fp16", gpus=2)
    assert ceiling == pytest.approx(2 * 3350e9 / 141.1e9, rel=0.001)
    assert decode_tokens_per_second_ceiling(LLAMA_70B, named_gpu("48GB")) is None
    experts = load_model_shape("Mixtral-8x7B")
    single = decode_tokens_per_second_ceiling(experts, H100, quant="fp16")
    assert single == pytest.approx(3350e9 / (2 * experts.active_parameters), rel=0.01), (
        "one token reads its experts only"
    )


# Naming a model


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("70B", "Llama-3-70B"),
        ("70b", "Llama-3-70B"),
        ("8B", "Llama-3-8B"),
        ("7B", "Mistral-7B"),
        ("500M", "Qwen2.5-0.5B"),
        ("8x7B", "Mixtral-8x7B"),
        ("30B-A3B", "Qwen3-30B-A3B"),
        ("671B", "DeepSeek-V3-671B"),
        ("llama-3.1-405b", "Llama-3.1-405B"),
        ("meta-llama/Llama-3.1-70B-Instruct", "Llama-3-70B"),
        ("qwen2.5-7b", "Qwen2.5-7B"),
        ("deepseek-v3", "DeepSeek-V3-671B"),
    ],
)
def test_sizes_and_names(spec: str, name: str) -> None:
    assert load_model_shape(spec).name == name


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("meta-llama/Llama-3.1-70B-Instruct", "Llama-3-70B"),
        ("/models/Qwen2.5-7B-Instruct-AWQ/", "Qwen2.5-7B"),
        ("openai/gpt-oss-120b", "gpt-oss-120b"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "Mixtral-8x7B"),
        ("Qwen/Qwen3-30B-A3B-FP8", "Qwen3-30B-A3B"),
        ("facebook/opt-125m", "125m"),
        ("deepseek-ai/DeepSeek-R1", "DeepSeek-V3-671B"),
        ("deepseek-ai/DeepSeek-V3.1", "DeepSeek-V3-671B"),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-32B", "Qwen2.5-32B"),
        ("microsoft/phi-4", "Phi-4-14B"),
        ("microsoft/Phi-4-mini-instruct", None),
        ("Qwen/Qwen3-8B", "Qwen3-8B"),
        ("org/7B-draft-of-70B", None),
        ("org/99x99B", None),
        ("org/100000B", None),
        ("org/model-v2b2", None),
        ("", None),
    ],
)
def test_a_models_name_states_its_size(model: str, name: str | None) -> None:
    shape = shape_from_name(model)
    assert (shape is None) == (name is None)
    if shape is not None and name in {published.name for published in PUBLISHED}:
        assert shape.name == name


def test_an_odd_size_scales_the_nearest_and_says_so() -> None:
    shape = load_model_shape("50B")
    assert shape.parameters == 50e9
    assert "weights scaled to 50 billion" in shape.assumptions[0]
    assert plan_capacity(shape, H100).weights_bytes == pytest.approx(100e9)


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "seventy",
        "70",
        "0B",
        "-5B",
        "- 5B",
        "9x9B",
        "99999B",
        "/no/such/config.json",
        "missing.gguf",
        "~nobody-of-this-name/x",
        "a" * 5000,
        "\0",
    ],
)
def test_what_is_no_model_is_refused_in_words(spec: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_model_shape(spec)
    assert len(str(caught.value)) > 10


@given(st.text(max_size=40))
def test_no_text_breaks_the_parser(text: str) -> None:
    with suppress(UsageError):
        load_model_shape(text.replace("/", "").replace(".", "") or "x")


LLAMA_CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "num_hidden_layers": 80,
    "hidden_size": 8192,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "intermediate_size": 28672,
    "vocab_size": 128256,
    "tie_word_embeddings": False,
    "max_position_embeddings": 131072,
}
DEEPSEEK_CONFIG: dict[str, Any] = {
    "model_type": "deepseek_v3",
    "num_hidden_layers": 61,
    "hidden_size": 7168,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "intermediate_size": 18432,
    "vocab_size": 129280,
    "tie_word_embeddings": False,
    "kv_lora_rank": 512,
    "q_lora_rank": 1536,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 2048,
    "first_k_dense_replace": 3,
    "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]},
}


def config_file(folder: Path, config: Any) -> str:
    path = folder / "config.json"
    path.write_text(config if isinstance(config, str) else json.dumps(config), encoding="utf-8")
    return str(path)


def test_a_llama_config(tmp_path: Path) -> None:
    shape = load_model_shape(config_file(tmp_path, LLAMA_CONFIG))
    assert shape.parameters == load_model_shape("Llama-3-70B").parameters
    assert kv_bytes_per_token(shape) == 327_680
    assert shape.max_context == 131_072


def test_a_deepseek_config_is_latent_sparse_and_fp8(tmp_path: Path) -> None:
    shape = load_model_shape(config_file(tmp_path, DEEPSEEK_CONFIG))
    published = load_model_shape("DeepSeek-V3-671B")
    assert (shape.parameters, shape.active_parameters) == (published.parameters, published.active_parameters)
    assert kv_bytes_per_token(shape) == 70_272
    assert plan_capacity(shape, named_gpu("H200")).quant == "fp8"


@pytest.mark.parametrize(
    ("change", "per_token"),
    [
        ({"num_key_value_heads": None}, 80 * 2 * 64 * 128 * 2),  # multi-head: as many KV heads as heads
        ({"num_key_value_heads": None, "multi_query": True}, 80 * 2 * 1 * 128 * 2),
        ({"head_dim": 64}, 80 * 2 * 8 * 64 * 2),
        ({"layer_types": ["full_attention"] + ["linear_attention"] * 3}, 327_680),  # of another length: not believed
        ({"full_attention_interval": 4}, 20 * 2 * 8 * 128 * 2),
        ({"layer_types": (["linear_attention"] * 3 + ["full_attention"]) * 20}, 20 * 2 * 8 * 128 * 2),
    ],
)
def test_attention_variants(tmp_path: Path, change: dict[str, Any], per_token: int) -> None:
    shape = load_model_shape(config_file(tmp_path, {**LLAMA_CONFIG, **change}))
    assert kv_bytes_per_token(shape) == per_token


def test_windows_from_layer_types_and_pattern(tmp_path: Path) -> None:
    kinds = {"layer_types": ["sliding_attention", "full_attention"] * 40, "sliding_window": 1024}
    shape = load_model_shape(config_file(tmp_path, {**LLAMA_CONFIG, **kinds}))
    assert (shape.window_layers, shape.window, shape.full_layers) == (40, 1024, 40)
    pattern = {"sliding_window_pattern": 6, "sliding_window": 512}
    shape = load_model_shape(config_file(tmp_path, {**LLAMA_CONFIG, **pattern}))
    assert (shape.window_layers, shape.window) == (67, 512)


def test_a_multimodal_config_counts_its_language_model(tmp_path: Path) -> None:
    shape = load_model_shape(config_file(tmp_path, {"model_type": "llava", "text_config": LLAMA_CONFIG}))
    assert kv_bytes_per_token(shape) == 327_680
    assert any("multimodal" in note for note in shape.assumptions)


def compressed(bits: int, kind: str) -> dict[str, Any]:
    weights = {"num_bits": bits, "type": kind}
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": weights}}}


@pytest.mark.parametrize(
    ("quantization", "name"),
    [
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, "awq-4bit"),
        ({"quant_method": "gptq", "bits": 4}, "gptq-4bit"),
        ({"quant_method": "gptq", "bits": 8}, "int8"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "nf4"),
        ({"quant_method": "mxfp4"}, "mxfp4"),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, "fp8"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4"),
        (compressed(8, "float"), "fp8"),
        (compressed(4, "int"), "awq-4bit"),
        (compressed(4, "float"), "nvfp4"),
        ({"quant_method": "compressed-tensors"}, "fp16"),
        ({"quant_method": "never-heard-of"}, "fp16"),
    ],
)
def test_quantised_configs(tmp_path: Path, quantization: dict[str, Any], name: str) -> None:
    shape = load_model_shape(config_file(tmp_path, {**LLAMA_CONFIG, "quantization_config": quantization}))
    assert plan_capacity(shape, H100).quant == name


@pytest.mark.parametrize(
    "config",
    [
        "",
        "[]",
        "{",
        "[" * 100_000,
        {},
        {**LLAMA_CONFIG, "num_hidden_layers": "80"},
        {**LLAMA_CONFIG, "num_hidden_layers": -1},
        {**LLAMA_CONFIG, "hidden_size": 10**12},
        {**LLAMA_CONFIG, "vocab_size": True},
        {**LLAMA_CONFIG, "vocab_size": 1e5},
        {"text_config": "x"},
        {**DEEPSEEK_CONFIG, "v_head_dim": None},
    ],
)
def test_broken_configs_are_one_sentence(tmp_path: Path, config: Any) -> None:
    with pytest.raises(UsageError, match=r"config\.json"):
        load_model_shape(config_file(tmp_path, config))


def test_a_folder_states_its_weights(tmp_path: Path) -> None:
    config_file(tmp_path, LLAMA_CONFIG)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 141_107_412_992}, "weight_map": {}}))
    shape = load_model_shape(str(tmp_path))
    plan = plan_capacity(shape, H100)
    assert (plan.weights_bytes, plan.quant) == (141_107_412_992, "as stored")
    assert "as stated by model.safetensors.index.json" in plan.assumptions[-1]
    assert load_model_shape(str(index)).stored_bytes == shape.stored_bytes
    assert plan_capacity(shape, H100, quant="int8").weights_bytes < plan.weights_bytes, "what is asked for wins"


def test_a_folder_without_an_index_is_measured(tmp_path: Path) -> None:
    config_file(tmp_path, LLAMA_CONFIG)
    assert load_model_shape(str(tmp_path)).stored_bytes is None
    for name, size in (("model-1.safetensors", 1000), ("model-2.safetensors", 500), ("consolidated.safetensors", 1500)):
        (tmp_path / name).write_bytes(b"x" * size)
    assert load_model_shape(str(tmp_path)).stored_bytes == 1500


def test_an_empty_folder_and_a_strange_file(tmp_path: Path) -> None:
    strange = tmp_path / "notes.txt"
    strange.touch()
    for path in (tmp_path, strange):
        with pytest.raises(UsageError):
            load_model_shape(str(path))


# GGUF


def gguf(entries: dict[str, Any], version: int = 3) -> bytes:
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    body = b""
    for key, value in entries.items():
        body += text(key)
        if isinstance(value, str):
            body += struct.pack("<I", 8) + text(value)
        elif isinstance(value, list) and value and isinstance(value[0], str):
            body += struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(text, value))
        elif isinstance(value, list):
            body += struct.pack("<IIQ", 9, 4, len(value)) + struct.pack(f"<{len(value)}I", *value)
        else:
            body += struct.pack("<II", 4, value)
    return b"GGUF" + struct.pack("<IQQ", version, 0, len(entries)) + body


GGUF_LLAMA: dict[str, Any] = {
    "general.architecture": "llama",
    "general.name": "tiny",
    "llama.block_count": 4,
    "llama.embedding_length": 64,
    "llama.feed_forward_length": 128,
    "llama.attention.head_count": 8,
    "llama.attention.head_count_kv": 2,
    "llama.context_length": 2048,
    "tokenizer.ggml.tokens": ["a", "b"] * 5000,
}


def test_a_gguf_file(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf(GGUF_LLAMA) + b"\0" * 1000)
    shape = load_model_shape(str(path))
    assert (shape.name, shape.layers, shape.kv_heads, shape.head_dim, shape.max_context) == ("tiny", 4, 2, 8, 2048)
    assert shape.stored_bytes == path.stat().st_size
    plan = plan_capacity(shape, H100)
    assert (plan.quant, plan.weights_bytes) == ("gguf", path.stat().st_size)
    assert load_model_shape(str(tmp_path)).stored_bytes == shape.stored_bytes, "also as a folder"


def test_a_hybrid_gguf_states_kv_heads_layer_by_layer(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf({**GGUF_LLAMA, "llama.attention.head_count_kv": [0, 0, 0, 2]}))
    shape = load_model_shape(str(path))
    assert (shape.cacheless_layers, shape.full_layers, shape.kv_heads) == (3, 1, 2)


def test_a_split_gguf_counts_all_parts(tmp_path: Path) -> None:
    first = tmp_path / "m-00001-of-00002.gguf"
    first.write_bytes(gguf(GGUF_LLAMA))
    with pytest.raises(UsageError, match="m-00002-of-00002"):
        load_model_shape(str(first))
    (tmp_path / "m-00002-of-00002.gguf").write_bytes(b"x" * 5000)
    assert load_model_shape(str(first)).stored_bytes == first.stat().st_size + 5000


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_a_damaged_gguf_is_one_sentence(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    whole = gguf({**GGUF_LLAMA, "tokenizer.ggml.tokens": ["a", "b"]})
    damaged = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for place in data.draw(st.lists(st.integers(0, max(0, len(damaged) - 1)), max_size=4)):
        if damaged:
            damaged[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("gguf") / "m.gguf"
    path.write_bytes(bytes(damaged))
    with suppress(UsageError):  # anything else is a failure
        load_model_shape(str(path))


@pytest.mark.parametrize(
    ("name", "billions"),  # as the model cards state them
    [
        *(("Qwen3-0.6B", 0.6), ("Qwen3-1.7B", 1.7), ("Qwen2.5-3B", 3.09), ("Qwen3-4B", 4.0), ("Qwen2.5-7B", 7.61)),
        *(("Qwen3-8B", 8.2), ("Mistral-Nemo-12B", 12.2), ("Phi-4-14B", 14.7), ("Qwen3-14B", 14.8)),
        *(("Mistral-Small-24B", 23.6), ("Qwen3-32B", 32.8)),
    ],
)
def test_what_is_known_by_name_has_the_parameters_of_its_card(name: str, billions: float) -> None:
    assert load_model_shape(name).parameters / 1e9 == pytest.approx(billions, rel=0.02)


def test_a_name_that_states_the_format_of_the_weights() -> None:
    named = plan_capacity(load_model_shape("Qwen/Qwen2.5-7B-Instruct-AWQ"), named_gpu("L4"))
    assert named.quant == "awq-4bit"
    assert plan_capacity(load_model_shape("Qwen/Qwen2.5-7B-Instruct"), named_gpu("L4")).quant == "fp16"
    assert plan_capacity(load_model_shape("Qwen/Qwen2.5-7B-Instruct-AWQ"), named_gpu("L4"), quant="fp8").quant == "fp8"


@pytest.mark.parametrize(
    ("name", "quant"),
    [
        ("deepseek-ai/DeepSeek-R1", "fp8"),
        ("openai/gpt-oss-120b", "mxfp4"),
        ("unsloth/gpt-oss-20b-BF16", "fp16"),
        ("671B", "fp16"),
    ],
)
def test_models_published_in_fewer_bits_are_sized_so(name: str, quant: str) -> None:
    assert plan_capacity(load_model_shape(name), named_gpu("H200")).quant == quant
