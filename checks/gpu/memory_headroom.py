import re
from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown

_PREALLOCATING = re.compile(r"vllm|enginecore|sglang|trtllm|tensorrt|text-generation|\btgi\b|\bnim\b", re.IGNORECASE)


@check(
    title="GPU memory has headroom",
    severity=Severity.HIGH,
    needs=("nvml.gpus",),
    optional=("endpoint.runtime",),
    remediation="Lower batch size, context length or the engine's memory fraction, quantise, or use a larger GPU.",
)
def memory_headroom(
    snapshot: Snapshot, *, max_used: float = 0.95, engine_fraction: float = 0.92, engine_slack: float = 0.05
) -> Iterator[Judgement]:
    """A GPU that is full at rest runs out of memory at the first long prompt.

    Engines that take a fixed share of the device at start are full by design: they are read against that share, and
    what they have left is told by their KV cache use under load, not by this number.
    """
    runtime = None if snapshot.error("endpoint.runtime") else snapshot.fact("endpoint.runtime").name
    for gpu in snapshot.fact("nvml.gpus"):
        total, used = gpu.memory_total_bytes, gpu.memory_used_bytes
        path = f"nvml.gpus[{gpu.index}].memory_used_bytes"
        if not total or used is None:
            field = "memory_used_bytes" if used is None else "memory_total_bytes"
            silent = not_applicable if gpu.lacks(field) else unknown
            yield silent(gpu.subject, f"memory: {gpu.why_unknown(field)}", Evidence(path, used), cause=gpu.silence)
            continue
        share = used / (total - (gpu.memory_reserved_bytes or 0))
        names = [process.name or "" for process in gpu.processes or ()]
        engine = next((name for name in (*names, runtime or "") if name and _PREALLOCATING.search(name)), None)
        limit = max(max_used, min(0.99, engine_fraction + engine_slack)) if engine else max_used
        seen = Evidence(path, used, f"<= {limit:.0%} of {total}")
        said = f"{share:.1%} of {total / 2**30:.1f} GiB in use"
        if engine:
            said += f"; {engine} takes its share at start, so its KV cache use tells the rest"
        yield (failed if share > limit else passed)(gpu.subject, said, seen)
