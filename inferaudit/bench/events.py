"""The events of a stream: where each ends in the body, and what it says.

Events are found in the whole body, so that where reads, chunks, lines or characters were cut changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate

import msgspec

from inferaudit.bench.answers import NO_TOKEN, UNSTATED, Answer, Decoder, openai_event
from inferaudit.bench.shape import Shape

_KNOWN_FIELDS = (b"event", b"id", b"retry")
_PING = b"ping"  # the name of events that keep a connection open and say nothing, by custom
_NAME = re.compile(rb"[A-Za-z][\w.-]*")  # of a field that we do not know; other text is no field at all
_BOM = b"\xef\xbb\xbf"  # may stand before an event stream, and says nothing

Counts = list[tuple[int, int]]
"""(offset of the last byte of the event's data line, tokens it states or UNSTATED) of each token event."""


def read_events(body: bytes, framing: str, read: Decoder, answer: Answer, found: Counts) -> None:
    """Add the token events of a stream in `framing` sse or ndjson to `found`; what they say goes into `answer`.

    :class:`msgspec.DecodeError` and UnicodeDecodeError for what is no such stream; `found` then holds what came before.
    """
    if framing == "sse" and read is openai_event and is_simple(body):
        _read_simple(body, answer, found)
        return
    events = sse_events(body) if framing == "sse" else ((line, at) for line, at in _lines(body) if line)
    shape = Shape() if read is openai_event else None
    for data, offset in events:
        if shape is not None and shape.fits(data):
            count = UNSTATED
        else:
            count = read(data, answer)
            if shape is not None and count == UNSTATED:
                shape.learn(data)
        if count != NO_TOKEN:
            found.append((offset, count))


def sse_events(body: bytes) -> Iterator[tuple[bytes, int]]:
    """(data, offset of the last byte of its last line) of each event; :class:`msgspec.DecodeError` for what is no SSE.

    Lines end in LF, CRLF or CR. A last event without its blank line is still given: servers end that way. Fields of
    other names are ignored (WHATWG HTML, 9.2.6); a body that holds nothing else is no event stream.
    """
    if is_simple(body):
        at = 0
        for part in body.split(b"\n\n")[:-1]:
            yield part[6:] if part[5:6] == b" " else part[5:], at + len(part)
            at += len(part) + 2
        return
    data: list[bytes] = []
    last, seen, other, kind = 0, False, b"", b""
    for line, at in _lines(body):
        if not line:
            if data and kind != _PING:
                yield b"\n".join(data), last
            data, kind = [], b""
            continue
        name, _, value = line.partition(b":")
        if not seen:
            name, seen = name.removeprefix(_BOM), True
        if name == b"data":
            data.append(value.removeprefix(b" "))
            last = at
        elif name == b"event":
            kind = value.strip()
        elif name and name not in _KNOWN_FIELDS:
            other = name
            if not _NAME.fullmatch(name):
                raise msgspec.DecodeError(f"no field of an event stream: {name[:20]!r}")
    if other and not last:
        raise msgspec.DecodeError(f"no event in what is called an event stream: {other[:20]!r}")
    if data and kind != _PING:
        yield b"\n".join(data), last


def starts_as_sse(body: bytes) -> bool:
    """False for text that is an event stream in name only, as generators of BentoML send it."""
    known: tuple[bytes, ...] = (b"", b"data", *_KNOWN_FIELDS)
    for line, _ in _lines(body.removeprefix(_BOM).lstrip(b"\r\n")):
        name, colon, _ = line.partition(b":")
        if name in known or not _NAME.fullmatch(name):
            return bool(colon) and name in known
        known = (b"data",)  # after a field of another name: text has lines such as `id: 7` as well
    return False


def is_simple(body: bytes) -> bool:
    """Events of one data line each and nothing else, which is what nearly every server sends.

    Every line feed then belongs to the end of an event, and every end but the last is followed by `data:`.
    """
    return (
        body.startswith(b"data:")
        and body.endswith(b"\n\n")
        and body.count(b"\n") == 2 * body.count(b"\n\ndata:") + 2
        and b"\r" not in body
    )


def _read_simple(body: bytes, answer: Answer, found: Counts) -> None:
    """OpenAI's chunks in simple events: runs of events that differ in their text alone are known without decoding."""
    shape = Shape()
    at, size = 0, len(body)
    while at < size:
        end, start = body.index(b"\n\n", at), _data_start(body, at)
        prefix, data = body[at:start], body[start:end]
        count = openai_event(data, answer)
        if count != NO_TOKEN:
            found.append((end, count))
        at = end + 2
        if count == UNSTATED:
            shape.learn(data)
        if shape.before and body.startswith(prefix + shape.before, at):
            at = _read_run(body, at, prefix + shape.before, shape, answer, found)


def _data_start(body: bytes, at: int) -> int:
    return at + 6 if body[at + 5] == 32 else at + 5  # after "data:" and at most one space


def _read_run(body: bytes, at: int, opening: bytes, shape: Shape, answer: Answer, found: Counts) -> int:
    """Events from `at` on that begin and end as `shape` says; where what is left begins."""
    closing = shape.after + b"\n\n"
    texts = body[at + len(opening) :].split(closing + opening)
    texts.pop()  # with all that follows the run
    around = len(opening) + len(closing)
    for first, last in _plain_runs(texts, shape):
        run = texts[first:last]
        if first < last:
            ends = list(accumulate([len(text) + around for text in run], initial=at))
            found.extend([(end - 2, UNSTATED) for end in ends[1:]])
            shape.worked(last - first)
            at = ends[-1]
        if last < len(texts):  # one that is not plain: an escape in its text, or other events
            stop = at + len(texts[last]) + around
            while at < stop:
                end = body.index(b"\n\n", at)
                count = openai_event(body[_data_start(body, at) : end], answer)
                if count != NO_TOKEN:
                    found.append((end, count))
                at = end + 2
    return at


def _plain_runs(texts: Sequence[bytes], shape: Shape) -> Iterator[tuple[int, int]]:
    """[first, last) of texts in a row which need no decoding; the one at `last`, if there is one, does."""
    if all(texts) and shape.plain(b"".join(texts)):
        yield 0, len(texts)
        return
    first = 0
    for place, text in enumerate(texts):
        if not text or not shape.plain(text):
            yield first, place
            first = place + 1
    if first < len(texts):
        yield first, len(texts)


def _lines(body: bytes) -> Iterator[tuple[bytes, int]]:
    """(line, offset of the last byte of its end)."""
    at = 0
    for line in body.splitlines(keepends=True):  # bytes: LF, CR and CRLF only
        at += len(line)
        yield line.rstrip(b"\r\n"), at - 1
