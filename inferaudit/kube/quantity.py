"""Kubernetes quantities (``250m``, ``515Gi``, ``1e3``) as exact fractions.

The grammar is that of ``k8s.io/apimachinery/pkg/api/resource``: a signed decimal and one binary suffix, decimal suffix
or decimal exponent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any

_SUFFIXES = {
    "": Fraction(1),
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
    "E": Fraction(10**18),
    "Ki": Fraction(2**10),
    "Mi": Fraction(2**20),
    "Gi": Fraction(2**30),
    "Ti": Fraction(2**40),
    "Pi": Fraction(2**50),
    "Ei": Fraction(2**60),
}
_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:[eE]([+-]?[0-9]{1,3})|([numkMGTPE]|[KMGTPE]i)?)")

_GPU_RESOURCES = frozenset(
    {
        "nvidia.com/gpu",
        "nvidia.com/gpu.shared",
        "amd.com/gpu",
        "gpu.intel.com/xe",
        "gpu.intel.com/i915",
        "aws.amazon.com/neuron",
        "aws.amazon.com/neurondevice",
        "aws.amazon.com/neuroncore",
        "google.com/tpu",
        "habana.ai/gaudi",
        "huawei.com/Ascend910",
    }
)


def parse_quantity(value: Any) -> Fraction | None:
    """The exact value in base units (cores, bytes, pieces); None for what is no quantity."""
    if isinstance(value, bool) or value is None:
        return None
    return _parsed(str(value))


@lru_cache(maxsize=4096)  # a cluster's pods ask for the same few amounts
def _parsed(text: str) -> Fraction | None:
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        return None
    number, exponent, suffix = match.groups()
    scale = Fraction(10) ** int(exponent) if exponent else _SUFFIXES[suffix or ""]
    return Fraction(number) * scale


def whole(value: Any) -> int | None:
    """A quantity rounded up to whole units, as the scheduler counts; None for what is no quantity."""
    quantity = parse_quantity(value)
    return None if quantity is None else -((-quantity.numerator) // quantity.denominator)


def millis(value: Any) -> int | None:
    """A quantity in thousandths, rounded up: millicores of a CPU quantity."""
    quantity = parse_quantity(value)
    return None if quantity is None else -((-quantity.numerator * 1000) // quantity.denominator)


def is_gpu_resource(name: str) -> bool:
    """True for an extended resource that stands for an accelerator or a share of one (MIG)."""
    return name in _GPU_RESOURCES or name.startswith(("nvidia.com/mig-", "amd.com/gpu-", "amd.com/cpx", "amd.com/spx"))


def gpu_quantities(resources: Mapping[str, Any] | None) -> dict[str, int]:
    """GPUs by resource name in a map of quantities; zero counts and non-quantities are left out."""
    counts = {name: whole(value) for name, value in (resources or {}).items() if is_gpu_resource(name)}
    return {name: count for name, count in counts.items() if count}
