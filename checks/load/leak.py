from collections.abc import Iterator
from statistics import fmean

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.benchmark import row_values
from inferaudit.load_readings import client_limits, drift_points
from inferaudit.load_stages import SOAK, SUSTAINED, endpoint_subject
from inferaudit.stats import trend

_BINS = 80


@check(
    title="Latency does not creep up over a soak",
    severity=Severity.MEDIUM,
    needs=("load.result", "load.records"),
    remediation="Look for what grows with every request: memory without a bound, log files, connections that are never "
    "closed, a queue that never empties; watch it over the same soak.",
    references=("https://sre.google/sre-book/monitoring-distributed-systems/",),
)
def leak(snapshot: Snapshot, *, min_minutes: float = 10.0, max_percent_per_hour: float = 10.0) -> Iterator[Judgement]:
    """A leak is slow: it shows as a latency that rises a little every hour, long before anything fails.

    The slope of the median E2E over the longest of the stages soak and sustained, the first quarter left out, with its
    interval: a failure only where all of it lies above the limit, a pass only where all of it lies below.
    """
    result, records = snapshot.fact("load.result"), snapshot.fact("load.records")
    subject = endpoint_subject(result)
    stages = [stage for stage in result.stages if stage.name in (SOAK, SUSTAINED)]
    stage = max(stages, key=lambda stage: stage.end_ns - stage.start_ns, default=None)
    minutes = (stage.end_ns - stage.start_ns) / 6e10 if stage else 0.0
    if stage is None or minutes < min_minutes:
        said = f"no steady stage lasted {min_minutes:g} minutes; the load profile soak runs one of an hour"
        yield not_applicable(None, said)
        return
    points = drift_points(row_values(result, records, stage, "e2e"), _BINS)
    points = points[len(points) // 4 :]
    line = trend(points)
    path = f"load.records[{stage.name}].e2e"
    if line is None:
        yield unknown(subject, "the answers are too few or too alike to tell a trend", Evidence(path, len(points)))
        return
    level = fmean(value for _, value in points)
    low, slope, high = (100 * value / level for value in (line.low, line.slope, line.high))
    seen = Evidence(path, [round(low, 2), round(high, 2)], f"<= {max_percent_per_hour:g} %/h")
    said = f"median E2E changes by {slope:+.1f} % an hour, 95 % between {low:+.1f} and {high:+.1f}, "
    said += f"over {minutes:.0f} minutes"
    why, advice = client_limits(result, records, stage, "latency_ms")
    if why:
        yield unknown(subject, f"the client was the limit: {why[0]}; {advice}", seen)
    elif low > max_percent_per_hour:
        yield failed(subject, said, seen)
    elif high <= max_percent_per_hour:
        yield passed(subject, said, seen)
    else:
        yield unknown(subject, f"{said}: not yet decided", seen)
