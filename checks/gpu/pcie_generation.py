from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown


@check(
    title="GPUs at work use their full PCIe generation",
    severity=Severity.LOW,
    needs=("nvml.gpus",),
    remediation="Look at the slot's settings in the firmware, and reseat the board or riser.",
)
def pcie_generation(snapshot: Snapshot, *, busy_percent: int = 20) -> Iterator[Judgement]:
    """The link drops to an older generation at rest to save power, so only a busy GPU tells whether it comes back."""
    for gpu in snapshot.fact("nvml.gpus"):
        now, most, busy = gpu.pcie_gen, gpu.pcie_gen_max, gpu.utilization_gpu_percent
        seen = Evidence(f"nvml.gpus[{gpu.index}].pcie_gen", now, most)
        if now is None or most is None:
            field = "pcie_gen" if now is None else "pcie_gen_max"
            silent = not_applicable if gpu.lacks(field) else unknown
            yield silent(gpu.subject, f"PCIe generation: {gpu.why_unknown(field)}", seen, cause=gpu.silence)
        elif now >= most:
            yield passed(gpu.subject, f"runs at PCIe generation {now}", seen)
        elif busy is None:
            why = gpu.why_unknown("utilization_gpu_percent")
            yield unknown(
                gpu.subject, f"generation {now} of {most}, and whether the GPU rests is not told: {why}", seen
            )
        elif busy < busy_percent:
            yield not_applicable(gpu.subject, f"generation {now} of {most} at rest ({busy} % busy) says nothing", seen)
        else:
            yield failed(gpu.subject, f"generation {now} of {most} while {busy} % busy", seen)
