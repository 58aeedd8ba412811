"""One request as the loop leaves it: stamps and undecoded bytes.

(number, scheduled, sent or None, first byte or 0, end, error class or None, head, pieces, marks, connect ns or None).
`head` alone (bytes) holds a response that came in one read; otherwise `head` and `pieces` are lists, and `marks` says
how many pieces had come at which stamp.
"""

from __future__ import annotations

from typing import TypeAlias

CANCELLED = "cancelled"  # given up by us: neither a success nor an error of the service

Raw: TypeAlias = tuple[
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
