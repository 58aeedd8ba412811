"""One streamed request, read event by event: bytes in, a :class:`StreamAnswer` out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from inferaudit.collect.endpoint_wire import Said, Wire, error_text, read_answer, read_event
from inferaudit.collect.http_client import Chunk, Http, Reply
from inferaudit.facts.endpoint import StreamAnswer, Usage

_MAX_LINE = 16 << 20
_START = 1 << 16
# Of a field that we do not know, which is ignored (WHATWG HTML, 9.2.6).
_NAME = re.compile(r"[A-Za-z][\w.-]*", re.ASCII)
_CONTENT_TYPES = {"sse": "text/event-stream", "ndjson": "application/x-ndjson"}


class Events:
    """Cuts a byte stream into events: the data of each SSE event, or each NDJSON line. Bounded."""

    def __init__(self, framing: str) -> None:
        self._sse = framing == "sse"
        self._parts: list[bytes] = []  # of a line that has not ended
        self._size = 0
        self._data: list[str] = []
        self._kind = ""
        self._begun = self._after_cr = False
        self.wrong: str | None = None

    def feed(self, chunk: bytes) -> Iterator[str]:
        """The events that `chunk` completes. Lines end in LF, CRLF or CR, wherever they are cut."""
        if self._after_cr and chunk.startswith(b"\n"):
            chunk, self._after_cr = chunk[1:], False
        if not chunk:
            return
        self._after_cr = chunk.endswith(b"\r")
        for piece in chunk.splitlines(keepends=True):  # bytes: LF, CR and CRLF only
            self._parts.append(piece)
            self._size += len(piece)
            if piece.endswith((b"\n", b"\r")):
                yield from self._line(self._taken().rstrip(b"\r\n"))
            elif self._size > _MAX_LINE:
                self.wrong = "a line longer than 16 MiB"
                self._taken()

    def rest(self) -> Iterator[str]:
        """The event that the end of the stream completes, where the last blank line is missing."""
        if (last := self._taken()).strip():
            yield from self._line(last)
        if self._data:
            yield from self._line(b"")

    def _taken(self) -> bytes:
        line = b"".join(self._parts)
        self._parts, self._size = [], 0
        return line

    def _line(self, raw: bytes) -> Iterator[str]:
        try:
            line = raw.decode("utf-8")
        except UnicodeDecodeError:
            self.wrong = self.wrong or "bytes that are no UTF-8"
            line = raw.decode("utf-8", "replace")
        if not self._begun:
            line, self._begun = line.removeprefix("\ufeff"), True
        if not self._sse:
            if line.strip():
                yield line
            return
        if not line:
            if self._data and self._kind != "ping":  # by custom what keeps a connection open and says nothing
                yield "\n".join(self._data)
            self._data, self._kind = [], ""
            return
        name, _, value = line.partition(":")
        if name == "data":
            self._data.append(value.removeprefix(" "))
        elif name == "event":
            self._kind = value.strip()
        elif name and not _NAME.fullmatch(name):
            self.wrong = self.wrong or "text that is no server-sent event"


class _Reader:
    """Counts and times the events of one stream."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.events = Events(wire.framing or "sse")
        self.count = self.tokens = self.roles = self.chunks = 0
        self.first_byte: float | None = None
        self.first_token: float | None = None
        self.last_token: float | None = None
        self.usage: Usage | None = None
        self.finish: str | None = None
        self.end = "none"
        self.wrong: str | None = None
        self.error: str | None = None
        self.start = b""  # of what is no event yet

    def chunk(self, chunk: Chunk) -> bool:
        if not chunk.data:
            return True
        self.chunks += 1
        self.first_byte = chunk.ms if self.first_byte is None else self.first_byte
        for data in self.events.feed(chunk.data):
            self._event(data, chunk.ms)
        if not self.count:
            self.start = (self.start + chunk.data)[:_START]
        return self.count < 10_000

    def close(self, ms: float) -> None:
        for data in self.events.rest():
            self._event(data, ms)
        if not self.count:  # a gateway may refuse with status 200 and a plain body
            self.error = read_answer(self.wire.name, self.start.decode("utf-8", "replace")).error

    def _event(self, data: str, ms: float) -> None:
        self.count += 1
        said = read_event(self.wire.name, data, first_token_seen=self.tokens > 0)
        self.usage = said.usage or self.usage
        self.finish = said.finish or self.finish
        self.wrong = self.wrong or said.wrong
        self.error = self.error or said.error
        if self.end == "done_marker" and said.kind != "done":
            self.wrong = self.wrong or "an event after [DONE]"
        if said.kind == "token":
            self.tokens += 1
            self.first_token = ms if self.first_token is None else self.first_token
            self.last_token = ms
        elif said.kind == "role":
            self.roles += 1
        elif said.kind == "done":
            self.end = "done_marker" if data.strip() == "[DONE]" else "done_field"

    def broken(self, said_end: str) -> str | None:
        """What is wrong with the form of a stream that ended by itself; None when nothing is."""
        if self.wrong or self.events.wrong:
            return self.wrong or self.events.wrong
        if self.count == 0:
            return "no event at all"
        if self.tokens == 0:
            return "no event with content"
        if said_end == "done_marker" and self.end != "done_marker":
            return "it ends without [DONE]"
        if said_end == "done_field" and self.end == "none":
            return 'it ends without a last event that says "done"'
        return None


def stream_once(
    http: Http, wire: Wire, route: str, body: bytes, *, expected_end: str, scrub: Callable[[str], str]
) -> tuple[StreamAnswer, Reply]:
    """Send one streamed request and read it to its end."""
    reader = _Reader(wire)
    reply = http.stream(route, body, reader.chunk)
    total = reply.ms or 0.0
    reader.close(total)
    content_type = reply.headers.get("content-type")
    common: dict[str, Any] = {
        "route": route,
        "status": reply.status,
        "content_type": scrub(content_type) if content_type else None,
        "compression": reply.headers.get("content-encoding", "")[:40] or None,
        "total_ms": reply.ms,
        "end_expected": expected_end,
        "usage_expected": wire.usage,
        "buffering_header": reply.headers.get("x-accel-buffering", "")[:20] or None,
    }
    if reply.status != 200:
        detail = scrub(reply.detail or error_text(reply.text))
        return StreamAnswer(**common, error=reply.error or status_class(reply.status), detail=detail), reply
    end = "eof" if reader.end == "none" and reply.error is None else reader.end
    error, wrong = reply.error, reader.broken(expected_end) if reply.error is None else None
    if reader.error and error is None:
        error = "error_in_body"
    wanted = _CONTENT_TYPES.get(wire.framing or "", "")
    if error is None and content_type is not None and not content_type.lower().startswith(wanted):
        if reader.start.strip():  # something was sent, and there is no event in it
            error = "bad_content_type"
        wrong = wrong or f"the Content-Type is {scrub(content_type)!r}, not {wanted!r}"
    answer = StreamAnswer(
        **common,
        events=reader.count,
        token_events=reader.tokens,
        role_only_events=reader.roles,
        chunks=reader.chunks,
        first_byte_ms=reader.first_byte,
        ttft_ms=reader.first_token,
        spread_ms=None if reader.first_token is None else (reader.last_token or 0.0) - reader.first_token,
        usage=reader.usage,
        end=end,
        well_formed=None if error is not None else wrong is None,
        wrong=wrong,
        error=error or ("empty_stream" if reader.count == 0 else None),
        detail=scrub(reader.error or reply.detail),
    )
    return answer, reply


def status_class(status: int | None) -> str | None:
    """The benchmark's class of a status code; None for 2xx and for no answer."""
    if status is None or 200 <= status < 300:
        return None
    if status in (429, 503):
        return f"http_{status}"
    return "redirect" if status < 400 else f"http_{status // 100}xx"


__all__ = ["Events", "Said", "status_class", "stream_once"]
