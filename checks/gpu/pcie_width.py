from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown


@check(
    title="GPUs have all the PCIe lanes they can use",
    severity=Severity.MEDIUM,
    needs=("nvml.gpus",),
    remediation="Reseat the board or riser, and look for a slot or switch with fewer lanes; then reboot the node.",
)
def pcie_width(snapshot: Snapshot) -> Iterator[Judgement]:
    """Lost lanes halve the speed at which weights are loaded and, without NVLink, of tensor parallelism.

    The width does not drop at rest as the generation does, so what is missing is missing.
    """
    for gpu in snapshot.fact("nvml.gpus"):
        width, most = gpu.pcie_width, gpu.pcie_width_max
        seen = Evidence(f"nvml.gpus[{gpu.index}].pcie_width", width, most)
        if width is None or most is None:
            field = "pcie_width" if width is None else "pcie_width_max"
            silent = not_applicable if gpu.lacks(field) else unknown
            yield silent(gpu.subject, f"PCIe width: {gpu.why_unknown(field)}", seen, cause=gpu.silence)
        elif width < most:
            yield failed(gpu.subject, f"runs on {width} of {most} PCIe lanes", seen)
        else:
            yield passed(gpu.subject, f"runs on all {most} PCIe lanes", seen)
