"""One request as the loop leaves it: stamps and undecoded bytes.

(number, scheduled, sent or None, first byte or 0, end, error class or None, head, pieces, marks, connect ns or None).
`head` alone (bytes) holds a response that came in one read; otherwise `head` and `pieces` are lists, and `marks` says
how many pieces had come at which stamp.

The usual case is shorter: (number, scheduled, sent, end, answer) of a request that was the connection's second or a
later one and whose whole answer came well in one read at `end`.
"""

from __future__ import annotations

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
    bytes | list[bytes],
    list[bytes] | None,
    list[tuple[int, int]] | None,
    int | None,
]

Raw: TypeAlias = Short | Long


def whole(raw: Raw) -> Long:
    """A short one written out, a long one as it is."""
    if len(raw) != 5:
        return raw
    number, scheduled, sent, end, answer = raw
    return number, scheduled, sent, end, end, None, answer, None, None, None
