"""What the cases of `faulty.py` are made of: a fault's description and the connection its script plays on."""

import select
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass

ERROR_CLASSES = (
    *("dns", "refused", "connect_timeout", "tls"),
    *("reset_before_send", "reset_before_headers", "reset_in_body", "early_response"),
    *("timeout_headers", "timeout_stall", "timeout_total"),
    *("truncated", "malformed_http", "malformed_event", "bad_utf8", "bad_content_type", "bad_encoding"),
    *("redirect", "http_4xx", "http_429", "http_5xx", "http_503", "error_in_body", "empty_stream"),
)

SSE = "text/event-stream; charset=utf-8"
TEXT = " wörd"  # two bytes of UTF-8 in each token: cutting it anywhere is a test
LIMIT_S = 30  # nothing here waits longer, whatever the client does


@dataclass(frozen=True)
class Fault:
    """One behaviour and what an engine should call it.

    `expected` is the error class, None where the request is a success; `also` are classes that timing or a stricter
    reading can make of the same bytes. `tokens` is the number of output tokens of a success, `stated` whether the
    server says so itself. `stream`, `api`, `scheme` and `body_bytes` are how to ask for it; `timeout_s` how long.
    """

    name: str
    expected: str | None
    script: "Callable[[Wire], None] | None" = None
    also: tuple[str, ...] = ()
    stream: bool = True
    api: str = "openai-chat"
    scheme: str = "http"
    body_bytes: int = 0
    timeout_s: float | None = None
    tokens: int | None = None
    stated: bool = True
    port: str | None = None  # "closed", "full", or "raw": the script starts before the request is read

    @property
    def outcomes(self) -> frozenset[str | None]:
        return frozenset((self.expected, *self.also))


@dataclass
class Wire:
    """One accepted connection, as the scripts use it."""

    sock: socket.socket
    stopped: threading.Event
    request: bytes = b""

    def send(self, *parts: str | bytes) -> None:
        self.sock.sendall(b"".join(p.encode() if isinstance(p, str) else p for p in parts))

    def head(self, content_type: str | None = SSE, *lines: str, status: str = "200 OK", chunked: bool = True) -> None:
        kind = [f"Content-Type: {content_type}"] if content_type else []
        framing = ["Transfer-Encoding: chunked"] if chunked else []
        self.send("\r\n".join([f"HTTP/1.1 {status}", *kind, *framing, *lines, "", ""]))

    def body(self, status: str, body: str | bytes, content_type: str | None = "application/json", *lines: str) -> None:
        data = body.encode() if isinstance(body, str) else body
        self.head(content_type, f"Content-Length: {len(data)}", *lines, status=status, chunked=False)
        self.send(data)

    def chunk(self, *parts: str | bytes) -> None:
        data = b"".join(p.encode() if isinstance(p, str) else p for p in parts)
        self.send(f"{len(data):x}\r\n", data, "\r\n")

    def end(self) -> None:
        self.send("0\r\n\r\n")

    def stream(self, *events: str, content_type: str | None = SSE) -> None:
        """A well-framed chunked answer, one event a chunk."""
        self.head(content_type)
        for event in events:
            self.chunk(event)
        self.end()

    def pause(self, seconds: float) -> None:
        self.stopped.wait(seconds)

    def stall(self) -> None:
        """Silence until the client hangs up or the server is stopped."""
        for _ in range(LIMIT_S * 10):
            if self.stopped.wait(0.1):
                return
            if select.select([self.sock], [], [], 0)[0] and not self.sock.recv(65536):
                return

    def reset(self) -> None:
        """RST, not FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
