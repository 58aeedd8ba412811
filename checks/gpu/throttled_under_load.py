from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown


@check(
    title="GPUs keep their clocks while load is on",
    severity=Severity.HIGH,
    needs=("load.result", "load.gpu_samples", "nvml.gpus"),
    remediation="Improve cooling and power of the node, then measure again: figures of a throttled GPU do not hold.",
    references=("https://docs.nvidia.com/deploy/nvml-api/group__nvmlClocksEventReasons.html",),
)
def throttled_under_load(snapshot: Snapshot, *, max_share: float = 0.05, min_samples: int = 10) -> Iterator[Judgement]:
    """Heat and power protection lower the clocks only under sustained work, where a reading at rest shows nothing.

    The software power cap is left out: a GPU at its limit is a GPU that is used.
    """
    samples = snapshot.fact("load.gpu_samples")
    known = {gpu.uuid: gpu.subject for gpu in snapshot.fact("nvml.gpus")}
    protection = 0x8 | 0x20 | 0x40 | 0x80  # hardware slowdown, software and hardware heat, power brake
    if not known.keys() & set(samples.uuids):
        yield unknown(None, "the GPUs that were sampled are not the service's", Evidence("load.gpu_samples", None))
    for index, uuid in enumerate(samples.uuids):
        if uuid not in known:
            continue  # this host's own, beside those that serve
        told = [
            bits
            for gpu, bits in zip(samples.gpu, samples.clock_event_bits, strict=True)
            if gpu == index and bits is not None
        ]
        subject, path = known[uuid], f"load.gpu_samples[{uuid}].clock_event_bits"
        if len(told) < min_samples:
            said = f"{len(told)} readings are too few: {min_samples} are needed"
            yield unknown(subject, said, Evidence(path, len(told), f">= {min_samples}"))
            continue
        share = sum(bool(bits & protection) for bits in told) / len(told)
        seen = Evidence(path, round(share, 4), f"<= {max_share}")
        said = f"protection lowered the clocks in {share:.1%} of {len(told)} readings"
        yield (failed if share > max_share else passed)(subject, said, seen)
