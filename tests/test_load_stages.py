"""Roles of stages and their readings: the names are those of the profiles, and nothing is read from nothing."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferaudit import load_stages
from inferaudit.bench.profiles import profile_stages
from inferaudit.case_records import records_from_groups
from inferaudit.facts.load import LoadResult, LoadStage
from inferaudit.load_readings import burst_drains, drift_points, streams_busy, success_rate, token_rate

SUSTAINED = LoadStage(name="sustained", measured=True, concurrency=2, scheduled=1)


def _result(*stages: LoadStage, url: str = "http://127.0.0.1:8000") -> LoadResult:
    return LoadResult(
        profile="own", url=url, api="openai-chat", model="", stream=True, seed=0, run_id="r", clock="kernel",
        stages=stages, timeout_s=30,
    )  # fmt: skip


def test_every_role_is_a_stage_of_the_full_profile() -> None:
    full = profile_stages("full")
    names = {stage.name for stage in full}
    roles = load_stages
    assert {roles.COLD, roles.SUSTAINED, roles.BURST, roles.OVERLOAD, roles.MIXED, roles.REPEAT, roles.SOAK} <= names
    assert any(name.startswith(load_stages.STEP_PREFIX) for name in names)
    assert any(stage.search and f"{stage.name}-" == load_stages.KNEE_PREFIX for stage in full)


def test_a_stage_in_which_nothing_was_due_was_not_run() -> None:
    empty = msgspec.structs.replace(SUSTAINED, scheduled=0)
    assert load_stages.steady_stage(_result(empty)) is None
    assert load_stages.steady_stage(_result(SUSTAINED)) is SUSTAINED


def test_steps_are_in_order_of_their_streams() -> None:
    steps = [LoadStage(name=f"step-{n}", measured=True, concurrency=n, scheduled=9) for n in (16, 2, 8)]
    assert [s.concurrency for s in load_stages.step_stages(_result(*steps, SUSTAINED))] == [2, 8, 16]


@pytest.mark.parametrize(
    ("url", "subject"),
    [
        ("http://chat.example:8000/v1", "endpoint/chat.example:8000"),
        ("https://chat.example", "endpoint/chat.example:443"),
        ("chat.example", "endpoint/chat.example:80"),
        ("http://[::1]:9000", "endpoint/[::1]:9000"),
    ],
)
def test_the_endpoint_is_named_with_its_port(url: str, subject: str) -> None:
    assert load_stages.endpoint_subject(_result(url=url)) == subject


def test_nothing_is_read_from_nothing() -> None:
    failed = records_from_groups({"groups": [{"count": 3, "error": "http_5xx"}]})
    assert success_rate(failed, SUSTAINED) is None
    assert token_rate(failed, SUSTAINED) is None
    other = LoadStage(name="burst", measured=True, scheduled=1)
    assert burst_drains(failed, other) == []
    assert streams_busy(failed, other) is None
    assert drift_points([], 10) == []


def test_tokens_that_one_answer_does_not_tell_are_no_rate() -> None:
    records = records_from_groups({"groups": [{"count": 3, "tokens": 5}, {"count": 1}]})
    assert token_rate(records, SUSTAINED) is None


@given(st.integers(1, 12), st.integers(20, 60), st.integers(1, 200))
def test_a_closed_loop_keeps_its_streams_busy(streams: int, rounds: int, latency_ms: int) -> None:
    group = {"count": rounds * streams, "e2e_ms": latency_ms, "every_ms": latency_ms / streams}
    busy = streams_busy(records_from_groups({"groups": [group]}), SUSTAINED)
    assert busy == pytest.approx(streams, rel=1 / rounds + 0.01)


@given(st.lists(st.tuples(st.integers(0, 10**13), st.integers(0, 10**10)), max_size=200), st.integers(1, 60))
def test_slices_of_time_lie_within_the_run_and_its_values(points: list[tuple[int, int]], bins: int) -> None:
    ordered = sorted(points)
    slices = drift_points(ordered, bins)
    assert len(slices) <= bins
    assert slices == sorted(slices)
    assert all(min(v for _, v in ordered) <= value * 1e6 * (1 + 1e-9) for _, value in slices)
    assert all(value * 1e6 <= max(v for _, v in ordered) * (1 + 1e-9) for _, value in slices)


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:8000", True),
        ("127.3.2.1:8000", True),
        ("http://localhost:8000/v1", True),
        ("https://chat.localhost", True),
        ("http://[::1]:8000", True),
        ("unix:/run/server.sock", True),
        ("grpc://127.0.0.1:9000", True),
        ("https://chat.example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("http://10.0.0.1:8000", False),
        ("http://[fe80::1]:8000", False),
        ("http://chat.llm-prod.svc:8000", False),
    ],
)
def test_loopback_is_told_by_the_address(url: str, loopback: bool) -> None:
    assert load_stages.sent_to_loopback(_result(SUSTAINED, url=url)) is loopback
