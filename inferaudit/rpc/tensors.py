"""Tensors of the Open Inference Protocol: from JSON to the bytes of its binary form, and to messages of gRPC.

Bytes are little-endian and row by row; a BYTES element is its length in four bytes and itself.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterable, Iterator
from typing import Any

from inferaudit.rpc.messages import message

# Width in bytes and letter of `struct`. BF16 has none: it is the upper half of an FP32.
_FORMATS = {
    "BOOL": (1, "?"), "INT8": (1, "b"), "INT16": (2, "h"), "INT32": (4, "i"), "INT64": (8, "q"), "UINT8": (1, "B"),
    "UINT16": (2, "H"), "UINT32": (4, "I"), "UINT64": (8, "Q"), "FP16": (2, "e"), "FP32": (4, "f"), "FP64": (8, "d"),
    "BF16": (2, ""),
}  # fmt: skip
WIDTHS = {name: width for name, (width, _) in _FORMATS.items()}
_CONTENTS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip
Json = dict[str, Any]


def to_bytes(datatype: str, data: Any) -> bytes:
    """The elements of nested lists in binary form; ValueError for a datatype or an element that cannot be."""
    elements = list(_flat(data))
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(raw)) + raw for raw in map(_raw, elements))
    if datatype not in _FORMATS:
        raise ValueError(f"the datatype {datatype} has no binary form")
    try:
        if datatype == "BF16":
            return b"".join(struct.pack("<f", value)[2:] for value in elements)
        return struct.pack(f"<{len(elements)}{_FORMATS[datatype][1]}", *elements)
    except (struct.error, TypeError, OverflowError) as error:
        raise ValueError(f"no {datatype}: {error}") from None


def from_bytes(datatype: str, raw: bytes) -> list[Any]:
    """The elements in `raw`; ValueError where the bytes are no whole number of them."""
    if datatype == "BYTES":
        return list(_strings(raw))
    width, letter = _FORMATS.get(datatype, (0, ""))
    if not width or len(raw) % width:
        raise ValueError(f"{len(raw)} bytes are no tensor of {datatype}")
    if datatype == "BF16":
        raw = b"".join(b"\0\0" + raw[at : at + 2] for at in range(0, len(raw), 2))
        width, letter = 4, "f"
    return list(struct.unpack(f"<{len(raw) // width}{letter}", raw))


def binary_request(body: Json) -> tuple[bytes, int]:
    """A request of JSON tensors with their data behind it in binary form, and the length of the JSON part.

    It asks for binary outputs. ValueError for tensors that have no binary form.
    """
    import json

    inputs, blobs = [], []
    for tensor in body.get("inputs", ()):
        raw = to_bytes(tensor["datatype"], tensor.get("data", []))
        parameters = {**tensor.get("parameters", {}), "binary_data_size": len(raw)}
        inputs.append({**{k: v for k, v in tensor.items() if k != "data"}, "parameters": parameters})
        blobs.append(raw)
    parameters = {**body.get("parameters", {}), "binary_data_output": True}
    text = json.dumps({**body, "inputs": inputs, "parameters": parameters}, separators=(",", ":")).encode()
    return text + b"".join(blobs), len(text)


def infer_request(body: Json, model: str, version: str = "") -> Any:
    """The ModelInferRequest of a request in JSON, its tensors in `raw_input_contents`; ValueError for what is none."""
    if not isinstance(body, dict) or not isinstance(body.get("inputs"), list):
        raise ValueError("a request without inputs")
    request = message("inference.ModelInferRequest", model_name=model, model_version=version)
    request.id = str(body.get("id", ""))
    _set_parameters(request.parameters, body.get("parameters"))
    for tensor in body["inputs"]:
        if not isinstance(tensor, dict):
            raise ValueError("an input that is no object")
        datatype, shape = str(tensor.get("datatype", "")), tensor.get("shape", [])
        try:
            added = request.inputs.add(name=str(tensor.get("name", "")), datatype=datatype, shape=shape)
        except (TypeError, ValueError):
            raise ValueError("a shape that is no list of integers") from None
        _set_parameters(added.parameters, tensor.get("parameters"))
        request.raw_input_contents.append(to_bytes(datatype, tensor.get("data", [])))
    for output in body.get("outputs") or ():
        request.outputs.add(name=str(output.get("name", "")))
    return request


def infer_answer(response: Any) -> Json:
    """A ModelInferResponse as its JSON; ValueError where tensors and bytes do not fit together."""
    raws = list(response.raw_output_contents)
    if raws and len(raws) != len(response.outputs):
        raise ValueError(f"{len(response.outputs)} outputs and {len(raws)} contents")
    outputs = []
    for place, output in enumerate(response.outputs):
        if raws:
            data = from_bytes(output.datatype, raws[place])
        else:
            data = list(getattr(output.contents, _CONTENTS.get(output.datatype, "fp32_contents")))
        data = [_text(value) if isinstance(value, bytes) else value for value in data]
        shape = list(output.shape)
        count = 1
        for extent in shape:
            count *= extent
        if count != len(data):
            raise ValueError(f"output {output.name} has the shape {shape} and {len(data)} elements")
        outputs.append({"name": output.name, "datatype": output.datatype, "shape": shape, "data": data})
    said = {"model_name": response.model_name, "model_version": response.model_version, "id": response.id}
    return {key: value for key, value in said.items() if value} | {"outputs": outputs}


def _set_parameters(target: Any, parameters: Any) -> None:
    for name, value in parameters.items() if isinstance(parameters, dict) else ():
        kind = "bool" if isinstance(value, bool) else "int64" if isinstance(value, int) else "string"
        if isinstance(value, float):
            kind = "double"
        setattr(target[str(name)], f"{kind}_param", value if kind != "string" else str(value))


def _flat(data: Any) -> Iterator[Any]:
    if not isinstance(data, list | tuple):
        yield data
        return
    for value in data:
        yield from _flat(value)


def _raw(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, dict) and isinstance(value.get("b64"), str):
        return base64.b64decode(value["b64"])
    return str(value).encode()


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _strings(raw: bytes) -> Iterable[str]:
    at = 0
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 4], "little")
        if len(raw) < at + 4 + size:
            raise ValueError("a BYTES tensor that breaks off")
        yield _text(raw[at + 4 : at + 4 + size])
        at += 4 + size
