"""Answers of the Open Inference Protocol with binary tensors: JSON first, then the bytes of each output in turn.

The header Inference-Header-Content-Length says where the JSON ends. Source: Triton's binary tensor data extension.
"""

from __future__ import annotations

from typing import Any

import msgspec

from inferaudit.bench.answers import NO_TOKEN, Answer, requires
from inferaudit.rpc.tensors import WIDTHS

HEADER = "Inference-Header-Content-Length"
_json_body = requires("outputs")


def binary_body(data: bytes, answer: Answer) -> int:
    """The whole answer. A server may answer in JSON all the same, and says so by leaving the header out."""
    try:
        return _read(data, answer)
    except (msgspec.DecodeError, ValueError, TypeError, RecursionError):
        answer.error, answer.kind = True, "malformed_event"
        return NO_TOKEN


def _read(data: bytes, answer: Answer) -> int:
    stated = answer.fields.get(HEADER.lower().encode())
    if stated is None:
        return _json_body(data, answer)
    length = int(stated) if stated.isdigit() and len(stated) < 20 else -1
    if not 0 < length <= len(data):
        raise msgspec.DecodeError(f"{HEADER} is not the length of a part of the body")
    result = _json_body(data[:length], answer)
    if answer.error:
        return result
    outputs = msgspec.json.decode(data[:length])["outputs"]
    sizes = [_size(output) for output in outputs] if isinstance(outputs, list) else []
    if not sizes or sum(sizes) != len(data) - length:
        raise msgspec.DecodeError("the outputs' sizes are not those of the bytes that follow")
    return result


def _size(output: Any) -> int:
    """How many bytes follow for one output; a shape that says otherwise is malformed."""
    parameters = output.get("parameters") if isinstance(output, dict) else None
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is None and isinstance(output, dict) and "data" in output:
        return 0  # this one is in the JSON
    if not isinstance(size, int) or size < 0:
        raise msgspec.DecodeError("an output with neither data nor binary_data_size")
    width, count = WIDTHS.get(str(output.get("datatype"))), 1
    shape = output.get("shape") or []
    if not isinstance(shape, list):
        raise msgspec.DecodeError("an output whose shape is no list")
    for extent in shape:
        count *= extent if isinstance(extent, int) else -1
    if width is not None and size != width * count:
        raise msgspec.DecodeError("an output whose shape and size differ")
    return size
