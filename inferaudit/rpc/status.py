"""Statuses of gRPC, and what they are in words of HTTP, so that one set of checks and error classes judges both.

Source: google/rpc/code.proto, which gives the HTTP mapping, and the gRPC over HTTP/2 protocol for reset streams.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

# Name and HTTP status by number.
_CODES: tuple[tuple[str, int], ...] = (
    ("OK", 200),
    ("CANCELLED", 499),
    ("UNKNOWN", 500),
    ("INVALID_ARGUMENT", 400),
    ("DEADLINE_EXCEEDED", 504),
    ("NOT_FOUND", 404),
    ("ALREADY_EXISTS", 409),
    ("PERMISSION_DENIED", 403),
    ("RESOURCE_EXHAUSTED", 429),
    ("FAILED_PRECONDITION", 400),
    ("ABORTED", 409),
    ("OUT_OF_RANGE", 400),
    ("UNIMPLEMENTED", 501),
    ("INTERNAL", 500),
    ("UNAVAILABLE", 503),
    ("DATA_LOSS", 500),
    ("UNAUTHENTICATED", 401),
)
OK, UNIMPLEMENTED, UNAVAILABLE, RESOURCE_EXHAUSTED = 0, 12, 14, 8
_REFUSED_STREAM, _ENHANCE_YOUR_CALM = 7, 11  # error codes of HTTP/2


def name_of(code: int) -> str:
    """``UNAVAILABLE`` for 14; a number that gRPC does not know stays one."""
    return _CODES[code][0] if 0 <= code < len(_CODES) else f"status {code}"


def http_status(code: int) -> int:
    """The HTTP status that means the same; 500 for a number that gRPC does not know."""
    return _CODES[code][1] if 0 <= code < len(_CODES) else 500


def of_reset(error: int) -> int | None:
    """The status of a stream that the server reset before it was worked on; None for any other reset."""
    return {_REFUSED_STREAM: UNAVAILABLE, _ENHANCE_YOUR_CALM: RESOURCE_EXHAUSTED}.get(error)


def read_status(fields: Mapping[bytes, bytes]) -> tuple[int, str] | None:
    """(code, message) from the last headers of an answer; None where they state none."""
    code = fields.get(b"grpc-status", b"")
    if not re.fullmatch(rb"[0-9]{1,5}", code):
        return None
    return int(code), unquote(fields.get(b"grpc-message", b"").decode("latin-1"), "utf-8", "replace")
