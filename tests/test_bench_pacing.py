"""When the loop may let tokens gather, for how long, and when it must not."""

import time

import pytest

from inferaudit.bench.pacing import NAP_NS, Naps

MS, S = 1_000_000, 1_000_000_000


@pytest.mark.parametrize(
    ("ready", "in_flight", "gap_ns", "left_ns", "nap_ns"),
    [
        (1, 100, 20 * MS, 50 * MS, NAP_NS),
        (1, 100, 200 * MS, 50 * MS, NAP_NS),  # never longer than that
        (1, 100, 4 * MS, 50 * MS, 250_000),  # a sixteenth of the time between two tokens
        (1, 100, MS, 50 * MS, 0),  # they follow each other closely: none
        (64, 100, 20 * MS, 50 * MS, 0),  # a turn that pays for itself
        (1, 8, 20 * MS, 50 * MS, 0),  # too few streams to save anything
        (1, 100, 20 * MS, 2 * MS - 100_000, 0),  # a request is due soon
        (1, 100, 20 * MS, -1, 0),  # one is late
    ],
)
def test_tokens_gather_only_where_nothing_is_due(
    monkeypatch: pytest.MonkeyPatch, ready: int, in_flight: int, gap_ns: int, left_ns: int, nap_ns: int
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    naps = Naps()
    naps.learn(0, in_flight, 0)
    naps.learn(in_flight * S // gap_ns, in_flight, S)
    naps.take(ready, time.monotonic_ns() + left_ns)
    assert [round(s * 1e9) for s in slept] == ([nap_ns] if nap_ns else [])


def test_no_nap_before_anything_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    naps = Naps()
    naps.take(1, time.monotonic_ns() + S)
    naps.learn(0, 100, S)  # nothing was read
    naps.take(1, time.monotonic_ns() + S)
    assert not slept


def test_the_first_reading_has_no_span_to_learn_from(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    naps = Naps()
    naps.learn(100_000, 100, time.time_ns())
    naps.take(1, time.monotonic_ns() + S)
    assert not slept
