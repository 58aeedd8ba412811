"""The metadata at the head of a GGUF file: names and values, long arrays as their length.

Format: github.com/ggml-org/ggml/blob/master/docs/gguf.md. Reads are bounded whatever the file claims.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO

from inferaudit.errors import UsageError

_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
_MAX_ENTRIES = 100_000
_MAX_TEXT = 1024 * 1024
_MAX_ARRAY = 50_000_000
_KEPT_ARRAY = 4096  # one number a layer; a tokenizer's lists are longer, and of those the length is enough


def read_gguf_header(path: Path) -> dict[str, Any]:
    """Metadata by name; UsageError for what is not GGUF version 2 or 3, or ends too early."""
    try:
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise UsageError(f"{path}: not a GGUF file")
            version, _tensors, entries = struct.unpack("<IQQ", _exactly(file, 20))
            if version not in (2, 3) or entries > _MAX_ENTRIES:
                raise UsageError(f"{path}: GGUF version {version} with {entries} entries is not understood")
            return {_text(file): _value(file, _number(file, "<I")) for _ in range(entries)}
    except (struct.error, ValueError, MemoryError) as error:
        raise UsageError(f"{path}: a broken GGUF header: {error}") from None


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise ValueError("the file ends inside it")
    return data


def _number(file: BinaryIO, layout: str) -> Any:
    return struct.unpack(layout, _exactly(file, struct.calcsize(layout)))[0]


def _text(file: BinaryIO) -> str:
    length = _number(file, "<Q")
    if length > _MAX_TEXT:
        raise ValueError(f"a text of {length} bytes")
    return _exactly(file, length).decode("utf-8", "replace")


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _text(file)
    if kind == _ARRAY:
        return _array(file)
    if kind not in _SCALARS:
        raise ValueError(f"a value of unknown type {kind}")
    return _number(file, _SCALARS[kind])


def _array(file: BinaryIO) -> Any:
    """A short array of numbers as a list, any other as its length."""
    kind, length = _number(file, "<I"), _number(file, "<Q")
    if length > _MAX_ARRAY:
        raise ValueError(f"an array of {length} items")
    if kind == _STRING:
        for _ in range(length):
            size = _number(file, "<Q")
            if size > _MAX_TEXT:
                raise ValueError(f"a text of {size} bytes")
            _exactly(file, size)
        return length
    if kind not in _SCALARS:
        raise ValueError(f"an array of unknown type {kind}")
    size = struct.calcsize(_SCALARS[kind])
    if length > _KEPT_ARRAY:
        for start in range(0, length, _KEPT_ARRAY):
            _exactly(file, min(_KEPT_ARRAY, length - start) * size)
        return length
    return list(struct.unpack(f"<{length}{_SCALARS[kind][1]}", _exactly(file, length * size)))
