"""From kept bytes to one row a request: status, tokens, times, error class. Runs outside the loop's hot path.

An event has arrived when the read that held the last byte of its data line had. Events are found in the joined body,
so that where reads, chunks, lines or characters were cut changes nothing but the stamps.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import httptools
import msgspec

from inferaudit.bench.answers import NO_TOKEN, UNSTATED, Answer, openai_event
from inferaudit.bench.protocols import Protocol
from inferaudit.bench.raw import Raw, whole
from inferaudit.bench.shape import Shape

_KNOWN_FIELDS = (b"event", b"id", b"retry")
_JSON_TYPES = (b"application/json", b"text/json", b"+json")


@dataclass(slots=True)
class Response:
    """One decoded request. Nanoseconds of CLOCK_REALTIME; None where it did not come to that.

    `tokens` holds (arrival, stated count or 0) of each token event.
    """

    number: int
    scheduled: int
    sent: int | None
    first_byte: int | None
    end: int
    error: str | None
    status: int | None
    tokens: list[tuple[int, int]]
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    stated: bool
    connect: int | None
    size: int


def decode(raw: Raw, protocol: Protocol, stream: bool) -> Response:
    """The whole story of one request."""
    number, scheduled, sent, first, end, error, kept, pieces, marks, connect = whole(raw)
    head, body, marks, pieces = _parts(kept, pieces, marks, end)
    status, fields = _head(head)
    answer = Answer()
    tokens: list[tuple[int, int]] = []
    size = len(head) + len(body)
    if error in (None, "early_response", "reset_in_body", "truncated") and status is not None:
        error = _by_status(status) or error
    if error is None:
        error = _by_fields(fields, protocol, stream)
    if error is None:
        answer.fields = fields
        try:
            if stream:
                error = _stream(body, fields, pieces, marks, protocol, answer, tokens)
            else:
                protocol.answer(body, answer)
        except (msgspec.DecodeError, UnicodeDecodeError):
            error = _malformed(body)
        if answer.error:
            error = answer.kind or "error_in_body"
    elif error not in ("bad_content_type", "bad_encoding") and stream and status == 200 and sent is not None:
        _salvage(body, fields, pieces, marks, protocol, answer, tokens)
    stated = answer.output_tokens is not None
    return Response(
        number=number,
        scheduled=scheduled,
        sent=sent,
        first_byte=first or None,
        end=end,
        error=error,
        status=status,
        tokens=tokens,
        input_tokens=answer.input_tokens,
        output_tokens=answer.output_tokens if stated else _counted(tokens) if stream and tokens else None,
        cached_tokens=answer.cached_tokens,
        stated=stated,
        connect=connect,
        size=size,
    )


def sse_events(body: bytes) -> Iterator[tuple[bytes, int]]:
    """(data, offset of the last byte of its last line) of each event; :class:`msgspec.DecodeError` for what is no SSE.

    Lines end in LF, CRLF or CR. A last event without its blank line is still given: servers end that way.
    """
    if b"\r" not in body and b"\n\ndata:" in body:
        fast = _simple_events(body)
        if fast is not None:
            yield from fast
            return
    data: list[bytes] = []
    last = 0
    for line, at in _lines(body):
        if not line:
            if data:
                yield b"\n".join(data), last
                data = []
            continue
        name, colon, value = line.partition(b":")
        if name == b"data":
            data.append(value.removeprefix(b" "))
            last = at
        elif name and name not in _KNOWN_FIELDS:
            raise msgspec.DecodeError(f"no field of an event stream: {name[:20]!r}" if colon else "no event stream")
    if data:
        yield b"\n".join(data), last


def _starts_as_sse(body: bytes) -> bool:
    """False for text that is an event stream in name only, as generators of BentoML send it."""
    name, colon, _ = body.lstrip(b"\r\n").partition(b":")
    return bool(colon) and (name in (b"", b"data") or name in _KNOWN_FIELDS)


def _simple_events(body: bytes) -> list[tuple[bytes, int]] | None:
    """Events of one data line each and nothing else: what nearly every server sends."""
    events, at = [], 0
    for part in body.split(b"\n\n"):
        if part.startswith(b"data:") and b"\n" not in part:
            events.append((part[6:] if part[5:6] == b" " else part[5:], at + len(part)))
        elif part:
            return None
        at += len(part) + 2
    return events


def _lines(body: bytes) -> Iterator[tuple[bytes, int]]:
    """(line, offset of the last byte of its end)."""
    at = 0
    for line in body.splitlines(keepends=True):  # bytes: LF, CR and CRLF only
        at += len(line)
        yield line.rstrip(b"\r\n"), at - 1


def _stream(
    body: bytes,
    fields: dict[bytes, bytes],
    pieces: list[bytes],
    marks: list[tuple[int, int]],
    protocol: Protocol,
    answer: Answer,
    tokens: list[tuple[int, int]],
) -> str | None:
    """Read the events of a whole stream; the error class, or None."""
    _events(body, fields, pieces, marks, protocol, answer, tokens)
    if not tokens:
        return None if answer.error else "empty_stream"
    return "truncated" if protocol.ends and not answer.finished else None


def _events(
    body: bytes,
    fields: dict[bytes, bytes],
    pieces: list[bytes],
    marks: list[tuple[int, int]],
    protocol: Protocol,
    answer: Answer,
    tokens: list[tuple[int, int]],
) -> None:
    read = protocol.event
    assert read is not None  # noqa: S101  # streams are only asked of APIs that have them
    framing = protocol.framing
    if framing == "auto":
        kind = fields.get(b"content-type", b"")
        framing = "ndjson" if b"ndjson" in kind or b"jsonl" in kind else "raw"
        if b"event-stream" in kind and _starts_as_sse(body):
            framing = "sse"
    if framing == "raw":
        arrived = _arrivals_of_pieces(pieces, marks)
        for piece, stamp in zip(pieces, arrived, strict=True):
            if read(piece, answer) != NO_TOKEN:
                tokens.append((stamp, 0))
        return
    events = sse_events(body) if framing == "sse" else ((line, at) for line, at in _lines(body) if line)
    bounds = _bounds(pieces, marks)
    place, last = 0, len(bounds) - 1
    shape = Shape() if read is openai_event else None
    for data, offset in events:
        while bounds[place][0] <= offset and place < last:
            place += 1
        if shape is not None and shape.fits(data):
            count = UNSTATED
        else:
            count = read(data, answer)
            if shape is not None and count == UNSTATED:
                shape.learn(data)
        if count != NO_TOKEN:
            tokens.append((bounds[place][1], count))


def _salvage(
    body: bytes,
    fields: dict[bytes, bytes],
    pieces: list[bytes],
    marks: list[tuple[int, int]],
    protocol: Protocol,
    answer: Answer,
    tokens: list[tuple[int, int]],
) -> None:
    """What a broken stream had delivered: counted as tokens, never as latencies."""
    try:
        _events(body, fields, pieces, marks, protocol, answer, tokens)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return


def _bounds(pieces: list[bytes], marks: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """(body bytes that had arrived, stamp) for each read."""
    bounds, at, done = [], 0, 0
    for stamp, count in marks:
        while done < count:
            at += len(pieces[done])
            done += 1
        bounds.append((at, stamp))
    return bounds or [(0, 0)]


def _arrivals_of_pieces(pieces: list[bytes], marks: list[tuple[int, int]]) -> list[int]:
    arrived: list[int] = []
    for stamp, count in marks:
        arrived.extend([stamp] * (count - len(arrived)))
    arrived.extend([marks[-1][0] if marks else 0] * (len(pieces) - len(arrived)))
    return arrived


def _counted(tokens: list[tuple[int, int]]) -> int:
    return sum(max(1, count) for _, count in tokens)


class _Pieces:
    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.on_body = self.pieces.append


def _parts(
    kept: bytes | list[bytes], pieces: list[bytes] | None, marks: list[tuple[int, int]] | None, end: int
) -> tuple[bytes, bytes, list[tuple[int, int]], list[bytes]]:
    """Head, body, marks and pieces, whether or not the loop kept them apart."""
    if pieces is None or marks is None:
        whole = kept if isinstance(kept, bytes) else b"".join(kept)
        head, _, body = whole.partition(b"\r\n\r\n")
        if b"hunked" in head or head[9:10] == b"1" or b"ontent-" not in head:
            again = _Pieces()
            with contextlib.suppress(httptools.HttpParserError):
                httptools.HttpResponseParser(again).feed_data(whole)
            head = _last_head(whole)
            return head, b"".join(again.pieces), [(end, len(again.pieces))], again.pieces
        return head, body, [(end, 1)], [body]
    whole = b"".join(kept) if isinstance(kept, list) else kept
    return _last_head(whole), b"".join(pieces), marks, pieces


def _last_head(whole: bytes) -> bytes:
    head, _, rest = whole.partition(b"\r\n\r\n")
    while head[9:10] == b"1" and rest:  # interim answers come before the real one
        head, _, rest = rest.partition(b"\r\n\r\n")
    return head


def _head(head: bytes) -> tuple[int | None, dict[bytes, bytes]]:
    lines = head.split(b"\r\n")
    code = lines[0][9:12]
    fields = {}
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        fields[name.lower()] = value.strip().lower()
    return (int(code) if len(code) == 3 and code.isdigit() else None), fields


def _by_status(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return "redirect"
    if status in (429, 503):
        return f"http_{status}"
    return "http_4xx" if status < 500 else "http_5xx"


def _by_fields(fields: dict[bytes, bytes], protocol: Protocol, stream: bool) -> str | None:
    if fields.get(b"content-encoding", b"identity") not in (b"identity", b""):
        return "bad_encoding"  # we asked for none
    kind = fields.get(b"content-type", b"")
    if protocol.content:
        return None if kind.startswith(protocol.content) else "bad_content_type"
    if protocol.lenient or not kind:
        return None
    if not stream:
        return None if any(t in kind for t in _JSON_TYPES) else "bad_content_type"
    wanted = b"event-stream" if protocol.framing == "sse" else b"json"
    return None if wanted in kind else "bad_content_type"


def _malformed(body: bytes) -> str:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return "bad_utf8"
    return "malformed_event"
