"""JSON as servers write it, which is more than the standard allows and may be less than it promises."""

from __future__ import annotations

import json
from typing import Any

import msgspec

BOM = b"\xef\xbb\xbf"  # may stand before text, and says nothing
_MOST_TOKENS = 1 << 40  # no answer holds more: who states more counts nothing
_decode = msgspec.json.Decoder().decode


def read_json(data: bytes, *, python: bool = False) -> Any:
    """The value; :class:`msgspec.DecodeError` or UnicodeDecodeError for what is none, or is nested beyond all sense.

    Read beyond what msgspec does: behind a byte order mark, and half a character, as JavaScript and Java cut their
    strings. `python`: NaN and Infinity are numbers too, as Python's own libraries write them, and TensorFlow Serving by
    its documentation.
    """
    try:
        return _decode(data)
    except RecursionError as error:
        raise msgspec.DecodeError(str(error)) from None
    except msgspec.DecodeError:
        half, number = b"\\ud" in data.lower(), python and (b"NaN" in data or b"Infinity" in data)
        if not (half or number or data.startswith(BOM)):
            raise
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from None


def member(value: Any, key: str) -> Any:
    """The member of that name; None where there is none, or no object."""
    return value.get(key) if isinstance(value, dict) else None


def token_count(value: Any) -> int | None:
    """A number of tokens, some gateways write 9.0; None for what is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS else None
