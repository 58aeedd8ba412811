import re
from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.engine_args import serving_engines

_PREALLOCATING = re.compile(r"vllm|enginecore|sglang|trtllm|tensorrt|text-generation|\btgi\b|\bnim\b", re.IGNORECASE)


@check(
    title="GPU memory has headroom",
    severity=Severity.HIGH,
    needs=("nvml.gpus",),
    optional=("endpoint.runtime", "workload.containers"),
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
    containers = () if snapshot.error("workload.containers") else snapshot.fact("workload.containers")
    configured = [engine.number("gpu_memory_fraction") for _, engine in serving_engines(containers)]
    share_of_engine = next((share for share in configured if share is not None and 0 < share <= 1), None)
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
        limit = max_used
        if engine:
            stated = (
                share_of_engine + engine_slack if share_of_engine else max(max_used, engine_fraction + engine_slack)
            )
            limit = min(0.99, stated)
        seen = Evidence(path, used, f"<= {limit:.0%} of {total}")
        said = f"{share:.1%} of {total / 2**30:.1f} GiB in use"
        if engine:
            own = f"of its {share_of_engine:.0%}" if share_of_engine else "of its own"
            said += f"; {engine} takes a share {own} at start, so its KV cache use tells the rest"
        yield (failed if share > limit else passed)(gpu.subject, said, seen)
