"""What one probe of the search for the knee says: a figure that nobody measured holds nothing."""

from __future__ import annotations

from typing import Any

import pytest

from inferaudit.bench.knee import judge, search
from inferaudit.case_records import records_from_groups
from inferaudit.facts.load import LoadStage
from inferaudit.records import RecordTable
from inferaudit.slo import parse_objective

STAGE = LoadStage(name="knee-1", measured=True, rate=10.0, duration_s=1.0)
STREAMED = {"tokens": 11, "ttft_ms": 50.0, "itl_ms": 20.0, "e2e_ms": 250.0}
WHOLE = {"tokens": 11, "e2e_ms": 250.0}


def table(group: dict[str, Any]) -> RecordTable:
    return records_from_groups({"stage": "knee-1", "groups": [{"count": 10, "every_ms": 100.0, **group}]})


@pytest.mark.parametrize(
    ("group", "name", "target", "reason"),
    [
        (STREAMED, "itl_p99", "30ms", ""),
        (STREAMED, "itl_p99", "10ms", "itl_p99 broken"),
        (STREAMED, "tpot_p99", "30ms", ""),
        (STREAMED, "tpot_p99", "10ms", "tpot_p99 broken"),
        (STREAMED, "ttft_p99", "60ms", ""),
        (STREAMED, "ttft_p99", "10ms", "ttft_p99 broken"),
        (WHOLE, "e2e_p99", "300ms", ""),
        (WHOLE, "e2e_p99", "200ms", "e2e_p99 broken"),
        (STREAMED, "itl_mean", "30ms", ""),
        (STREAMED, "itl_mean", "10ms", "itl_mean broken"),
        (WHOLE, "e2e_mean", "200ms", "e2e_mean broken"),
        (WHOLE, "ttft_mean", "60ms", "ttft_mean was not measured"),
        (WHOLE, "itl_p99", "30ms", "itl_p99 was not measured"),
        (WHOLE, "tpot_p99", "30ms", "tpot_p99 was not measured"),
        (WHOLE, "ttft_p99", "60ms", "ttft_p99 was not measured"),
    ],
)
def test_a_probe(group: dict[str, Any], name: str, target: str, reason: str) -> None:
    probe = judge(STAGE, table(group), 10.0, [parse_objective(name, target)])
    assert (probe.holds, probe.reason) == (not reason, reason)


@pytest.mark.parametrize(("every_ms", "holds"), [(13.0, True), (9.0, False)])
def test_a_growing_backlog_is_past_the_knee(every_ms: float, holds: bool) -> None:
    """Four places of 50 ms each carry 80/s; five seconds at 111/s are worked off in seven."""
    groups, free = [], [0.0] * 4
    for number in range(round(5000 / every_ms)):
        free.sort()
        due = number * every_ms
        free[0] = max(free[0], due) + 50
        groups.append({"count": 1, "every_ms": every_ms, "e2e_ms": free[0] - due})
    records = records_from_groups({"stage": "knee-1", "groups": groups})
    assert judge(STAGE, records, 1000 / every_ms, []).holds is holds


def test_what_is_not_measured_is_not_searched_for() -> None:
    tried: list[float] = []

    def probe(rate: float, _: int) -> tuple[LoadStage, RecordTable]:
        tried.append(rate)
        return STAGE, table(WHOLE)

    objectives = [parse_objective("ttft_p99", "60ms")]
    knee = search(probe, objectives, start=10.0, highest=None, stopped=lambda: False)
    assert (knee.rate, tried) == (None, [10.0])


def test_a_rate_without_arrivals_breaks_nothing() -> None:
    tried: list[float] = []

    def slow(rate: float, _: int) -> tuple[LoadStage, RecordTable]:
        tried.append(rate)
        return STAGE, table(STREAMED)

    objectives = [parse_objective("ttft_p99", "10ms")]
    knee = search(slow, objectives, start=10.0, highest=None, stopped=lambda: False)
    assert (knee.rate, knee.broken_at, tried) == (None, 5.0, [10.0, 5.0])  # 2.5 arrivals of the next tell nothing

    def silent(rate: float, _: int) -> tuple[LoadStage, RecordTable]:
        return STAGE, records_from_groups({"stage": "knee-1", "groups": []})

    knee = search(silent, objectives, start=0.01, highest=None, stopped=lambda: False)
    assert (knee.rate, knee.broken_at, knee.probes[0].reason) == (None, None, "no request was due in its time")
