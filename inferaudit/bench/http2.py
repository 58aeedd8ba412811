"""A connection that speaks gRPC over HTTP/2, for the loop that knows HTTP/1.1.

Each answer is handed to the loop as gRPC-Web would carry it over HTTP/1.1: a head, the messages as chunks, and the
trailers as a last message whose flag says so. Stamps, time-outs, records and error classes are then those of any
other answer, and nothing is measured differently: bytes are handed on in the very read that brought them.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from inferaudit.bench.connection import HANDSHAKE, IDLE, READ, ConnectError, Connection
from inferaudit.bench.endpoint import Endpoint
from inferaudit.rpc.session import Fields, NotHttp2Error, Part, Session, block, frame

TRAILERS = 0x80  # the flag of gRPC-Web
RESET = b"x-stream-reset"
_MARK = b"\n"  # between the call's id and its message
_BROKEN = b"\0"  # nothing that HTTP/1.1 can begin with


def packed(request_id: str, message: bytes) -> bytes:
    """One request as this connection takes it."""
    return request_id.encode() + _MARK + frame(message)


class Http2Connection(Connection):
    """One call at a time. `rearm` is told when bytes wait for the socket to take more."""

    __slots__ = ("_blocks", "_headed", "_rearm", "_session")

    def __init__(self, endpoint: Endpoint, address: int, rearm: Callable[[int], None]) -> None:
        self._session: Session | None = None
        self._rearm = rearm
        self._blocks = block(endpoint.call)
        self._headed = False
        super().__init__(endpoint, address)
        self.layered = True

    def advance(self) -> int:
        """Take the next step of opening; a server is ready for calls once its settings have come."""
        if self._session is None:
            waits = super().advance()
            if self._session is None or not self.tls:
                return waits
            return self._settle(b"")  # what came with the end of the handshake
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return READ
        except OSError:
            data = b""
        if not data:
            raise ConnectError("malformed_http", "closed instead of answering in HTTP/2")
        return self._settle(data)

    def write_tls(self, data: bytes) -> bool:
        """Send one call."""
        assert self._session is not None  # noqa: S101  # only called once it is there
        self._headed = False
        request_id, _, body = data.partition(_MARK)
        fields = self._blocks + block([("x-request-id", request_id.decode())])
        return self._put(self._session.call(fields, body))

    def decrypt(self, data: bytes) -> bytes:
        """What arrived of the answer, as HTTP/1.1; OSError where the call never began."""
        assert self._session is not None  # noqa: S101  # only called once it is there
        if self.tls is not None:
            data = super().decrypt(data)
        try:
            parts, out = self._session.receive(data)
        except NotHttp2Error:
            return _BROKEN
        if out and not self._put(out):
            self._rearm(self.fd)
        if len(parts) == 1 and parts[0].data:
            return _chunk(parts[0].data)
        return b"".join([self._told(part) for part in parts])

    def stays_open(self) -> bool:
        """A ping or a window's update while idle is answered; False when the server closes."""
        try:
            data = self.sock.recv(65536)
            if not data:
                return False
            if self.tls is not None:
                data = super().decrypt(data)
            _, out = self._session.receive(data) if self._session else ([], b"")
            if out and not self._put(out):
                return False
        except BlockingIOError:
            return True
        except (OSError, NotHttp2Error):
            return False
        return self._session is not None and not self._session.spent

    def _told(self, part: Part) -> bytes:
        assert self._session is not None  # noqa: S101  # asked by the caller
        if part.head is not None:
            self._headed = True
            return _head(part.head)
        if not part.end:
            return _chunk(part.data)
        if part.refused:
            raise ConnectionResetError  # nobody worked on it: RFC 9113 (6.8) lets it go to another connection
        if self._session.unsent and part.reset is None:
            self.out = memoryview(_BROKEN)  # an answer before the request was sent
        if self._session.spent or part.reset is not None:
            self.requests = -1
        fields = part.trailers if part.reset is None else {RESET: b"%d" % part.reset}
        told = b"".join(b"%s:%s\r\n" % item for item in fields.items() if item[0][:1] != b":")
        end = _chunk(bytes((TRAILERS,)) + len(told).to_bytes(4, "big") + told) + b"0\r\n\r\n"
        return end if self._headed else _head({b":status": b"200", b"content-type": b"application/grpc"}) + end

    def _ready(self) -> int:
        """TCP, proxy and TLS are there: HTTP/2 begins."""
        if self.tls is not None and self.tls.selected_alpn_protocol() not in (None, "h2"):
            raise ConnectError("tls", "the server does not offer HTTP/2")
        self.state = HANDSHAKE
        self._session = Session()
        if not self._put(self._session.start()):
            raise ConnectError("reset_before_send", "the socket takes nothing")
        return READ

    def _settle(self, data: bytes) -> int:
        assert self._session is not None  # noqa: S101  # asked by the caller
        if self.tls is not None:
            data = super().decrypt(data)
        try:
            _, out = self._session.receive(data)
        except NotHttp2Error as error:
            raise ConnectError("malformed_http", str(error)) from None
        if out and not self._put(out):
            raise ConnectError("reset_before_send", "the socket takes nothing")
        if not self._session.ready:
            return READ
        self.state = IDLE
        self.connect_ns = time.monotonic_ns() - self.opened
        return 0

    def _put(self, data: bytes) -> bool:
        """Send, through TLS where there is any; False when the kernel did not take all (the rest is in `out`)."""
        if self.tls is not None:
            assert self.outgoing is not None  # noqa: S101  # set together
            self.tls.write(data)
            data = self.outgoing.read()
        if self.out is not None:
            self.out = memoryview(bytes(self.out) + data)
            return False
        try:
            taken = self.sock.send(data)
        except BlockingIOError:
            taken = 0
        if taken < len(data):
            self.out = memoryview(data)[taken:]
        return self.out is None


def _head(fields: Fields) -> bytes:
    status = fields.get(b":status", b"")
    kind = fields.get(b"content-type", b"")
    if not (len(status) == 3 and status.isdigit()) or b"\r" in kind or b"\n" in kind:
        return _BROKEN
    encoding = fields.get(b"content-encoding", b"identity")
    if encoding != b"identity" or not encoding.isalnum():
        encoding = b"other"
    return b"HTTP/1.1 %s \r\ncontent-type: %s\r\ncontent-encoding: %s\r\ntransfer-encoding: chunked\r\n\r\n" % (
        status,
        kind,
        encoding if encoding == b"other" else b"identity",
    )


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)
