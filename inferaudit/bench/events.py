"""The events of a stream: where each ends in the body, and what it says.

Events are found in the whole body, so that where reads, chunks, lines or characters were cut changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import accumulate, repeat
from operator import add

import msgspec

from inferaudit.bench.answers import NO_TOKEN, UNSTATED, Answer, Decoder, openai_event
from inferaudit.bench.json_values import BOM
from inferaudit.bench.shape import Shape

_KNOWN_FIELDS = (b"event", b"id", b"retry")
_PING = b"ping"  # the name of events that keep a connection open and say nothing, by custom
_FAULT = b"error"  # the name of events that say what went wrong, in whatever form
_ERROR = b'{"error":"event: error"}'  # what stands for one: every decoder reads it
_NAME = re.compile(rb"[A-Za-z][\w.-]*")  # of a field that we do not know; other text is no field at all
_PART = 65_536  # bytes of a body whose lines are looked at together
_MOST = 1 << 20  # token events of one answer; what has more is sent without end
_BLOCK = 256  # events looked at together: one that fits no more ends the looking

Counts = list[tuple[int, int]]
"""(offset of the last byte of the event's data line, tokens it states or UNSTATED) of each token event."""


def read_events(body: bytes, framing: str, read: Decoder, answer: Answer, found: Counts) -> None:
    """Add the token events of a stream in `framing` sse or ndjson to `found`; what they say goes into `answer`.

    :class:`msgspec.DecodeError` and UnicodeDecodeError for what is no such stream; `found` then holds what came before.
    """
    if framing == "sse" and read is openai_event and (simple := simple_events(body)):
        _read_simple(simple, answer, found)
        return
    events = sse_events(body) if framing == "sse" else ((line, at) for line, at in _lines(body) if line.strip())
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
            if len(found) > _MOST:
                raise msgspec.DecodeError("a stream without end")


def sse_events(body: bytes) -> Iterator[tuple[bytes, int]]:
    """(data, offset of the last byte of its last line) of each event; :class:`msgspec.DecodeError` for what is no SSE.

    Lines end in LF, CRLF or CR. A last event without its blank line is still given: servers end that way. Fields of
    other names are ignored (WHATWG HTML, 9.2.6); a body that holds nothing else is no event stream.
    """
    simple = simple_events(body)
    if simple:
        yield from ((event[_data_start(event) :], end) for event, end in zip(simple, _ends(simple), strict=True))
        return
    data: list[bytes] = []
    last, seen, other, kind = 0, False, b"", b""
    for line, at in _lines(body):
        if not line:
            if data and kind != _PING:
                yield _ERROR if kind == _FAULT else b"\n".join(data), last
            data, kind = [], b""
            continue
        name, _, value = line.partition(b":")
        if not seen:
            name, seen = name.removeprefix(BOM), True
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
        yield _ERROR if kind == _FAULT else b"\n".join(data), last


def starts_as_sse(body: bytes) -> bool:
    """False for text that is an event stream in name only, as generators of BentoML send it."""
    if body.startswith(b"data:"):
        return True
    known: tuple[bytes, ...] = (b"", b"data", *_KNOWN_FIELDS)
    for line, _ in _lines(body.removeprefix(BOM).lstrip(b"\r\n")):
        name, colon, _ = line.partition(b":")
        if name in known or not _NAME.fullmatch(name):
            return bool(colon) and name in known
        known = (b"data",)  # after a field of another name: text has lines such as `id: 7` as well
    return False


def simple_events(body: bytes) -> list[bytes] | None:
    """Events of one data line each and nothing else, which is what nearly every server sends; None for other bodies.

    Every line feed then belongs to the end of an event, and every end but the last is followed by `data:`.
    """
    if not body.startswith(b"data:") or body.count(b"\n\n") > _MOST:
        return None
    events = body.split(b"\n\n")
    rest = events.pop()  # what is behind the last end
    if rest or b"\r" in body or body.count(b"\n") != 2 * len(events):
        return None
    return events if _leading(events, bytes.startswith, b"data:") == len(events) else None


def _ends(events: list[bytes]) -> list[int]:
    """Where each of simple events ends in the body: the offset of its first line feed."""
    return list(map(add, accumulate(map(len, events)), range(0, 2 * len(events), 2)))


def _read_simple(events: list[bytes], answer: Answer, found: Counts) -> None:
    """OpenAI's chunks in simple events: runs of events that differ in their text alone are known without decoding."""
    ends, shape, at = _ends(events), Shape(), 0
    while at < len(events):
        event = events[at]
        start = _data_start(event)
        count = openai_event(event[start:], answer)
        if count != NO_TOKEN:
            found.append((ends[at], count))
        at += 1
        if count == UNSTATED:
            shape.learn(event[start:])
        if shape.before:
            known = _read_run(events, ends, at, event[:start], shape, answer, found)
            shape.worked(known - at)
            at = known


def _data_start(event: bytes) -> int:
    return 6 if event[5:6] == b" " else 5  # after "data:" and at most one space


def _read_run(
    events: list[bytes], ends: list[int], at: int, prefix: bytes, shape: Shape, answer: Answer, found: Counts
) -> int:
    """Events from `at` on that begin and end as `shape` says are added to `found`; where what is left begins."""
    opening, closing = prefix + shape.before, shape.after
    first, last = len(opening), -len(closing)
    while at < len(events) and events[at].startswith(opening):
        block = events[at : at + _BLOCK]
        run = _leading(block[: _leading(block, bytes.startswith, opening)], bytes.endswith, closing)
        texts = [event[first:last] for event in block[:run]]
        if all(texts) and shape.plain(b"".join(texts)):
            found.extend(zip(ends[at : at + run], repeat(UNSTATED)))
        else:
            for event, end, text in zip(block, ends[at:], texts, strict=False):
                count = UNSTATED if text and shape.plain(text) else openai_event(event[len(prefix) :], answer)
                if count != NO_TOKEN:
                    found.append((end, count))
        at += run
        if run < len(block):
            break
    return at


def _leading(events: list[bytes], test: Callable[[bytes, bytes], bool], edge: bytes) -> int:
    """How many of them, from the first on, pass."""
    passed = list(map(test, events, repeat(edge)))
    return passed.index(False) if False in passed else len(passed)


def _lines(body: bytes) -> Iterator[tuple[bytes, int]]:
    """(line, offset of the last byte of its end), part by part: a body of nothing but line ends has millions.

    Many empty lines may be given as one.
    """
    start = at = 0
    while start < len(body):
        end = body.find(b"\n", start + _PART) + 1 or body.find(b"\r", start + _PART) + 1 or len(body)
        part = body[start:end]
        for line in part.splitlines(keepends=True) if part.strip(b"\r\n") else [part]:  # bytes: LF, CR and CRLF only
            at += len(line)
            yield line.rstrip(b"\r\n"), at - 1
        start = end
