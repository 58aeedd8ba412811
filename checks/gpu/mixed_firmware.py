from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown


@check(
    title="GPUs of one product run the same firmware",
    severity=Severity.LOW,
    needs=("nvml.gpus",),
    remediation="Bring all boards to one VBIOS version, as the vendor of the server provides it.",
)
def mixed_firmware(snapshot: Snapshot) -> Iterator[Judgement]:
    """Boards with different firmware differ in clocks and limits; a fault of one is not reproduced on the others."""
    gpus = snapshot.fact("nvml.gpus")
    for node in sorted({gpu.node for gpu in gpus}):
        here = [gpu for gpu in gpus if gpu.node == node]
        versions = {(gpu.product, gpu.vbios_version) for gpu in here if gpu.vbios_version}
        seen = Evidence("nvml.gpus.vbios_version", sorted(str(version) for _, version in versions), "one a product")
        if len(versions) > len({product for product, _ in versions}):
            yield failed(f"node/{node}", f"{len(versions)} firmware versions on {len(here)} GPUs", seen)
        elif any(gpu.vbios_version is None for gpu in here):
            yield unknown(f"node/{node}", "not every GPU tells its firmware version", seen)
        elif len(here) == 1:
            yield not_applicable(f"node/{node}", "has one GPU", seen)
        else:
            yield passed(f"node/{node}", f"one firmware version for each product on {len(here)} GPUs", seen)
