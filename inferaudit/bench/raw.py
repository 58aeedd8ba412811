"""One request as the loop leaves it: stamps and undecoded bytes.

(number, scheduled, sent or None, first byte or 0, end, error class or None, answer, stamps, ends, connect ns or None).
`answer` holds all bytes as they came, head and framing included. `stamps` says when each read's last byte arrived and
`ends` how many bytes of the answer had been read then; both are None for an answer that came in one read, at `first`.

The usual case is shorter: (number, scheduled, sent, end, answer) of a request that was the connection's second or a
later one and whose whole answer came well in one read at `end`.
"""

from __future__ import annotations

from array import array
from typing import TypeAlias

CANCELLED = "cancelled"  # given up by us: neither a success nor an error of the service

SHORT_BYTES = 240  # what a short one weighs without its answer

Short: TypeAlias = tuple[int, int, int, int, bytes]

Long: TypeAlias = tuple[
    int,
    int,
    int | None,
    int,
    int,
    str | None,
    bytes,
    "array[int] | None",
    "array[int] | None",
    int | None,
]

Raw: TypeAlias = Short | Long


def whole(raw: Raw) -> Long:
    """A short one written out, a long one as it is."""
    if len(raw) != 5:
        stamps, ends = raw[7], raw[8]
        if isinstance(stamps, bytes) and isinstance(ends, bytes):  # as it comes back from the backlog's file
            return (*raw[:7], array("q", stamps), array("q", ends), raw[9])
        return raw
    number, scheduled, sent, end, answer = raw
    return number, scheduled, sent, end, end, None, answer, None, None, None
