import re
from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.facts.gpu import Gpu

_EXPECTED = (
    r"python|vllm|enginecore|sglang|tritonserver|trtllm|text-generation|llama|ollama|tensorflow_model_server|ray::|torchserve"
    r"|java|mpi|nv-hostengine|dcgm|nvidia-(smi|persistenced|cuda-mps)|gpu-feature-discovery|inferaudit"
)


@check(
    title="No foreign process uses the GPUs",
    severity=Severity.HIGH,
    needs=("nvml.gpus",),
    remediation="Find the process on the node and end it; let every user of a GPU ask for it through the scheduler.",
)
def foreign_processes(
    snapshot: Snapshot, *, expected: str = _EXPECTED, max_hidden_gib: float = 1.0
) -> Iterator[Judgement]:
    """A process that the scheduler does not know takes memory and time from the replica beside it.

    A desktop session, a notebook or a crashed worker that still holds its memory are the usual ones. `expected` is a
    regular expression over the names of those that belong here. Inside a container the driver may show none of the
    processes whose memory it counts: more than `max_hidden_gib` of such memory is unknown, not free.
    """
    for gpu in snapshot.fact("nvml.gpus"):
        path = f"nvml.gpus[{gpu.index}].processes"
        if gpu.processes is None:
            why = f"processes: {gpu.why_unknown('processes')}"
            yield unknown(gpu.subject, why, Evidence(path, None), cause=gpu.silence)
            continue
        nameless = [process.pid for process in gpu.processes if process.name is None]
        foreign = [p for p in gpu.processes if p.name and not re.search(expected, p.name, re.IGNORECASE)]
        seen = Evidence(path, [f"{p.name or '?'} ({p.kind})" for p in gpu.processes], "serving processes only")
        if foreign:
            named = ", ".join(sorted({process.name for process in foreign if process.name}))
            yield failed(gpu.subject, f"used by what does not serve: {named}", seen)
        elif nameless:
            yield unknown(gpu.subject, f"{len(nameless)} processes hide their names from this process", seen)
        elif (hidden := _hidden(gpu)) > max_hidden_gib * 2**30:
            said = f"{hidden / 2**30:.1f} GiB are held by processes that the driver does not show here"
            yield unknown(gpu.subject, said, seen, Evidence(f"nvml.gpus[{gpu.index}].memory_used_bytes", hidden))
        elif gpu.processes:
            yield passed(
                gpu.subject, f"known servers alone: {', '.join(sorted({p.name or '' for p in gpu.processes}))}", seen
            )
        else:
            yield passed(gpu.subject, "no process uses it", seen)


def _hidden(gpu: Gpu) -> int:
    """Bytes in use that no process shown accounts for; 0 where a process does not tell what it holds."""
    held = [process.used_bytes for process in gpu.processes or ()]
    if gpu.memory_used_bytes is None or None in held:
        return 0
    return gpu.memory_used_bytes - sum(each for each in held if each is not None)
