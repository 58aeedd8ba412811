"""From the bytes of an answer and the stamps of its reads: head, body, and how much of the body had arrived when.

The parser sees the whole answer at once. Where each chunk lay in it follows from the chunks' sizes when they are
written as every server writes them, which the total proves; else the answer is parsed again, read by read.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import httptools

_MOST_CHUNKS = 1 << 20  # more are not looked up one by one, for want of memory
_LAST_CHUNK = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Arrived:
    """An answer taken apart: `pieces` are its chunks, or reads; `arrived[i]` body bytes had come at `stamps[i]`."""

    head: bytes
    body: bytes
    pieces: Sequence[bytes]
    arrived: Sequence[int]
    stamps: Sequence[int]


def take_apart(answer: bytes, stamps: Sequence[int], ends: Sequence[int]) -> Arrived:
    """`ends[i]` bytes of `answer` had been read at `stamps[i]`."""
    start, at = final_head(answer)
    head = answer[start : at - 4] if at >= 0 else answer[start:]
    at = at if at >= 0 else len(answer)
    fields = head.lower()
    if b"\ntransfer-encoding:" not in fields:
        length = _length(fields)
        body = answer[at:] if length is None else answer[at : at + length]
        arrived = [min(max(0, end - at), len(body)) for end in ends]
        pieces = [body[a:b] for a, b in pairwise([0, *arrived]) if b > a]
        return Arrived(head, body, pieces, arrived, stamps)
    receiver = _Receiver()
    with contextlib.suppress(httptools.HttpParserError, httptools.HttpParserUpgrade):
        httptools.HttpResponseParser(receiver).feed_data(answer)
    pieces = receiver.pieces
    arrived = _of_chunks(answer, at, pieces, ends) or _again(answer, ends)
    return Arrived(head, b"".join(pieces), pieces, arrived, stamps)


def final_head(answer: bytes | bytearray) -> tuple[int, int]:
    """Where the final head begins, after interim ones, and where the body does (-1: that head is not whole yet)."""
    start, end = 0, answer.find(b"\r\n\r\n") + 4
    while end > 3 and answer[start + 9 : start + 10] == b"1":
        start, end = end, answer.find(b"\r\n\r\n", end) + 4
    return start, end if end > 3 else -1


def _length(fields: bytes) -> int | None:
    _, found, rest = fields.partition(b"\ncontent-length:")
    value = rest.partition(b"\r\n")[0].strip()
    return int(value) if found and value.isdigit() and len(value) < 20 else None


def _of_chunks(answer: bytes, start: int, pieces: Sequence[bytes], ends: Sequence[int]) -> list[int] | None:
    """Body bytes read by each of `ends`; None when the chunks are not written in the usual way."""
    if len(pieces) > _MOST_CHUNKS:
        return None
    sizes = list(map(len, pieces))
    framed = {size: size + len(b"%x" % size) + 4 for size in set(sizes)}
    lasts = list(accumulate(map(framed.__getitem__, sizes), initial=start))
    if lasts[-1] + len(_LAST_CHUNK) != len(answer) or not answer.endswith(_LAST_CHUNK):
        return None
    bodies = list(accumulate(sizes, initial=0))
    whole = dict(zip(lasts, bodies, strict=True))
    whole[len(answer)] = bodies[-1]

    def within(end: int) -> int:
        """Of a read that ended in the midst of a chunk, or of the head."""
        place = bisect_right(lasts, end) - 1
        if place < 0:
            return 0
        size = sizes[place] if place < len(sizes) else 0
        return bodies[place] + min(size, max(0, end - lasts[place] - (framed.get(size, 2) - size - 2)))

    try:
        return list(map(whole.__getitem__, ends))
    except KeyError:
        return [body if (body := whole.get(end)) is not None else within(end) for end in ends]


def _again(answer: bytes, ends: Sequence[int]) -> list[int]:
    """Read by read, as it came."""
    receiver = _Receiver()
    parser = httptools.HttpResponseParser(receiver)
    arrived: list[int] = []
    seen = at = 0
    with contextlib.suppress(httptools.HttpParserError, httptools.HttpParserUpgrade):
        for start, end in pairwise([0, *ends]):
            parser.feed_data(answer[start:end])
            seen += sum(map(len, receiver.pieces[at:]))
            at = len(receiver.pieces)
            arrived.append(seen)
    seen += sum(map(len, receiver.pieces[at:]))
    return arrived + [seen] * (len(ends) - len(arrived))


class _Receiver:
    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.on_body = self.pieces.append
