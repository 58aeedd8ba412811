"""Who sends when: an open loop's due times, or a closed loop's streams. The loop asks; nothing here waits or sends."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator
from itertools import islice

from inferaudit.bench.work import Work

RETRY_NS = 20_000_000  # a stream whose request failed waits this long, so that a dead server is not hammered
_NEVER = 1 << 62
NAP_NS = 1_000_000  # a nap is at most this long: nothing that is measured may move by more
_NAP_SHARE = 16  # … and this part of the time between two reads of a stream
_SHORTEST_NAP_NS = 100_000  # a shorter one saves nothing
_NAP_BELOW = 64  # ready connections: with more, a turn of the loop pays for itself
_NAP_STREAMS = 32  # with fewer there is nothing to save


class Naps:
    """After a turn with few ready connections, let the next tokens gather.

    Waking up for one token costs several times what reading it does. The kernel has stamped it meanwhile, so that only
    tokens of one stream that follow each other within the nap are read, and counted, as having come together. How long
    a nap may be follows from how often the streams were read of late.
    """

    __slots__ = ("_ns", "_reads", "_since")

    def __init__(self) -> None:
        self._ns = self._reads = 0
        self._since: int | None = None

    def learn(self, reads: int, in_flight: int, now: int) -> None:
        """`reads` so far, at `now` (ns): asked a few times a second. The first time there is no span to learn from."""
        fresh, span = reads - self._reads, 0 if self._since is None else now - self._since
        self._reads, self._since = reads, now
        nap = min(NAP_NS, span * in_flight // (_NAP_SHARE * fresh)) if fresh > 0 else 0
        self._ns = nap if nap >= _SHORTEST_NAP_NS and in_flight >= _NAP_STREAMS else 0

    def take(self, ready: int, until: int) -> None:
        """Nap after a turn with `ready` connections, unless something is to be done before it ends (monotonic ns)."""
        if self._ns and ready < _NAP_BELOW and until - time.monotonic_ns() > 2 * self._ns:
            time.sleep(self._ns / 1e9)


class Pacer:
    """One run's pace from `start` (ns, the loop's time). `issuing` is False once nothing more will be sent."""

    def __init__(self, work: Work, start: int) -> None:
        self.issuing = work.arrivals is not None or work.concurrency > 0  # a worker may be left without a stream
        self.issued = 0
        self._start = start
        self._arrivals = work.arrivals
        self._due = None if work.arrivals is None else next(work.arrivals, None)
        self._numbers = work.numbers
        self._end = _NEVER if work.duration_ns is None or work.arrivals is not None else start + work.duration_ns
        self._gap, self._next = work.gap_ns, start
        self._free = [] if work.arrivals is not None else [start] * work.concurrency  # when each idle stream may send

    def take(self, now: int) -> Iterator[tuple[int, int]]:
        """(request number, when it was due) of all that is due."""
        if self._arrivals is not None:
            while self.issuing and self._due is not None and self._start + self._due[1] <= now:
                number, offset = self._due
                self._due = next(self._arrivals, None)
                self.issued += 1
                yield number, self._start + offset
            self.issuing = self.issuing and self._due is not None
            return
        if now >= self._end:
            self.issuing = False
        while self.issuing and self._free and self._free[0] <= now and self._next <= now:
            due = heapq.heappop(self._free)
            if self._gap:
                self._next = now + self._gap
            following = self._number()
            if following is not None:
                yield following, due

    def following(self, now: int) -> int | None:
        """The next request of a closed loop's stream that became free at `now`; None when there is none to send yet."""
        if not self.issuing or self._numbers is None:
            return None
        if self._gap:
            heapq.heappush(self._free, now)
            return None
        return self._number()

    def _number(self) -> int | None:
        if self._numbers is None:
            return None
        number = next(self._numbers, None)
        if number is None:
            self.issuing = False
        else:
            self.issued += 1
        return number

    def several(self, count: int) -> list[int]:
        """The next requests of so many of them; fewer when there are no more, or not yet."""
        if not self.issuing or self._numbers is None or self._gap:
            return []
        numbers = list(islice(self._numbers, count))
        self.issuing = len(numbers) == count
        self.issued += len(numbers)
        return numbers

    def retry(self, now: int) -> None:
        """A closed loop's stream failed: it goes on after a pause."""
        if self._numbers is not None:
            heapq.heappush(self._free, now + RETRY_NS)

    def wake(self) -> int:
        """When there is something to send, at the latest."""
        if not self.issuing:
            return _NEVER
        if self._arrivals is not None:
            return _NEVER if self._due is None else self._start + self._due[1]
        return min(self._end, max(self._free[0], self._next) if self._free else _NEVER)
