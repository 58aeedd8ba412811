from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Phase, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.gpu_load import measured_stages, sampled_gpus
from inferaudit.stats import trend


@check(
    title="GPU memory does not grow while load is steady",
    severity=Severity.HIGH,
    phase=Phase.DURING,
    needs=("load.result", "load.gpu_samples", "nvml.gpus"),
    remediation="Look for caches without a bound, fragments (`expandable_segments`) and requests that are never freed.",
)
def memory_growth(
    snapshot: Snapshot, *, min_minutes: float = 10.0, max_mib_per_hour: float = 256.0
) -> Iterator[Judgement]:
    """A leak of a megabyte a minute is invisible in a smoke test and an out-of-memory error after a week.

    The slope comes with its interval: growth counts only where all of it lies above the limit, and a pass only where
    all of it lies below. Only the longest measured stage counts, and of that not the first quarter: caches fill then.
    """
    samples = snapshot.fact("load.gpu_samples")
    stages = measured_stages(snapshot.fact("load.result").stages)
    longest = sorted(stages, key=lambda stage: stage.end_ns - stage.start_ns)[-1:]
    for each in sampled_gpus(samples, snapshot.fact("nvml.gpus"), longest):
        subject, path = each.subject, f"{each.path}.memory_used_bytes"
        if each.rows is None:
            yield unknown(subject, each.why, Evidence(path, None), cause=each.gpu.silence)
            continue
        readings = [
            (samples.t_ns[row] / 3.6e12, used / 2**20)
            for row in each.rows
            if (used := samples.memory_used_bytes[row]) is not None
        ]
        steady = readings[len(readings) // 4 :]
        minutes = (steady[-1][0] - steady[0][0]) * 60 if steady else 0.0
        if minutes < min_minutes:
            said = f"{minutes:.1f} minutes of steady load are too few: {min_minutes:g} are needed"
            yield unknown(subject, said, Evidence(path, len(steady)))
            continue
        line = trend(steady)
        if line is None:
            yield unknown(subject, "the readings are too few or too alike to tell", Evidence(path, len(steady)))
            continue
        seen = Evidence(path, [round(line.low, 1), round(line.high, 1)], f"<= {max_mib_per_hour:g} MiB/h")
        said = f"{line.slope:+.0f} MiB/h, 95 % between {line.low:+.0f} and {line.high:+.0f}, over {minutes:.0f} minutes"
        if line.low > max_mib_per_hour:
            yield failed(subject, said, seen)
        elif line.high <= max_mib_per_hour:
            yield passed(subject, said, seen)
        else:
            yield unknown(subject, f"{said}: not yet decided", seen)
