from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown


@check(
    title="ECC is on where the GPU has it",
    severity=Severity.HIGH,
    needs=("nvml.gpus",),
    remediation="Switch ECC on with `nvidia-smi -e 1` and reset the GPU or reboot the node.",
    references=("https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceQueries.html",),
)
def ecc_mode(snapshot: Snapshot) -> Iterator[Judgement]:
    """Without ECC a flipped bit in a weight changes answers silently, for as long as the process lives.

    A pending change takes effect at the next reset: the GPU that was tested is then not the GPU that serves.
    """
    for gpu in snapshot.fact("nvml.gpus"):
        seen = Evidence(f"nvml.gpus[{gpu.index}].ecc_enabled", gpu.ecc_enabled, True)
        pending = Evidence(f"nvml.gpus[{gpu.index}].ecc_enabled_pending", gpu.ecc_enabled_pending, True)
        if gpu.ecc_enabled is None:
            silent = not_applicable if gpu.lacks("ecc_enabled") else unknown
            yield silent(gpu.subject, f"ECC mode: {gpu.why_unknown('ecc_enabled')}", seen, cause=gpu.silence)
        elif not gpu.ecc_enabled:
            yield failed(gpu.subject, "ECC is off", seen)
        elif gpu.ecc_enabled_pending is False:
            yield failed(gpu.subject, "ECC is on and will be off after the next reset", seen, pending)
        else:
            yield passed(gpu.subject, "ECC is on", seen)
