"""What a client that reads late leaves of the gaps between tokens: how many can have been above a limit. Pure.

Tokens that waited in the socket together are read together, and all have the stamp of what arrived last. Nothing is
said then of when each of them came, but that it was after the stamp of the read before (a socket hands over in order)
and not after their own. So a stream is a row of intervals between stamps, the first from the request on, and each holds
the arrival of one token at least; a gap, being from one token to the next, lies in two neighbours at most. How late the
client was does not matter, nor do kernels that merge segments or segments that end in the middle of an event.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from inferaudit.latency import CountTable, Decision, decide, table_percentile_bounds

_HALF_US = 0.5  # by which a gap in a table may have been rounded


def most_above(gaps: CountTable, firsts: Sequence[int], limit: float) -> int:
    """The most gaps that can have been above `limit` (µs), of those seen as `gaps` (µs) after first tokens at `firsts`.

    A gap above it takes more than half of it from one of its two intervals, and gaps do not overlap.
    """
    half = limit / 2
    pieces = [((value + _HALF_US) / half, count) for value, count in gaps if value]
    pieces += [(value / half, 1) for value in firsts]
    return min(sum(max(ceil(size) - 1, 0) * count for size, count in pieces), sum(row[1] for row in gaps))


def fewest_above(gaps: CountTable, answers: int, limit: float) -> int:
    """The fewest gaps that were above `limit` (µs), of those seen as `gaps` (µs) in so many answers.

    An interval with k tokens is cut by them into k + 1 pieces of gaps: where it is longer than k + 1 limits, one was
    above. k - 1 of its gaps are seen as zeros, and whichever intervals the zeros can explain, they do. The last piece
    of an answer is no gap, and one gap may be that of two intervals.
    """
    zeros = sum(count for value, count in gaps if not value)
    above = 0
    for value, count in gaps:
        needed = ceil((value - _HALF_US) / limit) - 2
        if needed >= 0:
            explained = min(count, zeros // needed) if needed else count
            zeros -= explained * needed
            above += count - explained
    return max(ceil((above - answers) / 2), 0)


def decide_merged(gaps: CountTable, firsts: Sequence[int], p: float, limit: float) -> tuple[Decision, int, int]:
    """Is the p-th percentile of the gaps within `limit` (µs)? Decided where the fewest and the most that can have been
    above it agree. (decision, fewest, most)."""
    count = sum(row[1] for row in gaps)
    fewest, most = fewest_above(gaps, len(firsts), limit), most_above(gaps, firsts, limit)

    def decision(above: int) -> Decision:
        low, high = table_percentile_bounds([(0, count - above), (ceil(limit) + 1, above)], p)
        return decide(limit, low, high)

    best, worst = decision(fewest), decision(most)
    return (best if best == worst else "undecided"), fewest, most
