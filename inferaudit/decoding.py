"""Bytes and plain objects into types, safely from several threads.

msgspec works a type's fields out when the type is first used, and leaves the unfinished result where another thread
finds it: threads that build decoders of the same new Struct at once crash the interpreter (0.22; shown in
tests/test_decoding.py). Collectors are threads, so what they decode is worked out here, one type at a time.
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_one_at_a_time = threading.Lock()
_known: dict[Any, msgspec.json.Decoder[Any]] = {}


def decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """The decoder of JSON that holds a `kind`: one for all callers, and free to be used by several threads."""
    with _one_at_a_time:
        if kind not in _known:
            _known[kind] = msgspec.json.Decoder(kind)
        return _known[kind]


def converted(value: Any, kind: type[T]) -> T:
    """`value`, made of plain objects, as a `kind`; `msgspec.ValidationError` where it is none."""
    decoder(kind)
    return msgspec.convert(value, kind)
