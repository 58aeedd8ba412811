"""What the last lines of a server's log say: the decisive one, and whether the GPU ran out of memory, and why. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_GPU_OOM = re.compile(
    r"CUDA out of memory|torch\.(?:cuda\.)?OutOfMemoryError|CUDA error: out of memory|CUDA_ERROR_OUT_OF_MEMORY"
    r"|cudaErrorMemoryAllocation|HIP out of memory|No available memory for the cache blocks"
    r"|cudaMalloc failed: out of memory|failed to allocate .{0,40}CUDA|out of memory.{0,40}\bCUDA"
    r"|Not enough memory\. Please try to increase --mem-fraction"
    r"|KV cache is needed, which is larger than the available KV cache memory|unable to allocate CUDA\d buffer",
    re.IGNORECASE,
)
_ERROR = re.compile(
    r"\b(?:\w*error|\w*exception|fatal|panic|critical|traceback|failed|cannot|could not|denied|no such file|not found"
    r"|killed|unrecognized arguments|segmentation fault)\b",
    re.IGNORECASE,
)
_NOISE = re.compile(r"^\s*(?:File \"|at |\^+|Traceback)|\b(?:0 errors|error_rate|errors=0)\b")


class OutOfMemory(NamedTuple):
    """A GPU that ran out of memory: the line that says so, and which cause the log proves ("" when it proves none)."""

    line: str
    cause: str


def decisive_line(lines: Sequence[str]) -> str | None:
    """The line that tells why a server ended: the last that speaks of an error, else the last that is not empty."""
    texts = [line.strip() for line in lines if line.strip()]
    telling = [line for line in texts if _ERROR.search(line) and not _NOISE.search(line)]
    chosen = telling[-1] if telling else texts[-1] if texts else None
    return chosen[:400] if chosen else None


def gpu_out_of_memory(lines: Sequence[str]) -> OutOfMemory | None:
    """The last sign of exhausted GPU memory, with the cause that the log itself proves; None when there is no sign."""
    hits = [at for at, line in enumerate(lines) if _GPU_OOM.search(line)]
    if not hits:
        return None
    near = " ".join(lines[max(hits[-1] - 30, 0) : hits[-1] + 6])
    return OutOfMemory(lines[hits[-1]].strip()[:400], _cause(near))


def _cause(text: str) -> str:
    reserved = re.search(r"([\d.]+) (MiB|GiB) is reserved by PyTorch but unallocated", text)
    tried = re.search(r"Tried to allocate ([\d.]+) (MiB|GiB)", text)
    holders = re.findall(r"(?:Process \d+|this process) has [\d.]+ [MG]iB memory in use", text)
    if len(set(holders)) > 1:
        return "another process holds memory of the same GPU"
    if re.search(r"No available memory for the cache blocks|larger than the available KV cache memory", text):
        return "weights and context leave no room for the KV cache"
    if reserved and tried and _mib(reserved) > _mib(tried):
        return "fragmentation: more is reserved and unused than was asked for"
    if re.search(r"load_model|loading (?:model )?weights|load_weights|Loading safetensors", text, re.I):
        return "the model does not fit: memory ran out while the weights were loaded"
    if re.search(
        r"dummy_run|profile_run|sampler with \d+ dummy requests|capture_model|cuda graph", text, re.IGNORECASE
    ):
        return "the batch is too large: memory ran out in the warm-up for the largest batch"
    return ""


def _mib(match: re.Match[str]) -> float:
    return float(match[1]) * (1024 if match[2] == "GiB" else 1)


def lines_of(samples: Iterable[object], container: str) -> list[str]:
    """The lines of a container in ``workload.logs``, those of the run before the last restart first."""
    mine = [s for s in samples if getattr(s, "container", None) == container]
    mine.sort(key=lambda s: not getattr(s, "previous", False))
    return [line for sample in mine for line in getattr(sample, "lines", ())]
