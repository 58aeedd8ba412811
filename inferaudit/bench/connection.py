"""One HTTP/1.1 connection: opened without blocking (TCP, proxy tunnel, TLS), then reused for request after request."""

from __future__ import annotations

import errno
import socket
import ssl
import time
from array import array
from collections.abc import Callable
from typing import Any

import httptools

from inferaudit.bench.clock import enable_kernel_stamps
from inferaudit.bench.endpoint import Endpoint, connect_head
from inferaudit.bench.raw import Raw

CONNECTING, TUNNEL, HANDSHAKE, IDLE, BUSY, CLOSED = range(6)
READ, WRITE = 1, 4  # EPOLLIN and EPOLLOUT, POLLIN and POLLOUT
_MAX_TUNNEL_ANSWER = 65536


class ConnectError(Exception):
    """A connection that did not come to be; `kind` is the error class."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(detail or kind)
        self.kind = kind


class _Callbacks:
    """What httptools calls: a complete message says if another may follow."""

    __slots__ = ("on_message_complete",)

    def __init__(self) -> None:
        self.on_message_complete: Callable[[], None] = _nothing


def _nothing() -> None:
    return


def _parser(done: list[bool]) -> Any:
    callbacks = _Callbacks()

    def complete() -> None:
        done.append(keep())  # the parser knows only now: it forgets the headers next

    callbacks.on_message_complete = complete
    parser = httptools.HttpResponseParser(callbacks)
    keep = parser.should_keep_alive
    return parser


class Connection:
    """A connection and the request on it. Stamps are CLOCK_REALTIME nanoseconds.

    `buffer` is the answer as it came, `ends` how much of it there was after the read of which `stamps`, `fed` how much
    of it the parser has seen. `chunked`: the head is whole and the body comes in chunks, so that only a read which
    ends like one (`limits.may_end`) need be parsed. `ended` is when the server closed it without an answer, while we
    wait to learn why. `token` is the ring's name for it while a ring receives what arrives on it, else 0.
    """

    __slots__ = (
        "buffer", "chunked", "connect_ns", "done", "ended", "endpoint", "ends", "fd", "fed", "feed", "first",
        "incoming", "index", "layered", "opened", "out", "outgoing", "read_into", "requests", "scheduled", "send",
        "sent", "sock", "stamps", "state", "tls", "token",
    )  # fmt: skip

    def __init__(self, endpoint: Endpoint, address: int = 0) -> None:
        place = endpoint.addresses[address]
        self.endpoint = endpoint
        self.sock = socket.socket(place.family, socket.SOCK_STREAM)
        self.sock.setblocking(False)
        if place.family != getattr(socket, "AF_UNIX", None):
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        enable_kernel_stamps(self.sock)
        self.fd = self.sock.fileno()
        self.read_into: Any = getattr(self.sock, "recvmsg_into", None)
        self.done: list[bool] = []  # for each complete message: may another follow?
        self.feed: Callable[[bytes], None] = _parser(self.done).feed_data
        self.send: Callable[[bytes], int] = self.sock.send
        self.buffer = bytearray()
        self.stamps = array("q")
        self.ends = array("q")
        self.fed = 0
        self.chunked = False
        self.out: memoryview | None = None
        self.layered = endpoint.tls is not None  # are bytes changed on their way?
        self.tls: ssl.SSLObject | None = None
        self.incoming = self.outgoing = None  # type: ssl.MemoryBIO | None
        self.token = 0
        self.requests = 0
        self.index = -1
        self.scheduled = self.sent = self.first = 0
        self.connect_ns: int | None = None
        self.ended = 0
        self.state = CONNECTING
        self.opened = time.monotonic_ns()
        try:
            self.sock.connect(place.sockaddr)
        except BlockingIOError:
            pass
        except OSError as error:
            self.close()
            raise ConnectError(_kind(error), str(error)) from None

    def advance(self) -> int:
        """Take the next step of opening; the events to wait for, 0 when the connection is ready."""
        try:
            if self.state == CONNECTING:
                code = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code:
                    raise OSError(code, "connect")
                try:
                    self.sock.getpeername()
                except OSError:
                    return WRITE
                if self.endpoint.tunnelled:
                    self.sock.send(connect_head(self.endpoint))
                    self.state = TUNNEL
                    return READ
                return self._start_tls()
            if self.state == TUNNEL:
                return self._tunnel()
            if self.state == HANDSHAKE:
                return self._handshake(self.sock.recv(65536))
        except BlockingIOError:
            return READ
        except ssl.SSLError as error:
            raise ConnectError("tls", getattr(error, "verify_message", "") or error.reason or "") from None
        except OSError as error:
            raise ConnectError("tls" if self.state == HANDSHAKE else _kind(error), str(error)) from None
        return 0

    def write_tls(self, data: bytes) -> bool:
        """Hand a request to TLS and on to the kernel; False when it did not take all at once (the rest is in `out`)."""
        assert self.tls is not None  # noqa: S101  # asked by the caller
        assert self.outgoing is not None  # noqa: S101
        self.tls.write(data)
        cipher = self.outgoing.read()
        try:
            taken = self.sock.send(cipher)
        except BlockingIOError:
            taken = 0
        if taken == len(cipher):
            return True
        self.out = memoryview(cipher)[taken:]
        return False

    def flush(self) -> bool:
        """Go on with what `write` left; True when all is out."""
        if self.out is not None:
            try:
                self.out = self.out[self.sock.send(self.out) :]
            except OSError:  # full, or reset: then an answer may have come before, and the read will tell
                return False
            if not len(self.out):
                self.out = None
        return self.out is None

    def decrypt(self, data: bytes) -> bytes:
        """The plain text in what was read."""
        assert self.tls is not None  # noqa: S101  # set together with both ends
        assert self.incoming is not None  # noqa: S101
        assert self.outgoing is not None  # noqa: S101
        self.incoming.write(data)
        parts = []
        try:
            while part := self.tls.read(262144):
                parts.append(part)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            pass  # a clean end; the end of the connection follows
        if self.outgoing.pending:  # an answer to a key update
            self.sock.send(self.outgoing.read())
        return b"".join(parts)

    def stays_open(self) -> bool:
        """What an idle connection has to read is its end; over TLS also what a handshake leaves (RFC 8446, 4.6.1)."""
        if self.tls is None:
            return False
        try:
            data = self.sock.recv(65536)
            return bool(data) and not self.decrypt(data)
        except BlockingIOError:
            return True
        except OSError:
            return False

    def digest(self) -> None:
        """Let the parser see what it has not seen yet; raises httptools' errors."""
        fed, self.fed = self.fed, len(self.buffer)
        self.feed(bytes(self.buffer[fed:]) if fed else bytes(self.buffer))

    def clear(self) -> None:
        """Forget the last answer; what was handed out stays with whom it was given to."""
        self.done.clear()
        self.buffer = bytearray()
        self.stamps = array("q")
        self.ends = array("q")
        self.fed = 0
        self.chunked = False
        self.out = None

    def raw(self, end: int, error: str | None) -> tuple[Raw, int]:
        """What is kept of the request, and about what it weighs."""
        reads = len(self.stamps)
        stamps, ends = (self.stamps, self.ends) if reads > 1 else (None, None)
        connect = self.connect_ns if self.requests == 1 else None
        answer = bytes(self.buffer)
        kept = (self.index, self.scheduled, self.sent, self.first, end, error, answer, stamps, ends, connect)
        return kept, len(answer) + (16 * reads + 700 if reads > 1 else 400)

    def close(self) -> None:
        """Close at once; safe to call twice."""
        self.state = CLOSED
        self.sock.close()

    def _start_tls(self) -> int:
        if self.endpoint.tls is None:
            return self._ready()
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = self.endpoint.tls.wrap_bio(self.incoming, self.outgoing, server_hostname=self.endpoint.host)
        self.state = HANDSHAKE
        return self._handshake(None)

    def _handshake(self, data: bytes | None) -> int:
        assert self.tls is not None  # noqa: S101  # set together with both ends
        assert self.incoming is not None  # noqa: S101
        assert self.outgoing is not None  # noqa: S101
        if data == b"":
            raise ConnectError("tls", "closed in the handshake")
        if data:
            self.incoming.write(data)
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        else:
            self._ready()
        if self.outgoing.pending:
            self.sock.send(self.outgoing.read())
        return 0 if self.state == IDLE else READ

    def _tunnel(self) -> int:
        data = self.sock.recv(65536)
        self.buffer += data
        answer = bytes(self.buffer)
        if not data or len(answer) > _MAX_TUNNEL_ANSWER:
            raise ConnectError("refused", "the proxy closed the tunnel")
        if b"\r\n\r\n" not in answer:
            return READ
        if answer[9:12] != b"200":
            raise ConnectError("refused", f"the proxy answered {answer[9:12].decode('latin-1')}")
        self.buffer.clear()
        return self._start_tls()

    def _ready(self) -> int:
        self.state = IDLE
        self.connect_ns = time.monotonic_ns() - self.opened
        return 0


def _kind(error: OSError) -> str:
    if error.errno in (errno.ECONNRESET, errno.EPIPE):
        return "reset_before_send"
    if error.errno in (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH):
        return "connect_timeout"
    return "refused"
