from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.log_lines import gpu_out_of_memory, lines_of
from inferaudit.pod_state import ended


@check(
    title="No GPU ran out of memory",
    severity=Severity.HIGH,
    needs=("workload.containers", "workload.pods"),
    optional=("workload.logs",),
    remediation=(
        "Quantise, shorten the context, make the batch smaller, give the pod more GPUs, or stop sharing the GPU: "
        "by the cause shown."
    ),
    references=("https://docs.vllm.ai/en/latest/configuration/conserving_memory/",),
)
def gpu_oom(snapshot: Snapshot) -> Iterator[Judgement]:
    """GPU memory ends in the middle of a request: the request fails, and often the engine with it, without a restart.

    The log tells it, and sometimes which of the causes it was: the model, missing quantisation, the batch, a shared
    GPU, fragmentation, or the growth of the cache. Whether logs are in view at all is a check of its own.
    """
    ends = ended(snapshot.fact("workload.pods"))
    logs = snapshot.fact_or("workload.logs", [])
    for container in snapshot.fact("workload.containers"):
        if not container["serving"]:
            continue
        lines = lines_of(logs, container["name"])
        # A container may leave its last words in its status, where no right to read logs is needed.
        words = [line for e in ends if e.container == container["name"] for line in e.message.splitlines()]
        found = gpu_out_of_memory([*lines, *words])
        seen = Evidence("log", f"{len(lines)} lines", "no exhausted GPU memory")
        if found:
            why = found.cause or "which of the causes it was, the log does not prove"
            yield failed(
                container["subject"], f"a GPU ran out of memory: {why}", Evidence("log", found.line, "no such line")
            )
        elif lines or words:
            if not lines:
                snapshot.require_read("workload.logs")  # last words alone prove no quiet day
            yield passed(
                container["subject"], f"no sign of exhausted GPU memory in {len(lines) or len(words)} lines", seen
            )
        else:
            yield not_applicable(container["subject"], "no line of its log is in view", seen)
