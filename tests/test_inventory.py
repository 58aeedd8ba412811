"""What was found: models with what is stated of them, feature stores, and how many GPUs the service holds."""

from __future__ import annotations

from typing import Any

import pytest

from inferaudit.facts.endpoint import ServedModel
from inferaudit.facts.kubernetes import Workload
from inferaudit.inventory import gpus_held, inventory_section, target_section
from inferaudit.kube.types import Node
from inferaudit.model import Fact, Snapshot, Target


def snapshot(**facts: Any) -> Snapshot:
    named = {name.replace("__", "."): Fact(value) for name, value in facts.items()}
    return Snapshot(collected_at="2026-11-20T12:00:00Z", target=Target(), facts=named, tool_version="0")


def container(image: str = "vllm/vllm-openai:v0.33.0", *args: str, env: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "name": "server", "subject": "deployment/a/chat/server", "serving": True, "image": image, "args": list(args),
        "env": [{"name": name, "value": value} for name, value in (env or {}).items()],
    }  # fmt: skip


def test_what_was_not_looked_at_is_null() -> None:
    found = inventory_section(snapshot(), [])
    assert set(found.values()) == {None}


def test_models_with_what_the_engine_was_told() -> None:
    args = ("--model=/models/tiny.gguf", "--dtype=bfloat16", "--quantization=awq", "--revision=abc123")
    found = inventory_section(
        snapshot(
            endpoint__models=[ServedModel(id="chat")], workload__containers=[container("vllm/vllm-openai:v1", *args)]
        ),
        [],
    )
    assert found["models"] == [
        {"id": "chat", "format": "gguf", "precision": "bfloat16", "quantisation": "awq", "revision": "abc123"}
    ]


def test_what_the_server_says_comes_first() -> None:
    said = {"format": "gguf", "quantization_level": "Q4_K_M", "parameter_size": "8B"}
    found = inventory_section(snapshot(endpoint__models=[ServedModel(id="llama3", facts=said)]), [])
    assert found["models"] == [
        {"id": "llama3", "format": "gguf", "precision": None, "quantisation": "Q4_K_M", "revision": None}
    ]


def test_a_manifest_names_its_model_too() -> None:
    found = inventory_section(snapshot(workload__containers=[container("vllm/vllm-openai:v1", "--model=org/chat")]), [])
    assert [model["id"] for model in found["models"]] == ["org/chat"]
    assert found["models"][0]["format"] is None
    assert inventory_section(snapshot(workload__containers=[]), [])["models"] == []


@pytest.mark.parametrize(
    ("item", "names"),
    [
        (container(env={"FEAST_REPO": "x"}), ["feast"]),
        (container("ghcr.io/org/tecton-client:1"), ["tecton"]),
        (container("ghcr.io/org/beefeaster:1"), []),
    ],
)
def test_feature_stores(item: dict[str, Any], names: list[str]) -> None:
    found = inventory_section(snapshot(workload__containers=[item]), [])["feature_stores"]
    assert [store["name"] for store in found] == names


def test_gpus_are_those_the_workload_asks_for_before_those_seen() -> None:
    seen = {"gpus": [{"product": "NVIDIA L4", "count": 8, "nodes": ["a"]}]}
    workload = Workload(
        kind="Deployment", namespace="a", name="chat", subject="deployment/a/chat", replicas=3, object={}, template={},
        uses_gpu=True, gpus_per_pod=2,
    )  # fmt: skip
    assert gpus_held(snapshot(workload=workload), seen) == 6
    assert gpus_held(snapshot(), seen) == 8
    assert gpus_held(snapshot(), {"gpus": []}) is None


@pytest.mark.parametrize(("label", "count"), [("8", 8), ("²", 1), ("many", 1), ("9" * 5000, 1)])
def test_a_node_that_does_not_number_its_gpus_has_one(label: str, count: int) -> None:
    labels = {"nvidia.com/gpu.product": "NVIDIA-L4", "nvidia.com/gpu.count": label}
    node = Node(name="n", labels=labels, capacity={}, allocatable={}, conditions=[])
    seen = snapshot(cluster__nodes=[node], workload__pods=[{"spec": {"nodeName": "n"}}])
    assert [gpu["count"] for gpu in target_section(seen)["gpus"]] == [count]
