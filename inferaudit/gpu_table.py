"""GPU products as data: memory as NVML reports it, bandwidth, dense arithmetic, and how to recognise their names.

Memory is what the driver shows (``nvidia-smi``, MiB), which differs from the number in the name in both directions.
TFLOP/s are **dense** tensor-core figures; data sheets often print 2:4-sparse ones, twice as large. Where a source is
marked ``unconfirmed`` the figure comes from one copy of a data sheet and is used with a note.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from inferaudit.errors import UsageError
from inferaudit.units import whole_number

MIB = 1024 * 1024

# Where the figures come from.
_SMI = "memory: nvidia-smi totals, github.com/modal-labs/modal-client/pull/2797 and published nvidia-smi listings"
_PEAKS = "peaks: Lightning Fabric throughput.py and torchtitan tools/utils.py, which cite NVIDIA data sheets"
_LLM = "bandwidth: github.com/cli99/llm-analysis gpu_configs"
_SHEET = "NVIDIA data sheet"
_B200 = "bandwidth measured: github.com/pytorch/ao/pull/4002"
_UNCONFIRMED = "unconfirmed"


@dataclass(frozen=True, slots=True)
class GpuSpec:
    """One product. `tflops` maps a precision (fp16, bf16, fp8, int8) to dense TFLOP/s; absent = not in hardware.

    `nvlink_gb_s` is the sum over all links and both directions; None = the product has no NVLink.
    """

    key: str
    pattern: str
    memory_mib: int
    bandwidth_gb_s: float
    tflops: Mapping[str, float]
    compute_capability: str
    nvlink_gb_s: float | None
    sources: tuple[str, ...]
    datacenter: bool = True
    vendor: str = "nvidia"
    notes: tuple[str, ...] = field(default=())

    @property
    def memory_bytes(self) -> int:
        """Total memory as the driver reports it."""
        return self.memory_mib * MIB


def _ampere(dense: float, int8: float) -> dict[str, float]:
    return {"fp16": dense, "bf16": dense, "int8": int8}


def _ada(dense: float, eight_bit: float) -> dict[str, float]:
    return {"fp16": dense, "bf16": dense, "fp8": eight_bit, "int8": eight_bit}


_MEMORY_LABELS = ("nvidia.com/gpu.memory", "karpenter.k8s.aws/instance-gpu-memory")
_USUAL = (_SMI, _PEAKS, _LLM)
# Most specific names first: the first pattern that matches the normalised name wins.
GPUS: tuple[GpuSpec, ...] = (
    GpuSpec("GB200", r"gb200", 189_471, 8000, _ada(2500, 5000), "10.0", 1800, (_SMI, _SHEET, _UNCONFIRMED)),
    GpuSpec("B300", r"b300", 275_040, 8000, _ada(2250, 4500), "10.3", 1800, (_SMI, _SHEET, _UNCONFIRMED)),
    GpuSpec("B200", r"b200", 183_359, 7672, _ada(2250, 4500), "10.0", 1800, (_SMI, _PEAKS, _B200)),
    GpuSpec("GH200", r"gh200", 97_871, 4000, _ada(989, 1979), "9.0", 900, (_SMI, _SHEET, _UNCONFIRMED)),
    GpuSpec("H200-NVL", r"h200 nvl", 143_771, 4800, _ada(835, 1671), "9.0", 900, (_SMI, _SHEET, _UNCONFIRMED)),
    GpuSpec("H200", r"h200", 143_771, 4800, _ada(989, 1979), "9.0", 900, (_SMI, _PEAKS, _SHEET)),
    GpuSpec("H100-NVL", r"h100 nvl", 95_830, 3900, _ada(835, 1671), "9.0", 600, (_SMI, _PEAKS, _SHEET)),
    GpuSpec("H100-PCIe", r"h100 (80gb )?pcie", 81_559, 2000, _ada(756, 1513), "9.0", 600, _USUAL),
    GpuSpec("H100-80GB", r"h100", 81_559, 3350, _ada(989, 1979), "9.0", 900, _USUAL),
    GpuSpec("A100-80GB-PCIe", r"a100 (80gb pcie|pcie 80gb)", 81_920, 1935, _ampere(312, 624), "8.0", 600, _USUAL),
    GpuSpec("A100-40GB-PCIe", r"a100 (40gb pcie|pcie 40gb)", 40_960, 1555, _ampere(312, 624), "8.0", 600, _USUAL),
    GpuSpec("A100-40GB", r"a100( sxm4?)?( 40gb)", 40_960, 1555, _ampere(312, 624), "8.0", 600, _USUAL),
    GpuSpec("A100-80GB", r"a100", 81_920, 2039, _ampere(312, 624), "8.0", 600, _USUAL),
    GpuSpec("A10G", r"a10g", 23_028, 600, _ampere(70, 140), "8.6", None, (_SMI, _LLM)),
    GpuSpec("A10", r"a10", 23_028, 600, _ampere(125, 250), "8.6", None, _USUAL),
    GpuSpec("A30", r"a30", 24_576, 933, _ampere(165, 330), "8.0", 200, (_SHEET,)),
    GpuSpec("A40", r"a40", 46_068, 696, _ampere(149.7, 299.3), "8.6", 112.5, (_SHEET,)),
    GpuSpec("RTX-A6000", r"(rtx )?a6000", 49_140, 768, _ampere(154.8, 309.7), "8.6", 112.5, (_SMI, _LLM)),
    GpuSpec("L40S", r"l40s", 46_068, 864, _ada(362, 733), "8.9", None, (_SMI, _PEAKS, _SHEET)),
    GpuSpec("L40", r"l40", 46_068, 864, _ada(181, 362), "8.9", None, (_SMI, _SHEET)),
    GpuSpec("L4", r"l4", 23_034, 300, _ada(121, 242), "8.9", None, (_SMI, _SHEET)),
    GpuSpec(
        "RTX-PRO-6000",
        r"rtx pro 6000",
        97_887,
        1792,
        _ada(500, 1000),
        "12.0",
        None,
        (_SMI, _SHEET, _UNCONFIRMED),
    ),
    GpuSpec("RTX-6000-Ada", r"rtx 6000 ada", 49_140, 960, _ada(364, 728), "8.9", None, (_SMI, _SHEET, _UNCONFIRMED)),
    GpuSpec("RTX-5090", r"rtx 5090", 32_607, 1792, _ada(209.5, 419), "12.0", None, (_SMI, _SHEET), datacenter=False),
    GpuSpec("RTX-4090", r"rtx 4090", 24_564, 1008, _ada(165, 330), "8.9", None, (_SMI, _SHEET), datacenter=False),
    GpuSpec("RTX-3090", r"rtx 3090", 24_576, 936, _ampere(71, 284), "8.6", 112.5, (_SMI, _SHEET), datacenter=False),
    GpuSpec("V100-32GB", r"v100s?( sxm\d| pcie)?( 32gb)", 32_768, 900, {"fp16": 125}, "7.0", 300, (_PEAKS, _LLM)),
    GpuSpec("V100-16GB", r"v100", 16_384, 900, {"fp16": 125}, "7.0", 300, (_PEAKS, _LLM)),
    GpuSpec("T4", r"t4", 15_360, 320, {"fp16": 65, "int8": 130}, "7.5", None, (_SMI, _PEAKS, _SHEET)),
    GpuSpec(
        "MI300X",
        r"(instinct )?mi300x",
        196_592,
        5300,
        _ada(1307, 2614),
        "gfx942",
        896,
        ("AMD data sheet", "memory: rocm-smi, github.com/ROCm/legacy-rocm-build/issues/4750"),
        vendor="amd",
    ),
)


def normalise_product(product: str) -> str:
    """A product name as NVML, a node label or a person writes it, made comparable.

    >>> normalise_product("NVIDIA-H100-80GB-HBM3-SHARED")
    'h100 80gb hbm3'
    """
    words = re.sub(r"[^a-z0-9.]+", " ", product.lower()).split()
    return " ".join(word for word in words if word not in ("nvidia", "tesla", "geforce", "amd", "shared"))


def find_gpu(product: str | None, memory_bytes: int | None = None) -> GpuSpec | None:
    """The product of a name, or None: also for MIG slices and vGPUs, which must not inherit a whole GPU's figures.

    `memory_bytes` (NVML's total) tells variants of one name apart, where the name alone does not (``NVIDIA A100``).
    """
    if not product:
        return None
    name = normalise_product(product)
    if re.search(r"\bmig\b|\bgrid\b|\bvgpu\b", name):
        return None
    found = next((spec for spec in GPUS if re.match(rf"{spec.pattern}(?![a-z0-9])", name)), None)
    if found is None or memory_bytes is None or _same_memory(found, memory_bytes):
        return found
    family = normalise_product(found.key).split()[0]
    rivals = sorted((s for s in GPUS if normalise_product(s.key).split()[0] == family), key=lambda s: len(s.key))
    return next((spec for spec in rivals if _same_memory(spec, memory_bytes)), None)


def node_gpu(product: str | None, labels: Mapping[str, str]) -> GpuSpec | None:
    """The GPU of a node, by the product a label names and the memory (MiB) another states; None when neither knows it.

    Google's ``nvidia-tesla-a100`` is the 40 GB board; the 80 GB one has a name of its own.
    """
    told = (whole_number(labels.get(name, "")) for name in _MEMORY_LABELS)
    stated = next((number for number in told if number is not None), None)
    memory_bytes = None if stated is None else stated * MIB
    if product == "nvidia-tesla-a100" and memory_bytes is None:
        product = "A100-40GB"
    return find_gpu(product, memory_bytes)


def _same_memory(spec: GpuSpec, memory_bytes: int) -> bool:
    # Older drivers show up to 2 % less, for they counted their own reserve out.
    return abs(memory_bytes - spec.memory_bytes) <= 0.03 * spec.memory_bytes


def named_gpu(name: str) -> GpuSpec:
    """The GPU a person asks for: a product (``H100-80GB``, ``NVIDIA L4``) or a size (``48GB``).

    A bare size is counted in units of 10⁹ bytes, the least a card of that name holds. UsageError lists what is known.
    """
    size = re.fullmatch(r"(\d{1,4})\s*g(i?)b?", name.strip().lower())
    if size:
        number = int(size[1])
        mebibytes = number * 1024 if size[2] else number * 10**9 // MIB
        if number < 1:
            raise UsageError(f"{name!r} is no size of a GPU")
        note = f"a GPU of {name} is taken as {mebibytes:,} MiB; its bandwidth and arithmetic are not known"
        return GpuSpec(name, "", mebibytes, 0.0, {}, "", None, ("the size asked for",), notes=(note,))
    found = find_gpu(name)
    if found is None:
        known = ", ".join(spec.key for spec in GPUS)
        raise UsageError(f"{name!r} is not a GPU of the table; known are {known}, or a size such as 48GB")
    return found
