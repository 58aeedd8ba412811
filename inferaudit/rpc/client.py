"""One unary call at a time over a blocking socket: for audits and for what must be asked before load.

A failure is a word (the benchmark's error classes) and one line, never an exception.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from inferaudit.rpc.session import Fields, NotHttp2Error, Part, Session, block, call_fields, frame, frames
from inferaudit.rpc.status import of_reset, read_status

USER_AGENT = "inferaudit"
MAX_BODY = 32 << 20
_PEEK_S = 2.0
Open = Callable[[float], socket.socket]  # a connected socket, with TLS where that is wanted, given seconds


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer, or why there is none. `code` is gRPC's status, None where the call did not come to one; `text` its
    message or the reason; `message` the answer's bytes. `http` is the status of an answer that is not gRPC's.
    `seen` is how a server that speaks no HTTP/2 began."""

    code: int | None = None
    text: str = ""
    message: bytes = b""
    ms: float | None = None
    error: str | None = None
    http: int | None = None
    head: Fields = field(default_factory=dict)
    seen: bytes = b""


class Client:
    """Calls to one server over one connection, opened again when it was closed."""

    def __init__(self, open_socket: Open, scheme: str, authority: str, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.sent = self.connections = 0
        self._open, self._scheme, self._authority = open_socket, scheme, authority
        self._sock: socket.socket | None = None
        self._session = Session()

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def call(
        self, path: str, message: bytes, headers: Mapping[str, str] | None = None, timeout_s: float | None = None
    ) -> Answered:
        """One call; never raises."""
        self.sent += 1
        deadline = time.monotonic() + (timeout_s or self.timeout_s)
        start = time.perf_counter_ns()
        try:
            again = self._sock is not None
            answered = self._call(path, message, headers or {}, deadline)
            if again and answered.error == "reset_before_headers":  # a kept connection that the server was closing
                answered = self._call(path, message, headers or {}, deadline)
        except NotHttp2Error as error:
            self.close()
            return Answered(error="malformed_http", text=str(error), seen=error.seen, ms=_since(start))
        except TimeoutError:
            self.close()
            return Answered(error="timeout_headers", text="no answer in time", ms=_since(start))
        except ssl.SSLError as error:
            self.close()
            reason = getattr(error, "verify_message", "") or error.reason or str(error)
            return Answered(error="tls", text=f"TLS: {reason}", ms=_since(start))
        except OSError as error:
            self.close()
            kind = "refused" if isinstance(error, ConnectionRefusedError) else "reset_before_headers"
            return Answered(error=kind, text=error.strerror or str(error) or type(error).__name__, ms=_since(start))
        return replace(answered, ms=_since(start))

    def _call(self, path: str, message: bytes, headers: Mapping[str, str], deadline: float) -> Answered:
        if self._sock is None or self._session.spent:
            self.close()
            self._sock, self._session = self._open(_left(deadline)), Session()
            self.connections += 1
            self._sock.settimeout(_left(deadline))
            self._sock.sendall(self._session.start())
            while not self._session.ready:
                self._read(deadline)
        fields = [("user-agent", USER_AGENT), ("grpc-accept-encoding", "identity"), *headers.items()]
        content = block(call_fields(self._scheme, self._authority, path, fields))
        return self._exchange(content, frame(message), deadline)

    def _exchange(self, content: bytes, body: bytes, deadline: float) -> Answered:
        assert self._sock is not None  # noqa: S101  # opened by the caller
        head: Fields = {}
        received = bytearray()
        try:
            self._sock.settimeout(_left(deadline))
            self._sock.sendall(self._session.call(content, body))
            while True:
                for part in self._read(deadline):
                    head = part.head or head
                    received += part.data
                    if len(received) > MAX_BODY:
                        self.close()
                        return Answered(error="malformed_http", text=f"an answer of more than {MAX_BODY >> 20} MiB")
                    if part.end:
                        if self._session.unsent or self._session.spent:
                            self.close()
                        if part.refused:
                            raise ConnectionResetError("the server is shutting down")
                        return _whole(head, bytes(received), part.trailers, part.reset)
        except ConnectionError as error:
            self.close()
            kind = "reset_in_body" if head else "reset_before_headers"
            return Answered(error=kind, text=str(error) or "the connection was closed", head=head)

    def _read(self, deadline: float) -> list[Part]:
        assert self._sock is not None  # noqa: S101  # opened by the caller
        self._sock.settimeout(_left(deadline))
        data = self._sock.recv(262_144)
        if not data:
            raise ConnectionResetError("the server closed the connection")
        parts, out = self._session.receive(data)
        if out:
            self._sock.sendall(out)
        return parts


def _whole(head: Fields, body: bytes, trailers: Fields, reset: int | None) -> Answered:
    """A call that came to its end, whatever that says."""
    if reset is not None:
        code = of_reset(reset)
        if code is not None:
            return Answered(code, f"the stream was reset with code {reset}", head=head)
        return Answered(
            error="reset_in_body" if head else "reset_before_headers", text=f"the stream was reset with code {reset}"
        )
    status = head.get(b":status", b"")
    http = int(status) if status.isdigit() and len(status) == 3 else None
    kind = head.get(b"content-type", b"").decode("latin-1")
    if http != 200 or not kind.startswith("application/grpc"):
        text = f"HTTP/2 with status {http} and content type {kind[:60]!r}, which is not gRPC"
        return Answered(error="bad_content_type", text=text, http=http, head=head)
    ended = read_status(trailers) or read_status(head)
    if ended is None:
        return Answered(error="truncated", text="an answer without a status", head=head)
    code, text = ended
    if code:
        return Answered(code, text, head={**head, **trailers})
    try:
        messages = frames(body)
    except ValueError as error:
        return Answered(error="truncated", text=str(error), head=head)
    if len(messages) != 1 or messages[0][0]:
        return Answered(error="malformed_event", text=f"{len(messages)} messages, or a compressed one", head=head)
    return Answered(code, text, messages[0][1], head={**head, **trailers})


def other_protocol(answered: Answered, host: str, port: int, *, tls: bool) -> str:
    """What a server that did not answer in HTTP/2 speaks instead, as one clause with the advice; empty if unclear."""
    closed = answered.error == "reset_before_headers" and not answered.head
    if answered.seen.startswith(b"HTTP/") or (closed and first_words(host, port, tls=tls).startswith(b"HTTP/1")):
        return "it speaks HTTP/1.1, not gRPC: give its gRPC port, or an --api of HTTP"
    alert = answered.seen[:2] == b"\x15\x03"
    if not tls and (alert or (closed and _shakes_hands(host, port))):
        return "it speaks TLS: write grpcs:// or https://"
    if tls and answered.error == "tls" and "WRONG_VERSION_NUMBER" in answered.text.upper().replace(" ", "_"):
        return "it speaks no TLS: write grpc:// or http://"
    return ""


def speaks_http2(host: str, port: int, *, tls: bool) -> bool:
    """Does a server begin with HTTP/2, as every gRPC server does? One connection and no request."""
    sock = None
    try:
        sock = socket.create_connection((host, port), timeout=_PEEK_S)
        sock = _trusting().wrap_socket(sock, server_hostname=host) if tls else sock
        session = Session()
        sock.sendall(session.start())
        while not session.ready:
            data = sock.recv(4096)
            if not data:
                return False
            session.receive(data)
        return True
    except (OSError, NotHttp2Error):
        return False
    finally:
        if sock is not None:
            sock.close()


def http_hint(host: str, port: int, *, tls: bool) -> str:
    """One clause for a server that did not answer in HTTP/1.1; empty where nothing is known of it."""
    if not tls and _shakes_hands(host, port):
        return f"{host}:{port} speaks TLS: write https://"
    if tls and _asks_certificate(host, port):
        return f"{host}:{port} asks for a client certificate that it accepts: give --client-cert"
    if not speaks_http2(host, port, tls=tls):
        return ""
    return f"{host}:{port} speaks HTTP/2 alone, as a gRPC port does: give --api oip-v2-grpc, or the server's HTTP port"


def first_words(host: str, port: int, *, tls: bool) -> bytes:
    """How a server's answer to a HEAD in HTTP/1.1 begins; nothing where it says nothing."""
    sock = None
    try:
        sock = socket.create_connection((host, port), timeout=_PEEK_S)
        sock = _trusting("http/1.1").wrap_socket(sock, server_hostname=host) if tls else sock
        name = f"[{host}]" if ":" in host else host
        sock.sendall(f"HEAD / HTTP/1.1\r\nHost: {name}:{port}\r\nConnection: close\r\n\r\n".encode())
        return sock.recv(64)
    except OSError:
        return b""
    finally:
        if sock is not None:
            sock.close()


def _asks_certificate(host: str, port: int) -> bool:
    # Alert 116 (RFC 8446, 6.2) follows the handshake. Nothing is sent: a write into what it ended would hide it.
    try:
        with (
            socket.create_connection((host, port), timeout=_PEEK_S) as plain,
            _trusting("http/1.1").wrap_socket(plain, server_hostname=host) as sock,
        ):
            sock.recv(1)
    except OSError as error:
        return "CERTIFICATE_REQUIRED" in (getattr(error, "reason", None) or "")
    return False


def _shakes_hands(host: str, port: int) -> bool:
    # Wrapped before it is connected: a reset that comes while Python wraps it would cost the descriptor.
    with contextlib.suppress(OSError):
        for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with (
                contextlib.suppress(OSError),
                _trusting().wrap_socket(socket.socket(family), server_hostname=host) as sock,
            ):
                sock.settimeout(_PEEK_S)
                sock.connect(address)
                return True
    return False


def _trusting(protocol: str = "h2") -> ssl.SSLContext:
    """For a session that carries no data of ours, only to learn what is spoken."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    return context


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _since(start: int) -> float:
    return (time.perf_counter_ns() - start) / 1e6
