"""Gaps between tokens seen by a client that reads late: what is said of them holds however it read."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate, pairwise

from hypothesis import given
from hypothesis import strategies as st

from inferaudit.merged_reads import decide_merged, fewest_above, most_above

# Segments as they arrive: µs since the one before, and does a token's event end in it (else it is a part of one)?
SEGMENTS = st.lists(st.tuples(st.integers(0, 300), st.booleans()), min_size=1, max_size=40)
LOOKS = st.lists(st.integers(1, 500), max_size=30)  # µs between the client's looks at the socket


def _seen(arrivals: list[int], looks: list[int]) -> list[int]:
    """The stamp of each segment: that of the last one which was there when the client looked."""
    times = [*(t for t in accumulate(looks) if t < arrivals[-1]), arrivals[-1]]
    return [max(a for a in arrivals if a <= next(t for t in times if t >= arrival)) for arrival in arrivals]


@given(st.lists(st.tuples(SEGMENTS, LOOKS), min_size=1, max_size=5), st.integers(2, 400))
def test_no_reading_however_late_makes_the_bounds_wrong(streams: list[tuple[list, list]], limit: int) -> None:
    true, seen, firsts = list[int](), Counter[int](), list[int]()
    for segments, looks in streams:
        arrivals = list(accumulate(step for step, _ in segments))
        stamps = _seen(arrivals, looks)
        tokens = [place for place, (_, ends) in enumerate(segments) if ends]
        if tokens:
            firsts.append(stamps[tokens[0]])
            true += [arrivals[b] - arrivals[a] for a, b in pairwise(tokens)]
            seen.update(stamps[b] - stamps[a] for a, b in pairwise(tokens))
    table = sorted(seen.items())
    above = sum(gap > limit for gap in true)
    assert fewest_above(table, len(firsts), limit) <= above <= most_above(table, firsts, limit)


def test_what_is_far_from_the_objective_is_decided_and_what_is_near_is_not() -> None:
    gaps = [(0, 2_000), (40_000, 1_900), (60_000, 100)]  # 20 ms apart, two in a read, some more
    firsts = [200_000] * 40
    assert decide_merged(gaps, firsts, 99, 10_000_000) == ("pass", 0, 0)
    assert decide_merged(gaps, firsts, 99, 50_000)[0] == "undecided"
    assert decide_merged([(0, 100), (500_000, 3_900)], firsts, 99, 50_000)[0] == "fail"
