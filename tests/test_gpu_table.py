"""The GPU table: every spelling finds its product, and nothing finds a product it is not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferaudit.errors import UsageError
from inferaudit.gpu_table import GPUS, MIB, find_gpu, named_gpu, node_gpu, normalise_product


@pytest.mark.parametrize(
    ("product", "key"),
    [
        ("NVIDIA H100 80GB HBM3", "H100-80GB"),
        ("NVIDIA-H100-80GB-HBM3", "H100-80GB"),
        ("NVIDIA-H100-80GB-HBM3-SHARED", "H100-80GB"),
        ("H100", "H100-80GB"),
        ("NVIDIA H100 PCIe", "H100-PCIe"),
        ("NVIDIA H100 NVL", "H100-NVL"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA H200 NVL", "H200-NVL"),
        ("NVIDIA GH200 480GB", "GH200"),
        ("NVIDIA B200", "B200"),
        ("NVIDIA GB200", "GB200"),
        ("NVIDIA B300 SXM6 AC", "B300"),
        ("NVIDIA A100-SXM4-80GB", "A100-80GB"),
        ("A100-SXM4-40GB", "A100-40GB"),
        ("NVIDIA A100 80GB PCIe", "A100-80GB-PCIe"),
        ("NVIDIA A100-PCIE-40GB", "A100-40GB-PCIe"),
        ("NVIDIA A10", "A10"),
        ("NVIDIA A10G", "A10G"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA L40", "L40"),
        ("NVIDIA L40S", "L40S"),
        ("Tesla T4", "T4"),
        ("Tesla V100-SXM2-16GB", "V100-16GB"),
        ("Tesla V100-SXM2-32GB", "V100-32GB"),
        ("NVIDIA RTX A6000", "RTX-A6000"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX-6000-Ada"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX-PRO-6000"),
        ("NVIDIA GeForce RTX 4090", "RTX-4090"),
        ("AMD Instinct MI300X", "MI300X"),
    ],
)
def test_names_as_they_occur(product: str, key: str) -> None:
    found = find_gpu(product)
    assert found is not None
    assert found.key == key


@pytest.mark.parametrize(
    "product", [None, "", "NVIDIA A100-SXM4-40GB MIG 1g.5gb", "GRID T4-8Q", "NVIDIA L4000", "NVIDIA A1000", "Quadro"]
)
def test_what_is_not_a_whole_gpu_of_the_table_is_not_found(product: str | None) -> None:
    assert find_gpu(product) is None


def test_memory_tells_variants_apart() -> None:
    small, large = find_gpu("NVIDIA A100", 40_536 * MIB), find_gpu("NVIDIA A100", 81_251 * MIB)
    assert small is not None
    assert large is not None
    assert (small.memory_mib, large.memory_mib) == (40_960, 81_920)
    assert find_gpu("NVIDIA H100 80GB HBM3", 500 * MIB) is None


def test_every_key_names_its_own_product() -> None:
    assert [named_gpu(spec.key).key for spec in GPUS] == [spec.key for spec in GPUS]


def test_figures_are_plausible_and_sourced() -> None:
    for spec in GPUS:
        assert spec.sources, spec.key
        assert 100 <= spec.bandwidth_gb_s <= 10_000, spec.key
        assert re.fullmatch(r"\d+\.\d|gfx\d+", spec.compute_capability), spec.key
        in_name = re.search(r"(\d+)GB", spec.key)
        if in_name:
            assert abs(spec.memory_bytes / (int(in_name[1]) * 1e9) - 1) < 0.1, spec.key
        if "bf16" in spec.tflops and spec.vendor == "nvidia":
            assert float(spec.compute_capability) >= 8.0, "bfloat16 came with Ampere"
        if "fp8" in spec.tflops and spec.vendor == "nvidia":
            assert float(spec.compute_capability) >= 8.9, "FP8 came with Ada and Hopper"


def test_h100_is_what_nvml_reports() -> None:
    assert named_gpu("H100-80GB").memory_bytes == 81_559 * 1024 * 1024


def test_a_bare_size_is_a_gpu_of_that_size() -> None:
    assert named_gpu("48GB").memory_bytes == pytest.approx(48e9, abs=MIB)
    assert named_gpu("24GiB").memory_mib == 24 * 1024
    assert named_gpu("48GB").notes


@pytest.mark.parametrize("name", ["H900", "0GB", "", "GPU"])
def test_an_unknown_gpu_lists_the_known(name: str) -> None:
    with pytest.raises(UsageError, match=r"H100-80GB|no size"):
        named_gpu(name)


@given(st.text(max_size=60))
def test_no_text_breaks_the_search(text: str) -> None:
    find_gpu(text)
    assert normalise_product(normalise_product(text)) == normalise_product(text)


@pytest.mark.parametrize(
    ("product", "labels", "key"),
    [
        ("NVIDIA-H100-80GB-HBM3", {"nvidia.com/gpu.memory": "81559"}, "H100-80GB"),
        ("nvidia-tesla-a100", {}, "A100-40GB"),
        ("nvidia-a100-80gb", {}, "A100-80GB"),
        ("nvidia-tesla-t4", {}, "T4"),
        ("nvidia-l4", {}, "L4"),
        ("a100", {"karpenter.k8s.aws/instance-gpu-memory": "40960"}, "A100-40GB"),
        ("a10g", {"karpenter.k8s.aws/instance-gpu-memory": "22888"}, "A10G"),
        ("NVIDIA-H100-80GB-HBM3-MIG-1g.10gb", {"nvidia.com/gpu.memory": "9856"}, None),
        (None, {"nvidia.com/gpu.memory": "81559"}, None),
        ("nvidia-l4", {"nvidia.com/gpu.memory": "many"}, "L4"),
    ],
)
def test_node_labels_name_a_gpu(product: str | None, labels: dict[str, str], key: str | None) -> None:
    found = node_gpu(product, labels)
    assert (found.key if found else None) == key
