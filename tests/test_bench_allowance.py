"""Limits hold where nothing could be foreseen: in a closed loop, in an open one that queues, over several stages."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from support import groundtruth

from inferaudit.bench.pacing import Pacer
from inferaudit.bench.runner import LoadOutcome, run_load
from inferaudit.bench.work import Work
from inferaudit.plan import Limits, LoadPlan, StagePlan


def load(url: str, *stages: StagePlan, limits: Limits, **changes: Any) -> LoadOutcome:
    fields = {"input_tokens": "6", "output_tokens": "4", "limits": limits, **changes}
    return run_load(LoadPlan(url=url, api="openai-chat", model="m", profile="test", stages=stages, **fields))


@pytest.mark.parametrize("workers", [1, 2])
def test_tokens(workers: int) -> None:
    """Requests that would pass the limit are not sent, and the stages behind them are left out."""
    stages = (StagePlan("first", concurrency=1, requests=10), StagePlan("second", concurrency=8, duration_s=60))
    with groundtruth.start("stream", tokens=4) as server:
        outcome = load(server.url, *stages, StagePlan("third", rate=9.0, requests=9), limits=Limits(tokens=505),
                       workers=workers)  # fmt: skip
    assert len(outcome.records) == len(server.truth().requests) <= 50
    assert [stage.stopped_by for stage in outcome.result.stages] == ["requests", "tokens"]
    assert any("limits.tokens leaves no room" in w and w.endswith(": third") for w in outcome.result.warnings)


def test_duration() -> None:
    stages = (StagePlan("long", concurrency=2, requests=1_000_000), StagePlan("next", concurrency=2, requests=1))
    with groundtruth.start("plain", delay_us=5_000) as server:
        outcome = load(server.url, *stages, limits=Limits(duration_s=0.5), stream=False)
    assert [(stage.name, stage.stopped_by) for stage in outcome.result.stages] == [("long", "duration")]
    assert any("limits.duration was reached" in warning for warning in outcome.result.warnings)


def test_concurrency_of_an_open_loop() -> None:
    """What may not be sent yet waits, and the wait is part of its latency: nothing is dropped."""
    with groundtruth.start("plain", delay_us=50_000) as server:
        outcome = load(server.url, StagePlan("sustained", rate=200.0, arrival="constant", requests=30), stream=False,
                       limits=Limits(concurrency=3), workers=2)  # fmt: skip
    spans = [(r.arrival, r.end) for r in server.truth().requests]
    assert len(spans) == 30
    assert max(sum(a <= at < b for a, b in spans) for at, _ in spans) == 3
    assert outcome.result.stages[0].client.waited_for_connection > 0


def test_the_rate_of_a_closed_loop() -> None:
    """One request a gap, however many streams are free; a stream that is held back says since when it was free."""
    pacer = Pacer(Work(concurrency=3, numbers=count(), gap_ns=10), 100)
    assert list(pacer.take(100)) == [(0, 100)]
    assert (list(pacer.take(109)), pacer.wake()) == ([], 110)
    assert list(pacer.take(112)) == [(1, 100)]
    assert pacer.several(1) == []
    assert pacer.following(115) is None
    assert list(pacer.take(121)) == []
    assert list(pacer.take(122)) == [(2, 100)]
    assert list(pacer.take(150)) == [(3, 115)]
