from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown


@check(
    title="No GPU asks for a recovery",
    severity=Severity.CRITICAL,
    needs=("nvml.gpus",),
    remediation="Drain the node and do what the driver names: reset the GPU, or reboot the node.",
    references=("https://docs.nvidia.com/deploy/xid-errors/index.html",),
)
def recovery_action(snapshot: Snapshot) -> Iterator[Judgement]:
    """The driver itself says when a GPU needs a reset or the node a reboot to be sound again (XID 154)."""
    for gpu in snapshot.fact("nvml.gpus"):
        field = "recovery_action"
        action = gpu.recovery_action
        seen = Evidence(f"nvml.gpus[{gpu.index}].{field}", action, "none")
        if action is None:
            silent = not_applicable if gpu.lacks(field) else unknown
            yield silent(gpu.subject, f"recovery action: {gpu.why_unknown(field)}", seen, cause=gpu.silence)
        elif action == "none":
            yield passed(gpu.subject, "needs no recovery", seen)
        else:
            yield failed(gpu.subject, f"the driver asks for: {action.replace('_', ' ')}", seen)
