"""When the loop may let tokens gather, and when it must not."""

import time

import pytest

from inferaudit.bench import pacing


@pytest.mark.parametrize(
    ("ready", "in_flight", "left_ns", "naps"),
    [
        (1, 100, 50_000_000, True),
        (64, 100, 50_000_000, False),  # a turn that pays for itself
        (1, 8, 50_000_000, False),  # too few streams to save anything
        (1, 100, 900_000, False),  # a request is due soon
        (1, 100, -1, False),  # one is late
    ],
)
def test_tokens_gather_only_where_nothing_is_due(
    monkeypatch: pytest.MonkeyPatch, ready: int, in_flight: int, left_ns: int, naps: bool
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    pacing.nap(ready, in_flight, time.monotonic_ns() + left_ns)
    assert slept == ([pacing.NAP_NS / 1e9] if naps else [])
