"""Time-outs and ends: what a silent or closed connection means for the request on it."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from inferaudit.bench.arrivals import final_head
from inferaudit.bench.connection import Connection

STALE_NS = 20_000_000  # a busy server's two halves of a close lie this far apart
MAX_STALE_NS = 1_000_000_000


MAX_HEAD_BYTES = 262_144
MAX_BODY_BYTES = 256 << 20
TOTAL_BYTES = 2 << 30  # of all answers that are on their way to one worker
ALWAYS_BYTES = 1 << 20  # an answer of this size is taken however many there are
STALE_RULE = 3  # connections closed under a request, and their share of the reused, that make a rule
STALE_SHARE = 0.2
_CHUNKED = re.compile(rb"\ntransfer-encoding:[^\r\n]*chunked", re.IGNORECASE)
_CR, _LF = b"\r\n"


@dataclass(slots=True)
class Reuse:
    """Are connections used again? A server that closes them under requests as a rule gets a new one each time."""

    wanted: bool
    worked: int = 0
    stale: int = 0

    def was_stale(self) -> None:
        """One more was closed under a request."""
        self.stale += 1
        if self.stale >= STALE_RULE and self.stale > STALE_SHARE * self.worked:
            self.wanted = False


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Nanoseconds. `headers`, `stall` and `total` count from sending, from the last byte, and from sending."""

    connect: int
    headers: int
    stall: int
    total: int
    stall_is_explicit: bool = False

    @property
    def check_every(self) -> int:
        """How often to look, so that a time-out is noticed within a fiftieth of it (2 to 50 ms)."""
        return min(50_000_000, max(2_000_000, min(self.headers, self.stall, self.total) // 50))

    @property
    def shortest(self) -> int:
        """No request younger than this is overdue."""
        shortest = min(self.headers, self.total)
        return min(shortest, self.stall) if self.stall_is_explicit else shortest

    def overdue(self, connection: Connection, now: int) -> str | None:
        """The error class of a request that has waited too long, by what it was waiting for."""
        age = now - connection.sent
        if not has_headers(connection):
            return "timeout_headers" if age > min(self.headers, self.total) else None
        silent = now - connection.stamps[-1]
        if self.stall_is_explicit and silent > self.stall:
            return "timeout_stall"
        if age > self.total:
            return "timeout_stall" if silent > self.stall else "timeout_total"
        return None


def has_headers(connection: Connection) -> bool:
    """Have the response's headers arrived whole? Interim ones (1xx) are none."""
    return connection.chunked or final_head(connection.buffer)[1] >= 0


def too_large(connection: Connection, others: Collection[Connection]) -> bool:
    """Headers or a body that no server in its senses sends, or more than its share of what all may hold together.

    `others` are all connections of the worker; an answer beyond its share is let be while the total allows it.
    """
    size = len(connection.buffer)
    if size > MAX_BODY_BYTES or (size > MAX_HEAD_BYTES and not has_headers(connection)):
        return True
    if size <= max(ALWAYS_BYTES, TOTAL_BYTES // max(1, len(others))):
        return False
    return sum(len(other.buffer) for other in others) > TOTAL_BYTES


def is_chunked(answer: bytearray) -> bool:
    """Is the head whole, final, and does it say that the body comes in chunks?"""
    end = answer.find(b"\r\n\r\n")
    return end > 0 and answer[9:10] != b"1" and _CHUNKED.search(answer, 0, end) is not None


def may_end(read: bytes | bytearray, size: int) -> bool:
    """May this read (its first `size` bytes) hold the end of a chunked body?

    That ends with an empty line. An event and the end of its chunk do not, so that streams of one event a read are
    never parsed before their end; where events end in CRLF every read is. A short read may be half an end.
    """
    return size < 8 or read[size - 4] == _CR or read[size - 2] == _LF


def closed_as(connection: Connection, *, reset: bool) -> str | None:
    """The error class of a request whose connection was closed or reset; None when that was the body's proper end."""
    if not has_headers(connection):
        unsent = not connection.first and connection.out is not None
        return "reset_before_send" if unsent else "reset_before_headers"
    if reset:
        return "reset_in_body"
    start, body = final_head(connection.buffer)
    lines = connection.buffer[start:body].lower()
    whole = b"\ncontent-length:" not in lines and b"chunked" not in lines  # then the end of the connection is the end
    return None if whole else "truncated"


def is_stale(connection: Connection, stamp: int, *, refused: bool) -> bool:
    """Did the server close an idle connection while our request was on its way (RFC 9112, 9.5)?

    Only on a connection that had served before and has answered nothing since, and only when nobody can have read the
    request: the kernel refused it (`refused`: a reset answers what arrives at a closed socket, or was never read; or no
    connection to this server was ever used twice), or the end came within a round trip. Client libraries send such a
    request again, and so do we, once; it is counted. What dies later died at work.
    """
    if connection.buffer or connection.requests < 2:
        return False
    age = stamp - connection.sent
    return age <= (MAX_STALE_NS if refused else (connection.connect_ns or 0) + STALE_NS)
