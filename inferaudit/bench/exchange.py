"""What becomes of one request: sent on a connection that is free or opened for it, answered, broken, or sent again.

The loop (`engine`) reads and keeps time; here is what follows from what it read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import time_ns

import httptools

from inferaudit.bench.backlog import Backlog
from inferaudit.bench.connection import BUSY, CLOSED, IDLE, READ, WRITE, Connection
from inferaudit.bench.connections import Connections
from inferaudit.bench.endpoint import Endpoint
from inferaudit.bench.framing import learn
from inferaudit.bench.limits import Reuse, Timeouts, closed_as, is_chunked, is_stale, too_large
from inferaudit.bench.pacing import Pacer
from inferaudit.bench.work import LoopReport, Work


class Exchange:
    """The requests of one worker and the connections they are on."""

    def __init__(
        self,
        endpoint: Endpoint,
        build: Callable[[int], bytes],
        timeouts: Timeouts,
        *,
        max_connections: int,
        keep_alive: bool = True,
    ) -> None:
        self.build = build
        self.timeouts = timeouts
        self.reuse = Reuse(keep_alive)
        self.backlog = Backlog()
        self.report = LoopReport()
        self.pacer = Pacer(Work(), 0)
        self.in_flight = 0  # requests sent or about to be sent, not yet answered
        self.connections = Connections(endpoint, max_connections, kept=keep_alive)
        self._waiting: deque[tuple[int, int]] = deque()
        self._known: dict[int, bytes] = {}  # heads of whole answers by the answer's size
        self._same = b""  # the last of them: services under test often say the same thing

    def _settle(self, connection: Connection, stamp: int) -> None:
        """Parse what has not been parsed: is the response whole?"""
        done = connection.done
        before = len(done)
        try:
            connection.digest()
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not done or connection.buffer[9:12] == b"101":  # nobody asked for another protocol
                self._finish(connection, stamp, "malformed_http")
                return
            connection.requests = -1  # complete, but followed by bytes of nothing: not to be used again
        if len(done) > before or (done and connection.requests < 0):
            if done == [True] and len(connection.stamps) == 1 and connection.requests > 0:
                learn(self._known, bytes(connection.buffer))
            self._complete(connection, stamp)
        elif too_large(connection, self.connections.by_fd.values()):
            self._finish(connection, stamp, "malformed_http")
        elif not connection.chunked:
            connection.chunked = is_chunked(connection.buffer)

    def _complete(self, connection: Connection, stamp: int) -> None:
        """A response is whole: keep it and, in a closed loop, send the next request at once."""
        answer, done = connection.buffer, connection.done
        if answer[9:10] == b"1" and answer.count(b"HTTP/1.1 1") >= len(done):
            if too_large(connection, ()):
                self._finish(connection, stamp, "malformed_http")
            return  # only interim (1xx) answers so far
        if connection.out is not None:
            self._finish(connection, stamp, "early_response")
            return
        if connection.requests < 0 or len(done) > 1 or not (self.reuse.wanted and done[-1]):
            self._finish(connection, stamp, None)
            return
        self._keep(connection, stamp, None)
        self.reuse.worked += connection.requests > 1
        connection.clear()
        number = self.pacer.following(stamp)
        if number is None or not self._send(connection, number, stamp):
            self._go_on(connection, stamp, number)

    def _go_on(self, connection: Connection, stamp: int, number: int | None) -> None:
        """The stream's next request could not be sent on this connection, or there is none and it is free."""
        if number is not None:
            self._open(number, stamp)
            return
        self.in_flight -= 1
        if connection.state != CLOSED:
            connection.state = IDLE
            self.connections.idle.append(connection)
        self._serve_waiting()

    def _keep(self, connection: Connection, end: int, error: str | None) -> None:
        """Put what was received into the backlog."""
        self.report.completed += 1
        if error is not None or connection.buffer[9:10] not in b"21":
            self.report.failed += 1
        self.backlog.append(*connection.raw(end, error))

    def _finish(self, connection: Connection, end: int, error: str | None) -> None:
        """The request is over and so is the connection."""
        self._keep(connection, end, error)
        self.connections.drop(connection)
        self.in_flight -= 1
        self._serve_waiting()
        if error is not None:
            self.pacer.retry(end)
            return
        number = self.pacer.following(end)
        if number is not None:
            self._dispatch(number, end)

    def _broken(self, connection: Connection, stamp: int, *, reset: bool) -> None:
        """The other side closed or reset in the middle of a request."""
        if connection.fed < len(connection.buffer):
            requests, connection.requests = connection.requests, -1  # nothing follows on this connection
            self._settle(connection, connection.stamps[-1])
            if connection.state != BUSY:
                return
            connection.requests = requests
        refused = reset or connection.ended > 0
        never_kept = not self.reuse.worked  # then it is this server's way, however long a busy one takes to close
        if is_stale(connection, stamp, refused=refused or never_kept):
            self._replace(connection)
            self._open(connection.index, connection.scheduled)
            return
        if not refused and not connection.buffer and connection.requests > 1:
            connection.ended = stamp  # closed before or after it was read? A reset that follows tells
            self.connections.watch(connection, 0)
            return
        error = closed_as(connection, reset=reset)
        self._finish(connection, stamp, error)

    def _replace(self, connection: Connection) -> None:
        """A kept connection was closed under a request, which goes to a new one."""
        self.report.stale += 1
        self.reuse.was_stale()
        self.connections.drop(connection)

    def _serve_waiting(self) -> None:
        """A connection is free: the request that has waited longest gets it."""
        if self._waiting:
            self.in_flight -= 1  # it was counted when it began to wait
            self._dispatch(*self._waiting.popleft())

    def _dispatch(self, number: int, scheduled: int) -> None:
        """Send on an idle connection, else open one, else wait: latency counts from `scheduled` all the same."""
        self.in_flight += 1
        idle = self.connections.idle
        while idle:
            connection = idle.popleft()
            if connection.state == IDLE and self._send(connection, number, scheduled):
                return
        if self.connections.full:
            self._waiting.append((number, scheduled))
            self.report.waited = max(self.report.waited, len(self._waiting))
        else:
            self._open(number, scheduled)

    def _send(self, connection: Connection, number: int, scheduled: int) -> bool:
        """False when a connection used before turns out to be closed: the request was not sent and may go elsewhere."""
        return self._transmit(connection, self._prepare(connection, number, scheduled))

    def _prepare(self, connection: Connection, number: int, scheduled: int) -> bytes:
        """Make the connection busy with a request, which is to be transmitted next."""
        connection.state = BUSY
        connection.requests += 1
        connection.index = number
        connection.scheduled = scheduled
        connection.first = 0
        return self.build(number)

    def _transmit(self, connection: Connection, data: bytes) -> bool:
        """See `_send`."""
        connection.sent = time_ns()
        try:
            if not connection.layered:
                taken = connection.send(data)
                if taken == len(data):
                    return True
                connection.out = memoryview(data)[taken:]
            elif connection.write_tls(data):
                return True
        except BlockingIOError:
            connection.out = memoryview(data)
        except OSError:
            if connection.requests > 1:
                self._replace(connection)
                return False
            self._finish(connection, time_ns(), "reset_before_send")
            return True
        self.report.blocked_sends += 1
        self.connections.watch(connection, READ | WRITE)
        return True

    def _open(self, number: int, scheduled: int) -> None:
        """Open a connection for a request that is already counted as in flight."""
        opened = self.connections.open(number, scheduled)
        if isinstance(opened, str):
            self._fail(number, scheduled, opened)
        elif opened.state == IDLE:
            self._send(opened, number, scheduled)

    def _fail(self, number: int, scheduled: int, error: str) -> None:
        """A request that never got a connection."""
        now = time_ns()
        self.report.completed += 1
        self.report.failed += 1
        self.backlog.append((number, scheduled, None, 0, now, error, b"", None, None, None), 400)
        self.in_flight -= 1
        self.pacer.retry(now)

    def _progress(self, connection: Connection) -> None:
        """Opening goes on, or an idle connection was closed by the server."""
        number, scheduled, was_idle = connection.index, connection.scheduled, connection.state == IDLE
        error = self.connections.progress(connection)
        if was_idle or number < 0:
            return
        if error is not None:
            self._fail(number, scheduled, error)
        elif connection.state == IDLE:
            self._send(connection, number, scheduled)
