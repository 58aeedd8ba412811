"""Configurations as model families really write them: weights against published parameter counts, and the KV cache.

`data/model-configs.json` holds the numbers of each family's own ``config.json`` (what does not matter here is left out)
beside the parameters its publisher states. Falcon's checkpoints hold the tied head twice, which engines load once: what
they state is held against our count with a second head.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from inferaudit.capacity import kv_bytes_per_sequence, kv_bytes_per_token, named_quant, plan_capacity, weights_bytes
from inferaudit.errors import UsageError
from inferaudit.gpu_table import named_gpu
from inferaudit.model_config import shape_from_config
from inferaudit.model_names import load_model_shape
from inferaudit.model_shapes import ModelShape

ROWS = json.loads((Path(__file__).parent / "data" / "model-configs.json").read_text("utf-8"))
CONFIGS = {row["name"]: row["config"] for row in ROWS}


def shape(name: str, **changed: object) -> ModelShape:
    return shape_from_config({**CONFIGS[name], **changed}, name)


@pytest.mark.parametrize("row", ROWS, ids=[row["name"] for row in ROWS])
def test_weights_and_kv_are_the_published_ones(row: dict[str, Any]) -> None:
    found = shape_from_config(row["config"], row["name"])
    twice = row["config"]["vocab_size"] * row["config"]["hidden_size"] if row.get("head_held_twice") else 0
    assert (found.parameters + twice) / 1e9 == pytest.approx(row["billions"], rel=0.01)
    assert kv_bytes_per_token(found) == row["kv_bytes_per_token"]
    assert [found.window_layers, found.window] == row["window"]
    assert found.cacheless_layers == row["cacheless"]


@pytest.mark.parametrize(("name", "in_checkpoint"), [("falcon-7b", 7_217_189_760), ("falcon-40b", 83_671_941_120 // 2)])
def test_falcon_has_one_head_where_its_checkpoint_holds_two(name: str, in_checkpoint: int) -> None:
    """The first as the hub states it, the second from the ``total_size`` of its index, two bytes a parameter."""
    head = CONFIGS[name]["vocab_size"] * CONFIGS[name]["hidden_size"]
    assert shape(name).parameters + head == pytest.approx(in_checkpoint, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "billions"),
    [("llama4-scout", 17.2), ("llama4-maverick", 17.2), ("dbrx", 36), ("qwen2-57b-a14b", 14.2), ("jamba-mini", 12)],
)
def test_active_parameters_are_the_published_ones(name: str, billions: float) -> None:
    assert shape(name).active_parameters / 1e9 == pytest.approx(billions, rel=0.03)


def test_what_a_part_leaves_out_is_the_classs_default_and_is_said() -> None:
    notes = " ".join(shape("llava-15-7b").assumptions)
    assert "taken from transformers' defaults for llama: num_hidden_layers 32" in notes
    assert "only the language model" in notes
    bare = {name: value for name, value in CONFIGS["llama31-8b"].items() if name != "hidden_size"}
    with pytest.raises(UsageError, match="hidden_size is missing"):
        shape_from_config(bare, "a whole model states its own")


def test_a_part_within_a_part_is_found() -> None:
    text = CONFIGS["qwen25-7b"]
    deep = shape_from_config({"model_type": "qwen2_5_omni", "thinker_config": {"text_config": text}}, "x")
    assert (deep.layers, deep.kv_heads) == (28, 4)


def test_windows_hold_their_width_and_whole_layers_the_context() -> None:
    gemma = shape("gemma3-27b")
    layer = 2 * 16 * 128 * 2
    assert kv_bytes_per_sequence(gemma, 32_768) == layer * (10 * 32_768 + 52 * 1024)
    listed = shape("gemma2-9b", layer_types=["sliding_attention", "full_attention"] * 21)
    assert (listed.window_layers, listed.window) == (21, 4096), "the newer way to say the same"


@pytest.mark.parametrize(
    ("changed", "windowed"),
    [
        ({"use_sliding_window": False}, 0),
        ({"use_sliding_window": True, "max_window_layers": 20}, 8),
        ({"use_sliding_window": True, "max_window_layers": 28}, 0),
    ],
)
def test_qwen_windows_its_last_layers_only_when_told_to(changed: dict[str, object], windowed: int) -> None:
    assert shape("qwen25-7b", sliding_window=4096, **changed).window_layers == windowed


def test_a_window_that_is_not_understood_is_counted_whole_and_said() -> None:
    assert "sliding_window 2,047 is stated" in " ".join(shape("phi3-mini").assumptions)


def test_layer_orders_of_other_families() -> None:
    exaone = shape("llama31-8b", model_type="exaone4", sliding_window=4096, sliding_window_pattern="LLLG")
    assert exaone.window_layers == 24
    minimax = shape("llama31-8b", attn_type_list=([0] * 7 + [1]) * 4)
    assert minimax.cacheless_layers == 28
    kimi = shape("llama31-8b", linear_attn_config={"full_attn_layers": [4, 8, 32], "kda_layers": []})
    assert kimi.cacheless_layers == 29
    sharing = shape("llama31-8b", num_kv_shared_layers=10)
    assert sharing.cacheless_layers == 10
    mixed = shape("llama31-8b", layers_block_type=["mamba"] * 30 + ["attention"] * 2)
    assert mixed.cacheless_layers == 30


def test_experts_may_begin_late_skip_layers_or_be_listed() -> None:
    assert shape("qwen3-30b-a3b", decoder_sparse_step=2).experts.dense_layers == 24  # type: ignore[union-attr]
    assert shape("qwen3-30b-a3b", mlp_only_layers=[0, 1]).experts.dense_layers == 2  # type: ignore[union-attr]
    listed = shape("glm45-air", moe_layer_freq=[0] * 6 + [1] * 40)
    assert listed.experts is not None
    assert listed.experts.dense_layers == 6


@pytest.mark.parametrize("pattern", ["M-*", "M" * 51 + "x", 7, "M" * 53])
def test_an_order_of_layers_that_cannot_be_read_is_refused(pattern: object) -> None:
    with pytest.raises(UsageError, match="hybrid_override_pattern"):
        shape("nemotron-h-8b", hybrid_override_pattern=pattern)


@pytest.mark.parametrize(
    "broken",
    [
        {"text_config": [1]},
        {"num_hidden_layers": -1},
        {"num_hidden_layers": True},
        {"hidden_size": "4096"},
        {"vocab_size": 10**12},
        {"intermediate_size": []},
        {"kv_lora_rank": 512},
    ],
)
def test_what_is_broken_is_one_sentence(broken: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        shape("llama31-8b", **broken)


@pytest.mark.parametrize(
    ("config", "quant"),
    [
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "gptq-4bit"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 32}, "gptq-4bit-g32"),
        ({"quant_method": "awq", "bits": 4, "q_group_size": 64}, "awq-4bit-g64"),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8"),
        ({"quant_method": "mxfp4"}, "mxfp4"),
        ({"quant_method": "something-new", "bits": 5}, "something-new"),
        ([], None),
    ],
)
def test_the_format_a_checkpoint_states(config: object, quant: str | None) -> None:
    assert shape("llama31-70b", quantization_config=config).stored_quant == quant


def test_smaller_groups_take_more() -> None:
    seventy = load_model_shape("70B")
    sizes = [weights_bytes(seventy, named_quant(f"awq-4bit{group}")) for group in ("", "-g64", "-g32")]
    assert [round(size / 1e9, 1) for size in sizes] == [39.8, 41.1, 43.8]


def test_the_degree_of_tensor_parallelism_shares_out_the_kv_heads_too() -> None:
    seven = shape("qwen25-7b")  # 28 heads over 4 KV heads: 7 GPUs could not share those
    a, b = (plan_capacity(seven, named_gpu("4GB"), quant="fp16", concurrency=n) for n in (1, 6))
    assert (a.tensor_parallel, b.tensor_parallel) != (7, 7)
    for plan in (a, b):
        degree = plan.tensor_parallel
        assert degree is not None
        assert seven.heads % degree == 0
        assert seven.kv_heads % degree == 0 or degree % seven.kv_heads == 0


def test_heads_are_not_cut() -> None:
    eight = shape("llama31-8b")
    three, four = (plan_capacity(eight, named_gpu("L4"), quant="fp16", gpus=n) for n in (3, 4))
    assert "× 2.67 ÷" in three.formulas["kv_tokens_left"], "three GPUs hold 3, 3 and 2 of 8 KV heads"
    assert "× 4 ÷" in four.formulas["kv_tokens_left"]
