"""From kept bytes to one row a request: status, tokens, times, error class. Runs outside the loop's hot path.

An event has arrived when the read that held the last byte of its data line had. Events are found in the joined body,
so that where reads, chunks, lines or characters were cut changes nothing but the stamps.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from itertools import accumulate, repeat

import msgspec

from inferaudit.bench.answers import NO_TOKEN, Answer
from inferaudit.bench.arrivals import Arrived, take_apart
from inferaudit.bench.events import Counts, read_events, sse_events, starts_as_sse
from inferaudit.bench.json_values import read_json
from inferaudit.bench.protocols import Protocol
from inferaudit.bench.raw import Raw, whole

__all__ = ["Response", "decode", "sse_events"]

_LONGEST_WAIT_S = 1 << 31
_SALVAGED_BYTES = 16 << 20
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
    retry_after: int | None = None


def decode(raw: Raw, protocol: Protocol, stream: bool) -> Response:
    """The whole story of one request."""
    number, scheduled, sent, first, end, error, kept, stamps, ends, connect = whole(raw)
    size = len(kept)
    if error is not None:
        kept = kept[:_SALVAGED_BYTES]  # what was sent without end need not be read to its end
    if stamps is None or ends is None:
        arrived = take_apart(kept, (first or end,), (len(kept),))
    else:
        arrived = take_apart(kept, stamps, ends)
    body = arrived.body
    status, fields = _head(arrived.head)
    answer = Answer()
    tokens: list[tuple[int, int]] = []
    if error in (None, "early_response", "reset_in_body", "truncated") and status is not None:
        error = _by_status(status) or error
    if error is None:
        error = _by_fields(fields, protocol, stream)
        if error == "bad_content_type" and stream and _refuses(body):
            error = "error_in_body"
    if error is None:
        answer.fields = fields
        try:
            if stream:
                error = _stream(arrived, fields, protocol, answer, tokens)
            else:
                protocol.answer(body, answer)
        except (msgspec.DecodeError, UnicodeDecodeError):
            error = _malformed(body)
        if answer.error:
            error = answer.kind or "error_in_body"
    elif error not in ("bad_content_type", "bad_encoding") and stream and status == 200 and sent is not None:
        _salvage(arrived, fields, protocol, answer, tokens)
    # A gateway that counts nothing writes 0.
    stated = answer.output_tokens is not None and (answer.output_tokens > 0 or len(tokens) < 2)
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
        retry_after=None if error is None else _retry_after(fields, end),
    )


def _stream(
    arrived: Arrived,
    fields: dict[bytes, bytes],
    protocol: Protocol,
    answer: Answer,
    tokens: list[tuple[int, int]],
) -> str | None:
    """Read the events of a whole stream; the error class, or None."""
    _events(arrived, fields, protocol, answer, tokens)
    if not tokens:
        return None if answer.error else "empty_stream"
    return "truncated" if protocol.ends and not answer.finished else None


def _events(
    arrived: Arrived,
    fields: dict[bytes, bytes],
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
        if b"event-stream" in kind and starts_as_sse(arrived.body):
            framing = "sse"
    found: Counts = []
    try:
        if framing == "raw":
            for piece, end in zip(arrived.pieces, accumulate(map(len, arrived.pieces)), strict=True):
                if read(piece, answer) != NO_TOKEN:
                    found.append((end - 1, 0))
        else:
            read_events(arrived.body, framing, read, answer, found)
    finally:  # what came before an error has arrived
        if found:
            offsets, counts = zip(*found, strict=True)
            reads = map(bisect_right, repeat(arrived.arrived), offsets)
            tokens.extend(zip(map([*arrived.stamps, arrived.stamps[-1]].__getitem__, reads), counts, strict=True))


def _salvage(
    arrived: Arrived,
    fields: dict[bytes, bytes],
    protocol: Protocol,
    answer: Answer,
    tokens: list[tuple[int, int]],
) -> None:
    """What a broken stream had delivered: counted as tokens, never as latencies."""
    try:
        _events(arrived, fields, protocol, answer, tokens)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return


def _counted(tokens: list[tuple[int, int]]) -> int:
    return sum(max(1, count) for _, count in tokens)


def _head(head: bytes) -> tuple[int | None, dict[bytes, bytes]]:
    lines = head.split(b"\r\n")
    code = lines[0][9:12]
    fields = {}
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        fields[name.lower()] = value.strip().lower()
    return (int(code) if len(code) == 3 and code.isdigit() else None), fields


def _retry_after(fields: dict[bytes, bytes], end: int) -> int | None:
    """Seconds from `end` (ns) until the client may ask again; None without a Retry-After that can be read.

    Both forms of RFC 9110, 10.2.3: seconds, or a date, whose past is now.
    """
    value = fields.get(b"retry-after", b"")[:64].decode("latin-1")
    if value.isascii() and value.isdigit():
        return min(int(value), _LONGEST_WAIT_S)
    try:
        at = parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError, IndexError):
        return None
    return min(max(0, round(at - end / 1e9)), _LONGEST_WAIT_S)


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


def _refuses(body: bytes) -> bool:
    """Is it a JSON object of an error? Gateways answer so, with status 200, where a stream was asked for."""
    try:
        said = read_json(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return isinstance(said, dict) and bool(said.get("error"))


def _malformed(body: bytes) -> str:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return "bad_utf8"
    return "malformed_event"
