"""TensorFlow Serving's messages and the JSON of its REST API that says the same.

Sources: tensorflow/core/framework/{tensor,tensor_shape,types}.proto, tensorflow_serving/apis/*.proto and the REST API's
documentation.
"""

from __future__ import annotations

import base64
import struct
from typing import Any

from inferaudit.rpc.messages import message, parse

PREDICT = "/tensorflow.serving.PredictionService/Predict"
METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
STATES = {0: "UNKNOWN", 10: "START", 20: "LOADING", 30: "AVAILABLE", 40: "UNLOADING", 50: "END"}
_SIGNATURES = "signature_def"
# Number, name, field of the values, letter of `struct` for tensor_content.
_TYPES = (
    (1, "DT_FLOAT", "float_val", "f"),
    (2, "DT_DOUBLE", "double_val", "d"),
    (3, "DT_INT32", "int_val", "i"),
    (4, "DT_UINT8", "int_val", "B"),
    (5, "DT_INT16", "int_val", "h"),
    (6, "DT_INT8", "int_val", "b"),
    (7, "DT_STRING", "string_val", ""),
    (9, "DT_INT64", "int64_val", "q"),
    (10, "DT_BOOL", "bool_val", "?"),
    (14, "DT_BFLOAT16", "half_val", ""),
    (17, "DT_UINT16", "int_val", "H"),
    (19, "DT_HALF", "half_val", "e"),
    (22, "DT_UINT32", "uint32_val", "I"),
    (23, "DT_UINT64", "uint64_val", "Q"),
)
_BY_NAME = {name: (number, field) for number, name, field, _ in _TYPES}
_BY_NUMBER = {number: (name, field, letter) for number, name, field, letter in _TYPES}
Json = dict[str, Any]


def status_request(model: str) -> bytes:
    """Ask for the states of a model's versions."""
    return _spec("GetModelStatusRequest", model).SerializeToString()  # type: ignore[no-any-return]  # protobuf is untyped


def status_json(data: bytes) -> Json:
    """The answer as REST gives it; ValueError for bytes that are none."""
    answer = parse("tensorflow.serving.GetModelStatusResponse", data)
    rows = []
    for row in answer.model_version_status:
        said = {"error_code": row.status.error_code or "OK", "error_message": row.status.error_message}
        rows.append({"version": str(row.version), "state": STATES.get(row.state, str(row.state)), "status": said})
    return {"model_version_status": rows}


def metadata_request(model: str) -> bytes:
    """Ask for a model's signatures."""
    request = _spec("GetModelMetadataRequest", model)
    request.metadata_field.append(_SIGNATURES)
    return request.SerializeToString()  # type: ignore[no-any-return]  # protobuf is untyped


def metadata_json(data: bytes) -> Json:
    """The answer as REST gives it; ValueError for bytes that are none."""
    answer = parse("tensorflow.serving.GetModelMetadataResponse", data)
    found = parse("tensorflow.serving.SignatureDefMap", answer.metadata[_SIGNATURES].value)
    signatures = {}
    for name, signature in found.signature_def.items():
        tensors = {"inputs": signature.inputs, "outputs": signature.outputs}
        signatures[name] = {side: {k: _info(v) for k, v in of.items()} for side, of in tensors.items()}
    return {
        "model_spec": {"name": answer.model_spec.name, "version": str(answer.model_spec.version.value)},
        "metadata": {_SIGNATURES: {_SIGNATURES: signatures}},
    }


def predict_request(body: Any, model: str, metadata: Any) -> bytes:
    """The PredictRequest of a REST body (columns under ``inputs``, or rows under ``instances`` of a single input).

    The datatypes are the signature's; ValueError where body and signature do not fit together.
    """
    signature: Any = metadata
    for step in ("metadata", _SIGNATURES, _SIGNATURES, str(_of(body, "signature_name") or "serving_default"), "inputs"):
        signature = _of(signature, step)
    if not isinstance(signature, dict) or not signature:
        raise ValueError("the model's metadata name no inputs of the signature")
    columns = _of(body, "inputs") if _of(body, "inputs") is not None else _of(body, "instances")
    if columns is None:
        raise ValueError("a request with neither inputs nor instances")
    if not isinstance(columns, dict):
        if len(signature) != 1:
            raise ValueError(f"the signature has the inputs {', '.join(sorted(signature))}: name each under inputs")
        columns = {next(iter(signature)): columns}
    request = _spec("PredictRequest", model)
    request.model_spec.signature_name = str(_of(body, "signature_name") or "")
    for name, data in columns.items():
        dtype = str(_of(signature.get(name), "dtype"))
        if dtype not in _BY_NAME:
            raise ValueError(f"the signature has no input {name} of a known datatype")
        _fill(request.inputs[name], dtype, data)
    return request.SerializeToString()  # type: ignore[no-any-return]  # protobuf is untyped


def predict_json(data: bytes) -> Json:
    """A PredictResponse as REST gives it; ValueError for bytes that are none."""
    answer = parse("tensorflow.serving.PredictResponse", data)
    return {"outputs": {name: _nested(tensor) for name, tensor in answer.outputs.items()}}


def _spec(name: str, model: str) -> Any:
    request = message(f"tensorflow.serving.{name}")
    request.model_spec.name = model
    return request


def _info(info: Any) -> Json:
    dims = [{"size": str(dim.size), "name": dim.name} for dim in info.tensor_shape.dim]
    shape = {"dim": dims, "unknown_rank": info.tensor_shape.unknown_rank}
    return {"dtype": _BY_NUMBER.get(info.dtype, ("DT_INVALID",))[0], "tensor_shape": shape, "name": info.name}


def _fill(tensor: Any, dtype: str, data: Any) -> None:
    number, values = _BY_NAME[dtype]
    tensor.dtype = number
    level = data
    while isinstance(level, list):
        tensor.tensor_shape.dim.add(size=len(level))
        level = level[0] if level else None
    elements = _flat(data)
    try:
        if dtype == "DT_STRING":
            elements = [_raw(value) for value in elements]
        elif dtype == "DT_HALF":
            elements = [struct.unpack("<H", struct.pack("<e", value))[0] for value in elements]
        elif dtype == "DT_BFLOAT16":
            elements = [struct.unpack("<H", struct.pack("<f", value)[2:])[0] for value in elements]
        getattr(tensor, values).extend(elements)
    except (TypeError, ValueError, struct.error) as error:
        raise ValueError(f"no {dtype}: {error}") from None


def _nested(tensor: Any) -> Any:
    _, values, letter = _BY_NUMBER.get(tensor.dtype, ("", "", ""))
    if not values:
        raise ValueError(f"an output of the unknown datatype {tensor.dtype}")
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    count = 1
    for size in shape:
        count *= size
    if tensor.tensor_content and letter:
        width = struct.calcsize(letter)
        if len(tensor.tensor_content) != width * count:
            raise ValueError("an output whose bytes do not fill its shape")
        elements: list[Any] = list(struct.unpack(f"<{count}{letter}", tensor.tensor_content))
    else:
        elements = list(getattr(tensor, values))
        if len(elements) == 1:
            elements *= count  # one value stands for all
    if len(elements) != count:
        raise ValueError(f"an output of shape {shape} with {len(elements)} elements")
    return _shaped([e.decode("utf-8", "replace") if isinstance(e, bytes) else e for e in elements], shape)


def _shaped(elements: list[Any], shape: list[int]) -> Any:
    if not shape:
        return elements[0]
    if len(shape) == 1:
        return elements
    step = len(elements) // shape[0] if shape[0] else 0
    return [_shaped(elements[at * step : (at + 1) * step], shape[1:]) for at in range(shape[0])]


def _flat(data: Any) -> list[Any]:
    return [element for part in data for element in _flat(part)] if isinstance(data, list) else [data]


def _raw(value: Any) -> bytes:
    return base64.b64decode(value["b64"]) if isinstance(value, dict) and "b64" in value else str(value).encode()


def _of(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None
