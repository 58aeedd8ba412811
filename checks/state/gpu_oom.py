from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.log_lines import gpu_out_of_memory, lines_of


@check(
    title="No GPU ran out of memory",
    severity=Severity.HIGH,
    needs=("workload.containers", "workload.logs"),
    remediation=(
        "Quantise, shorten the context, make the batch smaller, give the pod more GPUs, or stop sharing the GPU: "
        "by the cause shown."
    ),
    references=("https://docs.vllm.ai/en/latest/configuration/conserving_memory/",),
)
def gpu_oom(snapshot: Snapshot) -> Iterator[Judgement]:
    """GPU memory ends in the middle of a request: the request fails, and often the engine with it, without a restart.

    The log tells it, and sometimes which of the causes it was: the model, missing quantisation, the batch, a shared
    GPU, fragmentation, or the growth of the cache.
    """
    serving = [c for c in snapshot.fact("workload.containers") if c["serving"]]
    logs = snapshot.fact("workload.logs")
    for container in serving:
        lines = lines_of(logs, container["name"])
        found = gpu_out_of_memory(lines)
        if not lines:
            yield unknown(container["subject"], "there are no log lines of it", Evidence("log", 0, "its last lines"))
        elif found:
            why = found.cause or "which of the causes it was, the log does not prove"
            yield failed(
                container["subject"], f"a GPU ran out of memory: {why}", Evidence("log", found.line, "no such line")
            )
        else:
            seen = Evidence("log", f"{len(lines)} lines", "no exhausted GPU memory")
            yield passed(container["subject"], f"no sign of exhausted GPU memory in {len(lines)} lines", seen)
