"""Figures of single stages, as checks about behaviour under load read them from the records. Pure.

Times are integer nanoseconds, rates per second. What was not measured is None.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from inferaudit.benchmark import CANCELLED, row_values
from inferaudit.benchmark_client import client_section
from inferaudit.facts.load import LoadResult, LoadStage
from inferaudit.latency import mean_in_flight, percentile, rate_per_s, summarise, summarise_table
from inferaudit.latency_budget import Server
from inferaudit.records import ABSENT, RecordTable

REFUSALS = frozenset(("http_429", "http_503"))
"""Error classes by which a server says that it has too much to do."""

_BIN_FEW = 3  # answers below which the median of a slice of time is not worth a point


@dataclass(frozen=True)
class Drain:
    """A burst: requests due at the same moment, and how long after it the last of them was done."""

    due_ns: int
    requests: int
    drained_ns: int


def stage_rows(records: RecordTable, stage: LoadStage) -> Sequence[int]:
    """Positions of the rows of a stage, those of cancelled requests left out."""
    if stage.name not in records.stages:
        return ()
    errors = records.columns["error"]
    return [i for i in records.stage_rows(stage.name) if records.errors[errors[i]] != CANCELLED]


def answered(records: RecordTable, stage: LoadStage) -> list[int]:
    """Positions of the rows of a stage's successful requests."""
    return [i for i in stage_rows(records, stage) if not records.columns["error"][i]]


def stage_percentile(
    result: LoadResult, records: RecordTable, stage: LoadStage, metric: str, p: float
) -> tuple[int | None, int]:
    """The p-th percentile (ns) of ``e2e``, ``ttft`` or ``tpot`` in a stage, and of how many requests."""
    values = sorted(value for _, value in row_values(result, records, stage, metric))
    return percentile(values, p), len(values)


def server_of(result: LoadResult, records: RecordTable, stage: LoadStage | None) -> tuple[Server, list[int]]:
    """What the server says of a stage, and the rows of the stage's answered requests."""
    rows = answered(records, stage) if stage else []
    return Server(stage.server if stage else None, len(rows)), rows


def success_rate(records: RecordTable, stage: LoadStage, rows: Sequence[int] | None = None) -> float | None:
    """Successful requests a second, first scheduled to the last success; None when nothing succeeded.

    What failed after the last success (time-outs at the end of an overload) does not stretch the time.
    """
    return _per_second(records, stage, answered(records, stage) if rows is None else rows, None)


def token_rate(records: RecordTable, stage: LoadStage) -> float | None:
    """Output tokens a second over the same time; None unless every answer's tokens are known."""
    rows = answered(records, stage)
    tokens = [records.columns["output_tokens"][i] for i in rows]
    return None if ABSENT in tokens else _per_second(records, stage, rows, sum(tokens))


def refused_rows(result: LoadResult, records: RecordTable) -> list[int]:
    """Positions of the rows of refused requests, in every stage."""
    rows = (i for stage in result.stages for i in stage_rows(records, stage))
    return [i for i in rows if records.errors[records.columns["error"][i]] in REFUSALS]


def error_classes(records: RecordTable, rows: Iterable[int]) -> Counter[str]:
    """How many requests of these rows failed, by class."""
    names = (records.errors[records.columns["error"][i]] for i in rows)
    return Counter(name for name in names if name)


def client_limits(
    result: LoadResult, records: RecordTable, stage: LoadStage, *figures: str
) -> tuple[list[str], str | None]:
    """Why the client falsified any of `figures` (all when none is named) in a stage, and what to do about it."""
    rows = records.stage_rows(stage.name) if stage.name in records.stages else ()
    e2e = summarise(value for _, value in row_values(result, records, stage, "e2e")).in_ms()
    itl = summarise_table(records.itl_us.get(stage.name, ()) if result.stream else (), 1000).in_ms()
    section = client_section(result, records, stage, rows, {"latency_ms": e2e, "itl_ms": itl})
    reasons = dict(zip(section["falsifies"], section["reasons"], strict=True))
    told = [reason for name, reason in reasons.items() if not figures or name in figures]
    return told, section["advice"] if told else None


def burst_drains(records: RecordTable, stage: LoadStage) -> list[Drain]:
    """The bursts of a stage in order of time; refused requests are done and not waited for."""
    columns = records.columns
    last: dict[int, int] = {}
    sizes: Counter[int] = Counter()
    for i in stage_rows(records, stage):
        if records.errors[columns["error"][i]] not in REFUSALS:
            due = columns["scheduled_ns"][i]
            sizes[due] += 1
            last[due] = max(last.get(due, 0), columns["end_ns"][i])
    return [Drain(due, sizes[due], last[due] - due) for due in sorted(last)]


def streams_busy(records: RecordTable, stage: LoadStage) -> float | None:
    """Requests in flight on average from the first one due to the last one sent: what follows is only draining."""
    columns = records.columns
    rows = [i for i in stage_rows(records, stage) if columns["sent_ns"][i] != ABSENT]
    if not rows:
        return None
    start = min(columns["scheduled_ns"][i] for i in rows)
    end = max(columns["sent_ns"][i] for i in rows)
    return mean_in_flight(((columns["sent_ns"][i], columns["end_ns"][i]) for i in rows), start, end)


def drift_points(points: Sequence[tuple[int, int]], bins: int) -> list[tuple[float, float]]:
    """(hours since the first, median in ms) of `bins` equal slices of time; slices with hardly any answer are left out.

    `points` are (end, value) in ns, by end.
    """
    if not points:
        return []
    start, width = points[0][0], max(1, (points[-1][0] - points[0][0]) // bins + 1)
    slices: dict[int, list[int]] = {}
    for end, value in points:
        slices.setdefault((end - start) // width, []).append(value)
    return [
        ((number + 0.5) * width / 3.6e12, median(values) / 1e6)
        for number, values in sorted(slices.items())
        if len(values) >= _BIN_FEW
    ]


def _per_second(records: RecordTable, stage: LoadStage, ok: Sequence[int], amount: int | None) -> float | None:
    if not ok:
        return None
    start = min(records.columns["scheduled_ns"][i] for i in stage_rows(records, stage))
    end = max(records.columns["end_ns"][i] for i in ok)
    return rate_per_s(len(ok) if amount is None else amount, start, end)
