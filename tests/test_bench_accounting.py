"""Every request the server saw is in the result, on a busy machine too, and a run that ended early says why."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
from support import groundtruth

from inferaudit.bench.clock import ClockReading
from inferaudit.bench.runner import LoadOutcome, run_load
from inferaudit.benchmark import benchmark_section
from inferaudit.plan import LoadPlan, StagePlan


@contextmanager
def put_aside_often(for_ms: int) -> Iterator[None]:
    """What a contended machine does to a process: between any two of its steps something else runs for a while."""
    done = threading.Event()
    work = range(40_000 * for_ms)

    def hog() -> None:
        while not done.is_set():
            sum(work)  # holds the interpreter's lock throughout
            time.sleep(0.05)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=hog, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        sys.setswitchinterval(before)


def load(url: str, *stages: StagePlan, **fields: Any) -> tuple[LoadOutcome, dict[str, Any]]:
    plan = LoadPlan(url=url, api="openai-chat", model="m", profile="test", stages=stages, input_tokens="8",
                    output_tokens="8", **fields)  # fmt: skip
    outcome = run_load(plan)
    return outcome, benchmark_section(outcome.result, outcome.records, {})


def test_a_busy_machine_is_not_taken_for_a_clock_that_was_set() -> None:
    """It once was: the stage was ended, 780 of 8 000 requests were not sent, and nothing in the result said so."""

    def put_aside(frame: FrameType, event: str, called: object) -> None:
        if event == "c_return" and called is time.time_ns and frame.f_code.co_name in ("_loop", "now"):
            time.sleep(0.008)  # between the one clock and the other

    with groundtruth.start("plain", delay_us=20_000) as server:
        sys.setprofile(put_aside)
        try:
            outcome, found = load(server.url, StagePlan("sustained", concurrency=2, requests=60), stream=False)
        finally:
            sys.setprofile(None)
    assert found["requests"] == {"scheduled": 60, "sent": 60, "ok": 60, "failed": 0, "cancelled": 0}
    assert outcome.result.stages[0].client.clock_step_ns == 0
    assert outcome.result.stages[0].stopped_by == "requests"
    assert len(server.truth().complete) == 60
    assert not found["warnings"]


def test_two_readings_of_the_clocks_far_apart_are_no_step() -> None:
    earlier = ClockReading(realtime=1_000_000_000, monotonic=0, doubt=100)
    assert ClockReading(2_030_000_000, 1_000_000_000, 40_000_000).step_since(earlier) == 0
    assert ClockReading(2_100_000_000, 1_000_000_000, 40_000_000).step_since(earlier) == 59_999_900
    assert ClockReading(1_900_000_000, 1_000_000_000, 0).step_since(earlier) == -99_999_900


def test_a_run_that_ended_early_says_what_it_gave_up() -> None:
    with groundtruth.start("stream", ttft_us=50_000, itl_us=5_000, tokens=50) as server:
        outcome, found = load(
            server.url, StagePlan("sustained", rate=200.0, duration_s=20, until_decided=True), slo={"e2e_p50": 1.0},
        )  # fmt: skip
    requests = found["requests"]
    assert requests["scheduled"] == requests["ok"] + requests["failed"] + requests["cancelled"]
    assert requests["sent"] == len(server.truth().requests)
    assert outcome.result.stages[0].stopped_by == "decided"
    assert requests["scheduled"] < 4_000


@pytest.mark.parametrize("api", ["stream", "plain"])
def test_answers_that_had_arrived_are_no_time_outs(api: str) -> None:
    """The process is put aside for longer than the time-out while answers wait in its sockets: they were in time."""
    streamed = api == "stream"
    options = {"ttft_us": 30_000, "itl_us": 5_000, "tokens": 4} if streamed else {"delay_us": 45_000}
    with groundtruth.start(api, **options) as server, put_aside_often(900):
        _, found = load(
            server.url, StagePlan("sustained", concurrency=2, requests=4), stream=streamed, timeout_s=0.8,
        )  # fmt: skip
    assert found["errors"] == {}
    assert found["requests"]["ok"] == len(server.truth().complete) == 4


def test_a_server_that_never_answers_still_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        _, found = load(url, StagePlan("sustained", concurrency=2, requests=4), timeout_s=0.2)
    assert found["errors"]["timeout_headers"]["count"] == 4
    assert found["requests"] == {"scheduled": 4, "sent": 4, "ok": 0, "failed": 4, "cancelled": 0}
