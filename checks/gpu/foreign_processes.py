import re
from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown

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
def foreign_processes(snapshot: Snapshot, *, expected: str = _EXPECTED) -> Iterator[Judgement]:
    """A process that the scheduler does not know takes memory and time from the replica beside it.

    A desktop session, a notebook or a crashed worker that still holds its memory are the usual ones. `expected` is a
    regular expression over the names of those that belong here.
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
        elif gpu.processes:
            yield passed(
                gpu.subject, f"known servers alone: {', '.join(sorted({p.name or '' for p in gpu.processes}))}", seen
            )
        else:
            yield passed(gpu.subject, "no process uses it", seen)
