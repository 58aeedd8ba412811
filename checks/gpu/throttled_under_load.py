from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.gpu_load import measured_stages, sampled_gpus, told

_PROTECTION = 0x8 | 0x20 | 0x40 | 0x80  # hardware slowdown, software and hardware heat, power brake


@check(
    title="GPUs keep their clocks while load is on",
    severity=Severity.HIGH,
    needs=("load.result", "load.gpu_samples", "nvml.gpus"),
    remediation="Improve cooling and power of the node, then measure again: figures of a throttled GPU do not hold.",
    references=("https://docs.nvidia.com/deploy/nvml-api/group__nvmlClocksEventReasons.html",),
)
def throttled_under_load(snapshot: Snapshot, *, max_share: float = 0.05, min_samples: int = 10) -> Iterator[Judgement]:
    """Heat and power protection lower the clocks only under sustained work, where a reading at rest shows nothing.

    Only moments of measured stages count. The software power cap is left out: a GPU at its limit is a GPU that is used.
    """
    samples, stages = snapshot.fact("load.gpu_samples"), measured_stages(snapshot.fact("load.result").stages)
    for each in sampled_gpus(samples, snapshot.fact("nvml.gpus"), stages):
        path = f"{each.path}.clock_event_bits"
        if each.rows is None:
            yield unknown(each.subject, each.why, Evidence(path, None), cause=each.gpu.silence)
            continue
        bits = told(samples.clock_event_bits, each.rows)
        if len(bits) < min_samples:
            said = f"{len(bits)} readings in measured stages are too few: {min_samples} are needed"
            yield unknown(each.subject, said, Evidence(path, len(bits), f">= {min_samples}"))
            continue
        share = sum(bool(value & _PROTECTION) for value in bits) / len(bits)
        seen = Evidence(path, round(share, 4), f"<= {max_share}")
        said = f"protection lowered the clocks in {share:.1%} of {len(bits)} readings"
        yield (failed if share > max_share else passed)(each.subject, said, seen)
