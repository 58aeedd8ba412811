"""The loop: one epoll (and where there is one, a ring), non-blocking sockets, the kernel's arrival stamps.

Nothing is decoded here. Bytes and stamps are kept in a bounded backlog, which is decoded when the loop has been idle
for a while, and after the run. All recorded times are CLOCK_REALTIME nanoseconds, as the kernel's stamps are.
"""

from __future__ import annotations

import gc
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from time import monotonic_ns, time_ns
from typing import TypeAlias

from inferaudit.bench.clock import ANCILLARY_BYTES, STAMP, ClockReading, Timer
from inferaudit.bench.connection import BUSY, IDLE, READ, WRITE, Connection
from inferaudit.bench.endpoint import Endpoint
from inferaudit.bench.exchange import Exchange
from inferaudit.bench.limits import MAX_HEAD_BYTES, Timeouts, may_end, too_large
from inferaudit.bench.pacing import Naps, Pacer
from inferaudit.bench.raw import CANCELLED, SHORT_BYTES, Raw
from inferaudit.bench.vigil import Vigil
from inferaudit.bench.work import LAG_BUCKETS, LAG_SHIFT, LoopReport, Work

Arrival: TypeAlias = tuple[Connection, int, int, int, memoryview]
"""Who received, how many bytes (0: the end; less: an error), when by the kernel (0: not told), when read, and what."""

BUFFER_BYTES = 262_144
TICK_NS = 250_000_000
MAX_STEP_NS = 5_000_000
RESET_WAIT_NS = 200_000_000
SILENT_NS = 40_000_000
QUIET_NS = 1_200_000  # this much idle time ahead, and what has arrived is decoded
SPARE_NS = 500_000  # this much until the next request of an open loop, and one answer is


class Engine(Exchange):
    """One worker's loop over one endpoint; connections outlive stages."""

    def __init__(
        self,
        endpoint: Endpoint,
        build: Callable[[int], bytes],
        timeouts: Timeouts,
        *,
        max_connections: int,
        keep_alive: bool = True,
    ) -> None:
        super().__init__(endpoint, build, timeouts, max_connections=max_connections, keep_alive=keep_alive)
        self._buffers = [bytearray(BUFFER_BYTES)]
        self._view = memoryview(self._buffers[0])
        self._timer = Timer()
        if self._timer.works:
            self.connections.poller.register(self._timer.fd, READ)

    def warm(self, count: int, stop: Callable[[], bool]) -> str | None:
        """Open `count` connections, a few at a time, before any clock starts; the error class of the first failure."""
        return self.connections.warm(count, self.timeouts.connect, stop)

    def run(self, work: Work, start_ns: int, on_tick: Callable[[Engine], bool], decode: Callable[[Raw], None]) -> None:
        """Run until all work is answered, timed out or, when `on_tick` says so, cancelled; `start_ns` is realtime."""
        self.report = LoopReport(lags=[0] * LAG_BUCKETS)
        self._decode = decode
        opened = self.connections.opened
        gc.disable()  # its pauses would be the client's lag, and there are no cycles here for it to find
        try:
            reading, cpu = ClockReading.now(100), time.thread_time_ns()
            try:
                self._loop(work, start_ns, reading, on_tick)
            finally:
                self.report.cpu_ns += time.thread_time_ns() - cpu
                self.report.started, self.report.ended = start_ns, time_ns()
                self.report.step_ns = self.report.step_ns or ClockReading.now().step_since(reading)
                self.report.issued = self.pacer.issued
                self.report.opened = self.connections.opened - opened
            self.backlog.drain(decode)
        finally:
            gc.enable()

    def close(self) -> None:
        """Close every connection and descriptor."""
        self.connections.close()
        self._timer.close()

    def _loop(self, work: Work, start: int, reading: ClockReading, on_tick: Callable[[Engine], bool]) -> None:
        base = reading.realtime - reading.monotonic  # loop time is monotonic, shown in realtime
        poll, backlog, pacer = self.connections.poller.poll, self.backlog, Pacer(work, start)
        self.pacer = pacer
        naps, vigil, reads = Naps(), Vigil(work.awake), 0
        if self.connections.ring is not None:
            self.connections.ring.remind()  # what came while connections were warmed
        sweep_every = self.timeouts.check_every
        sweep = tick = start + sweep_every
        while True:
            now = monotonic_ns() + base
            if pacer.issuing:
                for number, scheduled in pacer.take(now):
                    self._dispatch(number, scheduled)
            if not pacer.issuing and not self.in_flight:
                return
            if now >= sweep:
                sweep = now + sweep_every
                self._read_all()  # what has arrived was in time, however late we come to read it
                self._sweep(now)
                if abs(time_ns() - monotonic_ns() - base) > MAX_STEP_NS and self._clock_was_set(reading):
                    self._cancel()  # what is in flight cannot be measured
                if now >= tick:
                    tick = now + TICK_NS
                    naps.learn(reads, self.in_flight, now)
                    vigil.learn()
                    if on_tick(self):
                        self._cancel()
                continue
            events = poll(0)
            if not events:
                due = pacer.wake()
                wake = min(sweep, due - vigil.ns)
                left = wake - now
                if backlog.queue and (work.eager or left > QUIET_NS or (vigil.ns and due - now > SPARE_NS)):
                    # Look a millisecond ahead: decode only where the loop is truly idle, never between two answers.
                    # An open loop, which answers need not hurry, decodes instead of waiting awake.
                    events = [] if work.eager or vigil.ns else poll(0.001)
                    if not events:
                        backlog.decode_one(self._decode)
                        continue
                elif due - now < vigil.ns:
                    events, waited = vigil.wait(poll, min(sweep, due) - base)
                    self.report.cpu_ns -= waited
                elif self._timer.works:
                    self._timer.arm(wake - base)
                    events = poll(1.0)
                else:
                    events = poll(max(0, left - 2_000_000) / 1e9)
            elif backlog.full:
                backlog.relieve(self._decode)
            if events:
                unstamped = self.report.unstamped
                fresh = self._handle(events)
                reads += fresh
                if work.patient and self.report.unstamped == unstamped:  # late reads falsify nothing then
                    naps.take(fresh, pacer.wake() - vigil.ns - base)

    def _read_all(self) -> None:
        """Read whatever has arrived, before anything is given up for not having come."""
        connections = self.connections
        if connections.ring is not None:
            connections.ring.remind()
        self._handle(connections.poller.poll(0, len(connections.by_fd) + 3))

    def _clock_was_set(self, reading: ClockReading) -> bool:
        """Not merely read at two moments: between the one clock and the other a busy machine may run something else."""
        step = ClockReading.now().step_since(reading)
        if abs(step) <= MAX_STEP_NS:
            return False
        self.report.step_ns = step
        return True

    def _handle(self, events: list[tuple[int, int]]) -> int:
        """Take in what the ready connections have received; how many reads that were."""
        ring = self.connections.ring
        if ring is None:
            return self._take(self._polled(events))
        others = [event for event in events if event[0] != ring.fd]
        reads = self._take(ring.arrived()) if len(others) < len(events) else 0
        return reads + self._take(self._polled(others)) if others else reads

    def _polled(self, events: list[tuple[int, int]]) -> Iterator[Arrival]:
        """One read for each connection that the poller calls ready."""
        by_fd, buffers, view, timer, unpack = (
            self.connections.by_fd,
            self._buffers,
            self._view,
            self._timer.fd,
            STAMP.unpack,
        )
        for fd, mask in events:
            connection = by_fd.get(fd)
            if connection is None:
                if fd == timer:
                    self._timer.clear()
                continue
            if connection.state != BUSY:
                self._progress(connection)
                continue
            if mask & WRITE and connection.flush():
                self.connections.watch(connection, READ)
            if mask == WRITE or connection.token:
                continue
            try:
                size, ancillary, _, _ = connection.read_into(buffers, ANCILLARY_BYTES)
            except BlockingIOError:
                continue
            except OSError:
                yield connection, -1, 0, time_ns(), view[:0]
                continue
            seconds, stamp = unpack(ancillary[0][2]) if ancillary else (0, 0)
            yield connection, size, seconds * 1_000_000_000 + stamp, time_ns(), view[:size]

    def _take(self, arrivals: Iterable[Arrival]) -> int:
        """The hot path: what becomes of each read."""
        report, reads = self.report, 0
        lags, known, reuse, backlog, same = report.lags, self._known, self.reuse, self.backlog, self._same
        keep = backlog.queue.append
        answered: list[tuple[Connection, int]] = []
        for connection, size, stamp, now, data in arrivals:
            reads += 1
            if connection.state != BUSY:
                self._progress(connection)
                continue
            if stamp:
                lag = (now - stamp) >> LAG_SHIFT
                if lag < LAG_BUCKETS:
                    lags[lag if lag > 0 else 0] += 1
                else:
                    lags[-1] += 1
                    report.lag_max = max(report.lag_max, now - stamp)
            else:
                stamp = now
                report.unstamped += size > 0
            if size <= 0:
                self._broken(connection, stamp, reset=size < 0)
                continue
            if connection.chunked and not connection.layered:  # most reads of a stream: keep it, see what it was later
                buffer = connection.buffer
                buffer += data
                connection.stamps.append(stamp)
                connection.ends.append(len(buffer))
                if size < 8 or data[size - 4] == 13 or data[size - 2] == 10:  # limits.may_end, without the call
                    self._settle(connection, stamp)
                continue
            read = bytes(data)
            if connection.layered:
                try:
                    read = connection.decrypt(read)
                except ssl.SSLError:  # an alert instead of an answer: no certificate of ours, say (RFC 8446, 6.2)
                    self._finish(connection, max(stamp, connection.sent), "tls")
                    continue
                except OSError:
                    self._broken(connection, stamp, reset=True)
                    continue
                if not read:
                    continue
            if not connection.first:
                if connection.out is None and connection.requests > 1 and reuse.wanted:
                    if read != same:
                        head = known.get(len(read))
                        if head is not None and read.startswith(head):  # the whole answer at once, its framing known
                            self._same = same = read
                            backlog.bytes += len(read)
                    if read == same:
                        keep((connection.index, connection.scheduled, connection.sent, stamp, same))
                        connection.state = IDLE  # its end may be the next that was read
                        answered.append((connection, stamp))
                        continue
                connection.first = stamp
            buffer = connection.buffer
            buffer += read
            connection.stamps.append(stamp)
            connection.ends.append(len(buffer))
            if not connection.chunked or may_end(read, len(read)):
                self._settle(connection, stamp)
        backlog.bytes += SHORT_BYTES * len(answered)
        report.completed += len(answered)
        reuse.worked += len(answered)
        if answered:
            self._ask_again(answered)
        return reads

    def _ask_again(self, answered: list[tuple[Connection, int]]) -> None:
        """The next requests of a closed loop's streams, on the connections that were answered at these times."""
        numbers, ready = self.pacer.several(len(answered)), []
        for connection, stamp in answered[len(numbers) :]:
            self._go_on(connection, stamp, self.pacer.following(stamp))
        for (connection, stamp), number in zip(answered, numbers, strict=False):
            if connection.state == IDLE:
                ready.append((connection, self._prepare(connection, number, stamp)))
            else:
                self._go_on(connection, stamp, number)
        # In a row: what the kernel needs for it stays in the core's caches, and a server asleep is woken once for all.
        for connection, data in ready:
            if not self._transmit(connection, data):
                self._open(connection.index, connection.scheduled)

    def _sweep(self, now: int) -> None:
        """Give up what has waited too long, and look again at what has been silent for a while."""
        opened_before = monotonic_ns() - self.timeouts.connect
        oldest = now - self.timeouts.shortest
        silent_since = now - SILENT_NS
        for connection in list(self.connections.by_fd.values()):
            if connection.state == BUSY:
                size = len(connection.buffer)
                if connection.fed < size and (connection.stamps[-1] < silent_since or size > MAX_HEAD_BYTES):
                    self._look_again(connection, silent_since)
                    if connection.state != BUSY:
                        continue
                if connection.ended and now - connection.ended > RESET_WAIT_NS:
                    self._finish(connection, connection.ended, "reset_before_headers")
                elif connection.sent < oldest:
                    error = self.timeouts.overdue(connection, now)
                    if error is not None:
                        self._finish(connection, now, error)
            elif connection.state < IDLE and connection.opened < opened_before:
                self._give_up(connection, "connect_timeout")

    def _look_again(self, connection: Connection, silent_since: int) -> None:
        """An end that `may_end` does not know (bytes behind it, say) is found as soon as the stream falls silent."""
        if connection.stamps[-1] < silent_since or too_large(connection, self.connections.by_fd.values()):
            self._settle(connection, connection.stamps[-1])

    def _cancel(self) -> None:
        """Stop: nothing more is sent, what has arrived is read, what is in flight is given up."""
        self.pacer.issuing = False
        self._read_all()
        now = time_ns()
        for connection in list(self.connections.by_fd.values()):
            if connection.state == BUSY and connection.fed < len(connection.buffer):
                self._settle(connection, connection.stamps[-1])
        for number, scheduled in self._waiting:
            self._fail(number, scheduled, CANCELLED)
        self._waiting.clear()
        for connection in list(self.connections.by_fd.values()):
            if connection.state == BUSY:
                self._finish(connection, now, CANCELLED)
            elif connection.state < IDLE:
                self._give_up(connection, CANCELLED)

    def _give_up(self, connection: Connection, error: str) -> None:
        self.connections.drop(connection)
        if connection.index >= 0:
            self._fail(connection.index, connection.scheduled, error)
