"""Every fault, and every odd but correct answer, of `faulty.py`: name, bytes and what an engine should call it."""

import contextlib
import gzip
import json
import select
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from support.faulty_wire import LIMIT_S, SSE, TEXT, Fault, Wire

FAULTS: dict[str, Fault] = {}


def event(choices: Iterable[Mapping[str, Any]], **more: object) -> str:
    shape = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": list(choices), **more}
    return f"data: {json.dumps(shape, ensure_ascii=False)}\n\n"


def delta(finish: str | None = None, **content: object) -> str:
    return event([{"index": 0, "delta": content, "finish_reason": finish}])


def usage(tokens: int) -> str:
    return event([], usage={"prompt_tokens": 2, "completion_tokens": tokens, "total_tokens": tokens + 2})


TOKEN, ROLE, FINISH, DONE = (
    delta(content=TEXT),
    delta(role="assistant", content=""),
    delta("length"),
    "data: [DONE]\n\n",
)
TAIL = (FINISH, usage(3), DONE)
COMPLETION = json.dumps(
    {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5},
    }
)
ERROR = json.dumps({"error": {"message": "out of memory", "type": "server_error", "code": 500}})


def _fault(expected: str | None, **more: Any) -> Callable[[Callable[[Wire], None]], Callable[[Wire], None]]:
    """Registers a script under its own name; a success has three tokens unless it says otherwise."""

    def register(script: Callable[[Wire], None]) -> Callable[[Wire], None]:
        name = script.__name__.strip("_")
        tokens = more.pop("tokens", 3 if expected is None else None)
        FAULTS[name] = Fault(name, expected, script, tokens=tokens, **more)
        return script

    return register


def _bytes(name: str, expected: str | None, *parts: str | bytes, close: bool = False, **more: Any) -> None:
    """Registers a fault that is no more than these bytes."""

    def script(wire: Wire) -> None:
        wire.send(*parts)
        if close:
            wire.sock.close()

    script.__name__ = name
    _fault(expected, **more)(script)


def _stream(name: str, expected: str | None, *events: str, content_type: str | None = SSE, **more: Any) -> None:
    """Registers a fault that is a well-framed stream of these events."""

    def script(wire: Wire) -> None:
        wire.stream(*events, content_type=content_type)

    script.__name__ = name
    _fault(expected, **more)(script)


def _answer(name: str, expected: str | None, status: str, body: str | bytes, *lines: str, **more: Any) -> None:
    """Registers a fault that is one plain answer with a Content-Length."""
    content_type = more.pop("content_type", "application/json")

    def script(wire: Wire) -> None:
        wire.body(status, body, content_type, *lines)

    script.__name__ = name
    _fault(expected, **more)(script)


# ---- correct, in every shape a server may choose ----

SNIFF = ("bad_content_type",)  # stricter than the specification asks, and not wrong

_stream("ok", None, ROLE, TOKEN, TOKEN, TOKEN, *TAIL)
_stream("no_role", None, TOKEN, TOKEN, TOKEN, *TAIL)
_stream("role_and_text", None, delta(role="assistant", content=TEXT), TOKEN, TOKEN, *TAIL)
_stream("empty_text", None, ROLE, delta(content=""), TOKEN, TOKEN, *TAIL)
_stream("several_tokens", None, ROLE, TOKEN, delta(content=TEXT * 5), FINISH, usage(6), DONE, tokens=6)
_stream("no_done", None, ROLE, TOKEN, TOKEN, TOKEN, FINISH, usage(3))
_stream("no_usage", None, ROLE, TOKEN, TOKEN, TOKEN, FINISH, DONE, stated=False)
_stream("comments", None, ": ping\n\n", ROLE, ": ping\n\n", TOKEN, TOKEN, ": ping\n", TOKEN, *TAIL)
_stream("sse_fields", None, "retry: 10\n\n", "id: 1\nevent: message\n" + TOKEN, TOKEN, TOKEN, *TAIL)
_stream("crlf_lines", None, *(e.replace("\n", "\r\n") for e in (ROLE, TOKEN, TOKEN, TOKEN, *TAIL)))
_stream("no_space", None, *(e.replace("data: ", "data:", 1) for e in (ROLE, TOKEN, TOKEN, TOKEN, *TAIL)))
_stream("one_chunk", None, "".join((ROLE, TOKEN, TOKEN, TOKEN, *TAIL)))
_stream("huge_chunk", None, ROLE, delta(content="x" * (8 << 20)), TOKEN, TOKEN, *TAIL)
_stream("no_content_type", None, ROLE, TOKEN, TOKEN, TOKEN, *TAIL, content_type=None, also=SNIFF)
_answer("plain", None, "200 OK", COMPLETION, stream=False)
_answer(
    "plain_no_content_type", None, "200 OK", COMPLETION, content_type=None, stream=False, also=("bad_content_type",)
)
_answer("no_reason", None, "200", COMPLETION, stream=False)
_answer("empty_reason", None, "200 ", COMPLETION, stream=False)
_answer("connection_close", None, "200 OK", COMPLETION, "Connection: close", stream=False)

HINTS = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
PLAIN_HEAD = "Content-Type: application/json\r\n\r\n"
_bytes("http_1_0", None, "HTTP/1.0 200 OK\r\n", PLAIN_HEAD, COMPLETION, close=True, stream=False)
_bytes("until_close", None, "HTTP/1.1 200 OK\r\n", PLAIN_HEAD, COMPLETION, close=True, stream=False)


@_fault(None)
def split_utf8(wire: Wire) -> None:
    """Every byte in a chunk of its own: events, lines and characters are cut everywhere."""
    wire.head()
    for byte in "".join((ROLE, TOKEN, TOKEN, TOKEN, *TAIL)).encode():
        wire.chunk(bytes([byte]))
    wire.end()


@_fault(None)
def split_packets(wire: Wire) -> None:
    """The same at the level of TCP: the status line, the headers and the chunk sizes are cut as well."""
    wire.send("HTT")
    wire.pause(0.02)
    wire.send("P/1.1 200 OK\r\nContent-Ty")
    wire.pause(0.02)
    wire.send(f"pe: {SSE}\r\nTransfer-Encoding: chunked\r\n\r")
    wire.pause(0.02)
    body = "".join((ROLE, TOKEN, TOKEN, TOKEN, *TAIL)).encode()
    wire.send(f"\n{len(body):x}\r")
    wire.pause(0.02)
    half = body.index("ö".encode()) + 1
    wire.send("\n", body[:half])
    wire.pause(0.02)
    wire.send(body[half:], "\r\n0\r\n")
    wire.pause(0.02)
    wire.send("\r\n")


@_fault(None)
def late_text(wire: Wire) -> None:
    """The role comes at once, the first token 100 ms later: the role is not the first token."""
    wire.head()
    wire.chunk(ROLE)
    wire.pause(0.1)
    for part in (TOKEN, TOKEN, TOKEN, *TAIL):
        wire.chunk(part)
    wire.end()


@_fault(None)
def slow_headers(wire: Wire) -> None:
    """The headers dribble in, within any sane timeout."""
    for byte in b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n":
        wire.send(bytes([byte]))
        wire.pause(0.002)
    wire.chunk(ROLE, TOKEN, TOKEN, TOKEN, *TAIL)
    wire.end()


@_fault(None)
def interim(wire: Wire) -> None:
    """1xx answers before the real one."""
    wire.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    wire.stream(ROLE, TOKEN, TOKEN, TOKEN, *TAIL)


@_fault(None, also=("reset_before_headers",))
def silent_close(wire: Wire) -> None:
    """A keep-alive answer whose connection is then closed unannounced: the next request must open another."""
    wire.stream(ROLE, TOKEN, TOKEN, TOKEN, *TAIL)
    wire.sock.close()


@_fault(None)
def slow_close(wire: Wire) -> None:
    """Closed unannounced after each answer, so late that the next request was read and thrown away."""
    wire.stream(ROLE, TOKEN, TOKEN, TOKEN, *TAIL)
    wire.pause(0.06)
    wire.sock.setblocking(False)
    with contextlib.suppress(OSError):
        while wire.sock.recv(65536):
            pass
    wire.sock.close()


@_fault(None, api="ollama")
def ndjson(wire: Wire) -> None:
    part = {"model": "m", "created_at": "2026-01-01T00:00:00Z", "response": TEXT, "done": False}
    last = {**part, "response": "", "done": True, "done_reason": "stop", "prompt_eval_count": 2, "eval_count": 3}
    message = {"message": {"role": "assistant", "content": TEXT}}
    lines = [{**part, **message}] * 3 + [{**last, "message": {"role": "assistant", "content": ""}}]
    wire.stream(*(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), content_type="application/x-ndjson")


# ---- the connection ----


def _not_tls(wire: Wire) -> None:
    wire.sock.recv(65536)
    wire.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


FAULTS["no_such_host"] = Fault("no_such_host", "dns")
FAULTS["refused"] = Fault("refused", "refused", port="closed")
FAULTS["full_queue"] = Fault("full_queue", "connect_timeout", port="full", timeout_s=1.0, also=("timeout_total",))
FAULTS["not_tls"] = Fault("not_tls", "tls", _not_tls, scheme="https", port="raw")


@_fault("reset_before_send", port="raw", also=("reset_before_headers",))
def reset_at_accept(wire: Wire) -> None:
    wire.reset()


@_fault("reset_before_headers", port="raw", also=("reset_before_send",))
def reset_before_read(wire: Wire) -> None:
    """The request has arrived, nobody reads it."""
    select.select([wire.sock], [], [], LIMIT_S)
    wire.reset()


@_fault("reset_before_headers")
def reset_after_request(wire: Wire) -> None:
    wire.reset()


@_fault("reset_before_headers", also=("truncated",))
def closed_after_request(wire: Wire) -> None:
    """FIN instead of an answer, as a server that is killed cleanly does."""
    wire.sock.close()


@_fault("reset_before_headers", also=("truncated",))
def closed_in_headers(wire: Wire) -> None:
    wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-str")
    wire.sock.close()


_bytes("closed_after_interim", "reset_before_headers", HINTS, close=True, also=("truncated",))


@_fault("reset_in_body")
def reset_after_headers(wire: Wire) -> None:
    wire.head()
    wire.pause(0.05)  # an RST overtakes what the client has not read yet
    wire.reset()


@_fault("reset_in_body")
def reset_in_body(wire: Wire) -> None:
    wire.head()
    wire.chunk(ROLE, TOKEN)
    wire.pause(0.05)
    wire.reset()


@_fault("early_response", body_bytes=32 << 20, also=("http_4xx",))
def early_413(wire: Wire) -> None:
    """Answers when it has seen the headers; the rest of the body is never read."""
    wire.body("413 Payload Too Large", ERROR, "application/json", "Connection: close")
    wire.pause(0.5)


# ---- time ----


@_fault("timeout_headers", timeout_s=1.0, also=("timeout_total",))
def stall_headers(wire: Wire) -> None:
    wire.stall()


@_fault("timeout_headers", timeout_s=1.0, also=("timeout_total",))
def stall_half_headers(wire: Wire) -> None:
    wire.send("HTTP/1.1 200 OK\r\nContent-Ty")
    wire.stall()


@_fault("timeout_headers", timeout_s=1.0, also=("timeout_total",))
def stall_after_interim(wire: Wire) -> None:
    wire.send(HINTS)
    wire.stall()


@_fault("timeout_stall", timeout_s=1.0, also=("timeout_total",))
def stall_after_headers(wire: Wire) -> None:
    wire.head()
    wire.stall()


@_fault("timeout_stall", timeout_s=1.0, also=("timeout_total",))
def stall_body(wire: Wire) -> None:
    wire.head()
    wire.chunk(ROLE, TOKEN)
    wire.stall()


@_fault("timeout_total", timeout_s=1.0)
def drip(wire: Wire) -> None:
    """Never silent, never done."""
    wire.head()
    for _ in range(LIMIT_S * 20):
        wire.chunk(TOKEN)
        wire.pause(0.05)


# ---- framing ----


@_fault("truncated")
def truncated_chunk(wire: Wire) -> None:
    wire.head()
    wire.chunk(ROLE, TOKEN)
    wire.send("40\r\ndata: {")
    wire.sock.close()


@_fault("truncated")
def truncated_between_chunks(wire: Wire) -> None:
    """Every event whole, the last chunk missing: only the framing tells."""
    wire.head()
    wire.chunk(ROLE, TOKEN)
    wire.chunk(TOKEN)
    wire.sock.close()


_bytes("truncated_length", "truncated", f"HTTP/1.1 200 OK\r\nContent-Length: {len(COMPLETION.encode()) + 9}\r\n",
       PLAIN_HEAD, COMPLETION, close=True, stream=False)  # fmt: skip
_bytes("truncated_after_interim", "truncated", HINTS, "HTTP/1.1 200 OK\r\nContent-Length: 999\r\n",
       PLAIN_HEAD, COMPLETION, close=True, stream=False)  # fmt: skip
_bytes("switching", "malformed_http", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n")
_bytes("bad_status_line", "malformed_http", "HTPP/1.1 OK\r\n\r\n", close=True)
_bytes("not_http", "malformed_http", b"\x15\x03\x03\x00\x02\x02\x28" * 8, close=True)
_bytes("bad_header", "malformed_http", "HTTP/1.1 200 OK\r\nno colon here\r\n\r\n", close=True)
_bytes("bad_chunk_size", "malformed_http", f"HTTP/1.1 200 OK\r\nContent-Type: {SSE}\r\n",
       "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", TOKEN, close=True)  # fmt: skip
_bytes("huge_chunk_size", "malformed_http", f"HTTP/1.1 200 OK\r\nContent-Type: {SSE}\r\n",
       f"Transfer-Encoding: chunked\r\n\r\n{'f' * 20}\r\n", TOKEN, close=True)  # fmt: skip


@_fault("malformed_http", timeout_s=5.0, also=("timeout_headers", "timeout_total"))
def header_flood(wire: Wire) -> None:
    """64 MiB of headers: an engine without a limit keeps them all."""
    wire.send("HTTP/1.1 200 OK\r\n")
    line = f"X-Flood: {'x' * 1000}\r\n" * 64
    for _ in range(1024):
        wire.send(line)
    wire.stall()


@_fault("malformed_http", timeout_s=5.0, also=("timeout_headers", "timeout_total"))
def interim_flood(wire: Wire) -> None:
    """64 MiB of answers that are none."""
    for _ in range(1024):
        wire.send(HINTS * 1560)
    wire.stall()


_answer("gzipped", "bad_encoding", "200 OK", gzip.compress(COMPLETION.encode(), mtime=0), "Content-Encoding: gzip",
        stream=False)  # fmt: skip

# ---- status ----

_answer("redirect_302", "redirect", "302 Found", "", "Location: /elsewhere")
_answer("redirect_307", "redirect", "307 Temporary Redirect", "", "Location: /elsewhere")
_answer("status_400", "http_4xx", "400 Bad Request", ERROR)
_answer("status_404", "http_4xx", "404 Not Found", "<html>no</html>", content_type="text/html")
_answer("status_429", "http_429", "429 Too Many Requests", ERROR, "Retry-After: 2")
_answer("status_500", "http_5xx", "500 Internal Server Error", ERROR)
_answer("status_503", "http_503", "503 Service Unavailable", ERROR, "Retry-After: 2")
_answer("status_599", "http_5xx", "599 Odd", "")

# ---- content ----

HTML = "<html>login</html>"
_answer("wrong_content_type", "bad_content_type", "200 OK", HTML, content_type="text/html", stream=False)
_stream("html_for_stream", "bad_content_type", HTML, content_type="text/html")
_answer("error_in_json", "error_in_body", "200 OK", ERROR, stream=False)
_stream("error_in_stream", "error_in_body", f"data: {ERROR}\n\n", DONE)
_stream("error_after_tokens", "error_in_body", ROLE, TOKEN, TOKEN, f"data: {ERROR}\n\n", DONE)
_answer("not_json", "malformed_event", "200 OK", '{"choices": [', stream=False)
_stream("bad_json", "malformed_event", ROLE, TOKEN, 'data: {"choices": [{"delta"\n\n', *TAIL)
_stream("bad_sse", "malformed_event", ROLE, TOKEN, TOKEN.removeprefix("data: "), *TAIL)
_stream("not_sse", "malformed_event", COMPLETION, also=("empty_stream",))
_stream("empty_stream", "empty_stream", DONE)
_stream("only_role", "empty_stream", ROLE, FINISH, DONE)
_stream("no_events", "empty_stream")
_answer("empty_body", "malformed_event", "200 OK", "", stream=False, also=("empty_stream",))


@_fault("bad_utf8", also=("malformed_event",))
def bad_utf8(wire: Wire) -> None:
    """A lone continuation byte inside the text."""
    wire.head()
    wire.chunk(ROLE, TOKEN, TOKEN.encode().replace("ö".encode(), b"\xb6"), *TAIL)
    wire.end()


@_fault("bad_utf8", also=("malformed_event",))
def half_utf8_at_end(wire: Wire) -> None:
    """The body ends, well framed, in the middle of a character."""
    wire.head()
    wire.chunk(ROLE, TOKEN, TOKEN.encode().split(b"\xb6")[0])
    wire.end()
