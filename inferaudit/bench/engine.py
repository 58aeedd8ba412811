"""The loop: one epoll, non-blocking sockets, one shared buffer, the kernel's arrival stamps.

Nothing is decoded here. Bytes and stamps are kept; `decode.py` reads them when the loop is idle, or when more than
`BACKLOG_BYTES` wait. All recorded times are CLOCK_REALTIME nanoseconds, as the kernel's stamps are.
"""

from __future__ import annotations

import gc
import heapq
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import monotonic_ns, time_ns

import httptools

from inferaudit.bench.clock import ANCILLARY_BYTES, STAMP, ClockReading, Timer
from inferaudit.bench.connection import BUSY, CLOSED, IDLE, READ, WRITE, ConnectError, Connection
from inferaudit.bench.endpoint import Endpoint
from inferaudit.bench.poller import Poller
from inferaudit.bench.raw import CANCELLED, Raw

BUFFER_BYTES = 262_144
BACKLOG_BYTES = 384 << 20
MAX_HEAD_BYTES = 262_144
MAX_BODY_BYTES = 256 << 20
LAG_SHIFT = 12  # the lag histogram counts in steps of 4 096 ns
LAG_BUCKETS = 65_536  # up to 268 ms; the last bucket holds the rest
WARM_AT_ONCE = 50  # more at once overflow accept queues, and the retransmissions look like latency
RETRY_NS = 20_000_000  # a stream whose connection fails waits this long, so that a dead server is not hammered
TICK_NS = 250_000_000
MAX_STEP_NS = 5_000_000
STALE_NS = 2_000_000


@dataclass(slots=True)
class Timeouts:
    """Nanoseconds. `headers`, `stall` and `total` count from sending, from the last byte, and from sending."""

    connect: int
    headers: int
    stall: int
    total: int
    stall_is_explicit: bool = False


@dataclass(slots=True)
class Work:
    """What one run of the loop does: an open loop over `arrivals` (request number, offset), or `concurrency` streams."""

    arrivals: Iterator[tuple[int, int]] | None = None
    concurrency: int = 0
    numbers: Iterator[int] | None = None
    duration_ns: int | None = None


@dataclass(slots=True)
class LoopReport:
    """What the loop says of itself. `lags` counts reads by (read time − kernel stamp) >> LAG_SHIFT."""

    started: int = 0
    ended: int = 0
    lags: list[int] = field(default_factory=list)
    stamped: int = 0
    unstamped: int = 0
    blocked_sends: int = 0
    stale: int = 0
    opened: int = 0
    waited: int = 0
    cpu_ns: int = 0
    step_ns: int = 0
    scheduled: int = 0
    completed: int = 0
    refused: int = 0


class Engine:
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
        self.endpoint = endpoint
        self.build = build
        self.timeouts = timeouts
        self.max_connections = max_connections
        self.keep_alive = keep_alive
        self.backlog: deque[Raw] = deque()
        self.backlog_bytes = 0
        self.report = LoopReport()
        self.issuing = False
        self.cancelled = False
        self._buffers = [bytearray(BUFFER_BYTES)]
        self._view = memoryview(self._buffers[0])
        self._poller = Poller()
        self._timer = Timer()
        if self._timer.works:
            self._poller.register(self._timer.fd, READ)
        self._connections: dict[int, Connection] = {}
        self._idle: deque[Connection] = deque()
        self._waiting: deque[tuple[int, int]] = deque()
        self._later: list[int] = []
        self._active = 0
        self._numbers: Iterator[int] | None = None
        self._address = 0

    @property
    def in_flight(self) -> int:
        """Requests sent or about to be sent, not yet answered."""
        return self._active

    def warm(self, count: int, stop: Callable[[], bool]) -> str | None:
        """Open `count` connections, a few at a time, before any clock starts; the error class of the first failure."""
        wanted = min(count, self.max_connections) - len(self._connections)
        deadline = monotonic_ns() + 2 * self.timeouts.connect
        error = None if self.endpoint.addresses else "dns"
        opening = 0
        while error is None and not stop() and monotonic_ns() < deadline:
            opening = sum(c.state < IDLE for c in self._connections.values())
            while wanted > 0 and opening < WARM_AT_ONCE and error is None:
                error = self._try_open(-1, 0)
                wanted -= 1
                opening += 1
            if not opening:
                break
            for fd, _ in self._poller.poll(0.05):
                connection = self._connections.get(fd)
                if connection is not None:
                    error = self._progress(connection) or error
        return error

    def run(self, work: Work, start_ns: int, on_tick: Callable[[Engine], bool], decode: Callable[[Raw], None]) -> None:
        """Run until all work is answered, timed out or, when `on_tick` says so, cancelled; `start_ns` is realtime."""
        self.report = LoopReport(lags=[0] * LAG_BUCKETS)
        self.issuing, self.cancelled = True, False
        self._numbers = work.numbers
        self._later.clear()
        gc.collect()
        gc.disable()
        reading = ClockReading.now()
        start_ns = max(start_ns, reading.realtime)
        cpu = time.thread_time_ns()
        try:
            self._loop(work, start_ns, reading, on_tick, decode)
        finally:
            gc.enable()
            self.report.cpu_ns = time.thread_time_ns() - cpu
            self.report.started, self.report.ended = start_ns, time_ns()
            self.report.step_ns = ClockReading.now().step_since(reading)

    def close(self) -> None:
        """Close every connection and descriptor."""
        for connection in list(self._connections.values()):
            self._drop(connection)
        self._timer.close()
        self._poller.close()

    def _loop(
        self,
        work: Work,
        start: int,
        reading: ClockReading,
        on_tick: Callable[[Engine], bool],
        decode: Callable[[Raw], None],
    ) -> None:
        base = reading.realtime - reading.monotonic  # loop time is monotonic, shown in realtime
        poll, backlog, report = self._poller.poll, self.backlog, self.report
        arrivals = work.arrivals
        due = next(arrivals, None) if arrivals is not None else None
        stop_at = None if work.duration_ns is None or arrivals is not None else start + work.duration_ns
        limits = self.timeouts
        sweep_every = min(50_000_000, max(2_000_000, min(limits.headers, limits.stall, limits.total) // 50))
        sweep = tick = start + sweep_every
        streams = work.concurrency
        while True:
            now = monotonic_ns() + base
            if self.issuing:
                if arrivals is not None:
                    while due is not None and start + due[1] <= now:
                        self._dispatch(due[0], start + due[1])
                        due = next(arrivals, None)
                    if due is None:
                        self.issuing = False
                elif stop_at is not None and now >= stop_at:
                    self.issuing = False
                elif now >= start:
                    while streams:
                        streams -= 1
                        self._next_stream(start)
                    while self._later and self._later[0] <= now:
                        self._next_stream(heapq.heappop(self._later))
            if not self.issuing and not self._active:
                return
            if now >= sweep:
                self._sweep(now)
                sweep = now + sweep_every
                if abs(time_ns() - monotonic_ns() - base) > MAX_STEP_NS:
                    self._cancel(now)  # the clock was set: what is in flight cannot be measured
                if now >= tick:
                    tick = now + TICK_NS
                    if on_tick(self):
                        self._cancel(now)
                    continue
            events = poll(0)
            if not events:
                if backlog:
                    self._decode_one(decode)
                    continue
                wake = sweep
                if self.issuing:
                    if due is not None:
                        wake = min(wake, start + due[1])
                    elif streams:
                        wake = min(wake, start)
                    elif self._later:
                        wake = min(wake, self._later[0])
                    if stop_at is not None:
                        wake = min(wake, stop_at)
                if self._timer.works:
                    self._timer.arm(wake - base)
                    events = poll(1.0)
                else:
                    left = wake - monotonic_ns() - base
                    events = poll((left - 2_000_000) / 1e9 if left > 2_000_000 else 0)
            elif self.backlog_bytes > BACKLOG_BYTES:
                self._decode_one(decode)
            if events:
                self._handle(events)
            report.waited = max(report.waited, len(self._waiting))

    def _handle(self, events: list[tuple[int, int]]) -> None:
        """The hot path: one read for each ready connection."""
        connections, report, unpack = self._connections, self.report, STAMP.unpack
        lags, buffers, view, timer = report.lags, self._buffers, self._view, self._timer.fd
        for fd, mask in events:
            connection = connections.get(fd)
            if connection is None:
                if fd == timer:
                    self._timer.clear()
                continue
            if connection.state != BUSY:
                self._progress(connection)
                continue
            if mask & WRITE and connection.out is not None and not self._flush(connection):
                continue
            if not mask & ~WRITE:
                continue
            try:
                size, ancillary, _, _ = connection.read_into(buffers, ANCILLARY_BYTES)
            except BlockingIOError:
                continue
            except OSError:
                self._broken(connection, time_ns(), reset=True)
                continue
            now = time_ns()
            if ancillary:
                seconds, stamp = unpack(ancillary[0][2])
                stamp += seconds * 1_000_000_000
                lag = (now - stamp) >> LAG_SHIFT
                lags[lag if 0 <= lag < LAG_BUCKETS else LAG_BUCKETS - 1] += 1
                report.stamped += 1
            else:
                stamp = now
                report.unstamped += 1
            if not size:
                self._broken(connection, stamp, reset=False)
                continue
            data = bytes(view[:size])
            if connection.tls is not None:
                try:
                    data = connection.decrypt(data)
                except OSError:
                    self._broken(connection, stamp, reset=True)
                    continue
                if not data:
                    continue
            if not connection.first:
                connection.first = stamp
            pieces = connection.pieces
            if not pieces:
                connection.head.append(data)
            connection.size += size
            try:
                connection.parser.feed_data(data)
            except httptools.HttpParserError:
                if not connection.done:
                    self._finish(connection, stamp, "malformed_http")
                    continue
                connection.requests = -1  # complete, but followed by bytes of nothing: not to be used again
            connection.marks.append((stamp, len(pieces)))
            if connection.done:
                self._complete(connection, stamp)
            elif connection.size > MAX_HEAD_BYTES and (not pieces or connection.size > MAX_BODY_BYTES):
                self._finish(connection, stamp, "malformed_http")

    def _complete(self, connection: Connection, stamp: int) -> None:
        """A response is whole: keep it and, in a closed loop, send the next request at once."""
        head = connection.head
        if head[0][9:10] == b"1" and b"".join(head).count(b"HTTP/1.1 1") >= len(connection.done):
            return  # only interim (1xx) answers so far
        if connection.out is not None:
            self._finish(connection, stamp, "early_response")
            return
        if connection.requests < 0 or len(connection.done) > 1 or not (self.keep_alive and connection.done[-1]):
            self._finish(connection, stamp, None)
            return
        self._keep(connection, stamp, None)
        connection.clear()
        self._active -= 1
        if self.issuing and self._numbers is not None:
            number = next(self._numbers, None)
            if number is not None:
                self._active += 1
                if not self._send(connection, number, stamp):
                    self._open(number, stamp)
                return
            self.issuing = False
        connection.state = IDLE
        self._idle.append(connection)
        if self._waiting:
            self._active -= 1  # it was counted when it began to wait
            self._dispatch(*self._waiting.popleft())

    def _keep(self, connection: Connection, end: int, error: str | None) -> None:
        report = self.report
        report.completed += 1
        if connection.head and connection.head[0][9:10] not in (b"2", b"1"):
            report.refused += 1
        pieces = connection.pieces
        single = len(connection.marks) == 1 and len(pieces) <= 1
        raw = (
            connection.index,
            connection.scheduled,
            connection.sent,
            connection.first,
            end,
            error,
            connection.head[0] if single else connection.head,
            None if single else pieces[:],
            None if single else connection.marks,
            connection.connect_ns if connection.requests <= 1 else None,
        )
        self.backlog.append(raw)
        self.backlog_bytes += 2 * connection.size + 600

    def _finish(self, connection: Connection, end: int, error: str | None) -> None:
        """The request is over and so is the connection."""
        if error is not None:
            self.report.refused += 1
        self._keep(connection, end, error)
        self._drop(connection)
        self._active -= 1
        if self._waiting and not self.cancelled:
            self._active -= 1
            self._dispatch(*self._waiting.popleft())
        if error is None:
            self._next_stream(end)
        else:
            self._retry_stream(end)

    def _broken(self, connection: Connection, stamp: int, *, reset: bool) -> None:
        """The other side closed or reset in the middle of a request."""
        head = b"".join(connection.head)
        if not head and self._stale(connection, stamp):
            self.report.stale += 1
            number, scheduled = connection.index, connection.scheduled
            self._drop(connection)
            self._open(number, scheduled)
        elif b"\r\n\r\n" not in head:
            before = not connection.first and connection.out is not None
            self._finish(connection, stamp, "reset_before_send" if before else "reset_before_headers")
        elif reset:
            self._finish(connection, stamp, "reset_in_body")
        elif _until_close(head):
            connection.marks.append((stamp, len(connection.pieces)))
            self._finish(connection, stamp, None)
        else:
            self._finish(connection, stamp, "truncated")

    def _stale(self, connection: Connection, stamp: int) -> bool:
        """Did the server close an idle connection while our request was on its way (RFC 9112, 9.5)?

        Only on a connection that had served before, and only within a round trip: then nobody can have read the
        request, every client library sends it again, and so do we. A server that dies at work closes later.
        """
        round_trip = connection.connect_ns or 0
        return connection.requests > 1 and stamp - connection.sent <= round_trip + STALE_NS

    def _next_stream(self, free_at: int) -> None:
        if self.issuing and self._numbers is not None:
            number = next(self._numbers, None)
            if number is None:
                self.issuing = False
            else:
                self._dispatch(number, free_at)

    def _retry_stream(self, now: int) -> None:
        if self.issuing and self._numbers is not None:
            heapq.heappush(self._later, now + RETRY_NS)

    def _dispatch(self, number: int, scheduled: int) -> None:
        """Send on an idle connection, else open one, else wait for one (its latency counts from `scheduled` all the same)."""
        self._active += 1
        self.report.scheduled += 1
        while self._idle:
            connection = self._idle.popleft()
            if connection.state == IDLE and self._send(connection, number, scheduled):
                return
        if len(self._connections) >= self.max_connections:
            self._waiting.append((number, scheduled))
        else:
            self._open(number, scheduled)

    def _send(self, connection: Connection, number: int, scheduled: int) -> bool:
        """False when a connection used before turns out to be closed: the request was not sent and may go elsewhere."""
        data = self.build(number)
        connection.begin(number, scheduled)
        connection.requests += 1
        connection.sent = time_ns()
        try:
            if not connection.write(data):
                self.report.blocked_sends += 1
                self._poller.modify(connection.fd, READ | WRITE)
        except OSError:
            if connection.requests > 1:
                self._drop(connection)
                return False
            self._finish(connection, time_ns(), "reset_before_send")
        return True

    def _flush(self, connection: Connection) -> bool:
        try:
            if connection.flush():
                self._poller.modify(connection.fd, READ)
        except OSError:
            return True  # an answer may have come before the reset: let the read tell
        return True

    def _open(self, number: int, scheduled: int) -> None:
        error = self._try_open(number, scheduled)
        if error is not None:
            self._fail(number, scheduled, error)

    def _fail(self, number: int, scheduled: int, error: str) -> None:
        now = time_ns()
        self.report.completed += 1
        self.report.refused += 1
        self.backlog.append((number, scheduled, None, 0, now, error, b"", None, None, None))
        self._active -= 1
        self._retry_stream(now)

    def _try_open(self, number: int, scheduled: int) -> str | None:
        if not self.endpoint.addresses:
            return "dns"
        try:
            connection = Connection(self.endpoint, self._address)
        except ConnectError as error:
            if error.kind != "reset_before_send" and self._address + 1 < len(self.endpoint.addresses):
                self._address += 1  # for example ::1 before 127.0.0.1
                return self._try_open(number, scheduled)
            return error.kind
        connection.index, connection.scheduled = number, scheduled
        self._connections[connection.fd] = connection
        self._poller.register(connection.fd, WRITE)
        self.report.opened += 1
        return self._progress(connection)

    def _progress(self, connection: Connection) -> str | None:
        """Opening goes on, or an idle connection was closed by the server; the error class when opening failed."""
        if connection.state == IDLE:
            self._drop(connection)
            return None
        try:
            waits = connection.advance()
        except ConnectError as error:
            number, scheduled = connection.index, connection.scheduled
            never = not self.report.completed and not any(c.requests for c in self._connections.values())
            self._drop(connection)
            if (
                never
                and error.kind in ("refused", "connect_timeout")
                and self._address + 1 < len(self.endpoint.addresses)
            ):
                self._address += 1
                return self._try_open(number, scheduled)
            if number >= 0:
                self._fail(number, scheduled, error.kind)
                return None
            return error.kind
        if connection.state != IDLE:
            self._poller.modify(connection.fd, waits)
            return None
        self._poller.modify(connection.fd, READ)
        if connection.index >= 0:
            self._send(connection, connection.index, connection.scheduled)
        else:
            self._idle.append(connection)
        return None

    def _sweep(self, now: int) -> None:
        """Time-outs, by what the request was waiting for."""
        limits = self.timeouts
        opened_before = monotonic_ns() - limits.connect
        for connection in list(self._connections.values()):
            if connection.state == BUSY:
                error = self._overdue(connection, now, limits)
                if error is not None:
                    self._finish(connection, now, error)
            elif connection.state < IDLE and connection.opened < opened_before:
                number, scheduled = connection.index, connection.scheduled
                self._drop(connection)
                if number >= 0:
                    self._fail(number, scheduled, "connect_timeout")

    def _overdue(self, connection: Connection, now: int, limits: Timeouts) -> str | None:
        age = now - connection.sent
        last = connection.marks[-1][0] if connection.marks else connection.sent
        silent = now - last
        headers = connection.first and b"\r\n\r\n" in b"".join(connection.head)
        if not headers:
            return "timeout_headers" if age > min(limits.headers, limits.total) else None
        if limits.stall_is_explicit and silent > limits.stall:
            return "timeout_stall"
        if age > limits.total:
            return "timeout_stall" if silent > limits.stall else "timeout_total"
        return None

    def _cancel(self, now: int) -> None:
        """Stop: nothing more is sent, what is in flight is given up."""
        self.issuing, self.cancelled = False, True
        for number, scheduled in self._waiting:
            self.backlog.append((number, scheduled, None, 0, now, CANCELLED, b"", None, None, None))
            self._active -= 1
        self._waiting.clear()
        for connection in list(self._connections.values()):
            if connection.state == BUSY:
                self._finish(connection, now, CANCELLED)
            elif connection.state < IDLE:
                number, scheduled = connection.index, connection.scheduled
                self._drop(connection)
                if number >= 0:
                    self._fail(number, scheduled, CANCELLED)

    def _decode_one(self, decode: Callable[[Raw], None]) -> None:
        raw = self.backlog.popleft()
        decode(raw)
        if not self.backlog:
            self.backlog_bytes = 0
        else:
            self.backlog_bytes -= 2 * len(raw[6]) + 600 if raw[7] is None else 2 * sum(map(len, raw[7])) + 600

    def _drop(self, connection: Connection) -> None:
        if connection.state != CLOSED:
            self._connections.pop(connection.fd, None)
            self._poller.unregister(connection.fd)
            connection.close()


def _until_close(head: bytes) -> bool:
    """May the end of the connection be the end of the body? Only without a length and without chunks."""
    lines = head.partition(b"\r\n\r\n")[0].lower()
    return b"\ncontent-length:" not in lines and b"chunked" not in lines
