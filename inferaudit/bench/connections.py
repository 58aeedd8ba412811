"""All connections of one worker: opened a few at a time before the clock starts, kept, found idle, dropped."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from time import monotonic_ns

from inferaudit.bench.connection import CLOSED, IDLE, READ, WRITE, ConnectError, Connection
from inferaudit.bench.endpoint import Endpoint
from inferaudit.bench.poller import ONCE, Poller
from inferaudit.bench.ring import Ring, ring

WARM_AT_ONCE = 50  # more at once overflow accept queues, and the retransmissions look like latency


class Connections:
    """Connections by descriptor. What fails to open is answered with its error class, never raised."""

    def __init__(self, endpoint: Endpoint, limit: int, *, kept: bool = True) -> None:
        self.endpoint = endpoint
        self.limit = limit
        self.poller = Poller()
        # Bytes that TLS or HTTP/2 changes, and connections of one request, gain nothing by it.
        self.ring: Ring[Connection] | None = ring() if kept and endpoint.tls is None and not endpoint.call else None
        if self.ring is not None:
            self.poller.register(self.ring.fd, READ | ONCE)
        self.by_fd: dict[int, Connection] = {}
        self.idle: deque[Connection] = deque()
        self.opened = 0
        self._address = 0
        self._proven = False

    @property
    def full(self) -> bool:
        """May no more be opened?"""
        return len(self.by_fd) >= self.limit

    def warm(self, count: int, timeout_ns: int, stop: Callable[[], bool]) -> str | None:
        """Open until there are `count`; the error class of the first failure."""
        self._reap()
        wanted = min(count, self.limit) - len(self.by_fd)
        deadline = monotonic_ns() + 2 * timeout_ns
        error = None if self.endpoint.addresses else "dns"
        while error is None and not stop() and monotonic_ns() < deadline:
            opening = sum(c.state < IDLE for c in self.by_fd.values())
            while wanted > 0 and opening < WARM_AT_ONCE and error is None:
                opened = self.open(-1, 0)
                error = opened if isinstance(opened, str) else None
                wanted -= 1
                opening += 1
            if not opening:
                break
            for fd, _ in self.poller.poll(0.05):
                connection = self.by_fd.get(fd)
                if connection is not None:
                    error = self.progress(connection) or error
        return error

    def open(self, number: int, scheduled: int) -> Connection | str:
        """Begin to open one for a request (-1: for none yet); the connection, or the error class."""
        if not self.endpoint.addresses:
            return "dns"
        try:
            connection = self._new()
        except ConnectError as error:
            return self.open(number, scheduled) if self._next_address(error.kind) else error.kind
        connection.index, connection.scheduled = number, scheduled
        self.by_fd[connection.fd] = connection
        self.poller.register(connection.fd, WRITE)
        self.opened += 1
        error_kind = self.progress(connection)
        return connection if error_kind is None else error_kind

    def progress(self, connection: Connection) -> str | None:
        """Take the next step of opening; the error class when it failed (and the connection is gone)."""
        if connection.state == IDLE:  # an idle one is readable only when the server closes it, unless it says otherwise
            if not connection.stays_open():
                self.drop(connection)
            return None
        try:
            waits = connection.advance()
        except ConnectError as error:
            number, scheduled = connection.index, connection.scheduled
            self.drop(connection)
            if self._next_address(error.kind):
                opened = self.open(number, scheduled)
                return opened if isinstance(opened, str) else None
            return error.kind
        if connection.state == IDLE:
            self._proven = True
            self._receive(connection)
            if connection.index < 0:
                self.idle.append(connection)
        else:
            self.poller.modify(connection.fd, waits)
        return None

    def watch(self, connection: Connection, mask: int) -> None:
        """Be told of these events (0: of a reset alone); a ring needs no telling that there is something to read."""
        if not connection.token:
            self.poller.modify(connection.fd, mask)
            return
        with contextlib.suppress(FileNotFoundError):
            self.poller.unregister(connection.fd)
        if mask != READ:
            self.poller.register(connection.fd, mask & WRITE)
        if not mask:
            connection.token = 0  # the ring has given it up: its end was read

    def drop(self, connection: Connection) -> None:
        """Close one and forget it."""
        if connection.state != CLOSED:
            self.by_fd.pop(connection.fd, None)
            if self.ring is not None and connection.token:
                self.ring.cancel(connection.token)
                with contextlib.suppress(FileNotFoundError):
                    self.poller.unregister(connection.fd)
            else:
                self.poller.unregister(connection.fd)
            connection.close()

    def close(self) -> None:
        """Close all."""
        for connection in list(self.by_fd.values()):
            self.drop(connection)
        if self.ring is not None:
            self.ring.close()
        self.poller.close()

    def _reap(self) -> None:
        """Forget the idle ones that the server has closed meanwhile: many do after five seconds."""
        for fd, _ in self.poller.poll(0):
            if fd in self.by_fd and self.by_fd[fd].state == IDLE:
                self.progress(self.by_fd[fd])
        if self.ring is not None:
            self.ring.remind()
            for connection, *_ in self.ring.arrived():
                if connection.state == IDLE:
                    self.drop(connection)

    def _receive(self, connection: Connection) -> None:
        """It is open: from now on what arrives on it is read, by the ring or when the poller tells."""
        if self.ring is not None:
            with contextlib.suppress(OSError):
                connection.token = self.ring.arm(connection.fd, connection)
                self.poller.unregister(connection.fd)
                return
        self.poller.modify(connection.fd, READ)

    def _new(self) -> Connection:
        if not self.endpoint.call:
            return Connection(self.endpoint, self._address)
        from inferaudit.bench.http2 import Http2Connection

        return Http2Connection(self.endpoint, self._address, lambda fd: self.poller.modify(fd, READ | WRITE))

    def _next_address(self, kind: str) -> bool:
        """Go on to the name's next address (127.0.0.1 after ::1), unless one has worked before."""
        if (
            self._proven
            or kind not in ("refused", "connect_timeout")
            or self._address + 1 >= len(self.endpoint.addresses)
        ):
            return False
        self._address += 1
        return True
