"""What a serving container was told, from manifests as people write them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferaudit.engine_args import (
    FROM_SECRET,
    engine_of,
    engine_port,
    flag_value,
    is_commit,
    is_generative,
    is_hub_model,
    quantised_as,
    serving_engines,
)

VLLM = "vllm/vllm-openai:v0.32.0"


def config_map(**data: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}


@pytest.mark.parametrize(
    "container",
    [
        {"args": ["--model=Q/q", "--max-num-seqs=128"]},
        {"args": ["--model", "Q/q", "--max_num_seqs", "128"]},
        {"command": ["vllm", "serve", "Q/q", "--max-num-seqs", "128"]},
        {"command": ["bash", "-c", "set -e\nexec vllm serve Q/q \\\n  --max-num-seqs 128"]},
        {"command": ["vllm", "serve", "Q/q"], "env": [{"name": "VLLM_ADDITIONAL_ARGS", "value": "--max-num-seqs 128"}]},
    ],
)
def test_every_spelling_says_the_same(container: dict[str, Any]) -> None:
    engine = engine_of({"image": VLLM, **container})
    assert engine.title == "vLLM"
    assert (engine.value("model"), engine.number("batch_size")) == ("Q/q", 128)
    assert engine.visible
    assert is_generative(engine)


def test_a_server_of_ones_own_is_not_named() -> None:
    engine = engine_of({"image": "registry.example.com/app:v1"})
    assert not engine.known
    assert engine.title == "an unrecognised server"
    assert not engine.settings
    assert not engine.visible
    assert not is_generative(engine)


def test_variables_come_from_literals_config_maps_and_secrets() -> None:
    container = {
        "image": VLLM,
        "envFrom": [{"configMapRef": {"name": "c"}, "prefix": "X_"}, {"secretRef": {"name": "s"}}],
        "env": [
            {"name": "VLLM_API_KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            {"name": "FROM_MAP", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "a"}}},
            {"name": "LOST", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "nothing"}}},
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
    }
    engine = engine_of(container, [config_map(a="1")])
    assert engine.env == {"X_a": "1", "VLLM_API_KEY": FROM_SECRET, "FROM_MAP": "1"}
    assert engine.settings["auth"].source == "VLLM_API_KEY"


def test_a_configuration_file_counts_only_when_the_engine_reads_it() -> None:
    maps = [
        config_map(**{"vllm.yaml": "max-num-seqs: 64\nenable-prefix-caching: false", "other.yaml": "dtype: float32"})
    ]
    read = engine_of({"image": VLLM, "args": ["--model", "m", "--config", "/etc/vllm.yaml"]}, maps)
    assert read.number("batch_size") == 64
    assert read.settings["prefix_cache"].off
    assert "precision" not in read.settings
    assert engine_of({"image": VLLM, "args": ["--model", "m"]}, maps).number("batch_size") is None


def test_a_flag_wins_over_a_configuration_file() -> None:
    maps = [config_map(**{"vllm.yaml": "max-num-seqs: 64"})]
    args = ["--model", "m", "--config", "/etc/vllm.yaml", "--max-num-seqs", "8"]
    assert engine_of({"image": VLLM, "args": args}, maps).number("batch_size") == 8


def test_triton_reads_its_model_configuration() -> None:
    text = (
        'max_batch_size: 32\ndynamic_batching {\n  max_queue_delay_microseconds: 500\n}\nmodel_warmup [{ name: "w" }]'
    )
    engine = engine_of({"image": "nvcr.io/nvidia/tritonserver:24.08-py3"}, [config_map(**{"config.pbtxt": text})])
    assert (engine.number("batch_size"), engine.number("batch_wait")) == (32, 500)
    assert "warmup" in engine.settings


@pytest.mark.parametrize(
    ("container", "port"),
    [
        ({"args": ["--model", "m", "--port", "9000"]}, 9000),
        ({"args": ["--model", "m", "--port=9000"]}, 9000),
        ({"args": ["--model", "m", "--port", "$(PORT)"]}, None),
        ({"env": [{"name": "PORT", "value": "8080"}]}, 8080),
        ({"args": ["--port"]}, None),
        ({}, None),
    ],
)
def test_the_port_it_was_told(container: dict[str, Any], port: int | None) -> None:
    assert engine_port(engine_of({"image": VLLM, **container})) == port


@pytest.mark.parametrize(
    ("args", "quantised"),
    [
        (["--model", "m", "--quantization", "awq"], "awq"),
        (["--model", "m", "--quantization", "none"], None),
        (["--model", "Q/q-7B-Instruct-AWQ"], "AWQ"),
        (["--model", "Q/q-FP8"], "FP8"),
        (["--model", "Q/gawqer"], None),
        (["--model", "Q/q-7B"], None),
    ],
)
def test_quantisation_is_named_by_flag_or_model(args: list[str], quantised: str | None) -> None:
    assert quantised_as(engine_of({"image": VLLM, "args": args})) == quantised


def test_only_serving_containers_have_engines() -> None:
    containers = [{"image": VLLM, "serving": True, "name": "a"}, {"image": "envoy:v1", "serving": False, "name": "b"}]
    assert [container["name"] for container, _ in serving_engines(containers)] == ["a"]


def test_flags_without_a_concern() -> None:
    engine = engine_of({"image": VLLM, "args": ["--data_parallel_size=2", "--alone", "--last"]})
    assert flag_value(engine, "--data-parallel-size") == "2"
    assert flag_value(engine, "--alone") == ""
    assert flag_value(engine, "--last") == ""
    assert flag_value(engine, "--other") is None


def test_hub_names_and_commits() -> None:
    assert is_hub_model("Qwen/Qwen2.5-7B")
    assert not is_hub_model("/models/qwen")
    assert not is_hub_model("s3://bucket/model")
    assert not is_hub_model("a/b/c")
    assert is_commit("a" * 40)
    assert not is_commit("main")


@given(
    st.lists(st.text(max_size=30), max_size=8), st.dictionaries(st.text(max_size=10), st.text(max_size=60), max_size=3)
)
def test_hostile_words_and_files_never_raise(words: list[str], data: dict[str, str]) -> None:
    container = {"image": VLLM, "command": ["sh", "-c", *words], "args": words}
    engine = engine_of(container, [config_map(**{f"{name}.pbtxt": text for name, text in data.items()})])
    engine_port(engine)
    quantised_as(engine)
    engine.number("batch_size")
