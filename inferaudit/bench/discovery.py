"""What must be asked before load: what an API of tensors takes, from which one request is built."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from inferaudit.bench.answers_binary import HEADER
from inferaudit.bench.protocols import Protocol, to_json
from inferaudit.errors import CollectError, UsageError
from inferaudit.plan import LoadPlan
from inferaudit.rpc import tensorflow
from inferaudit.rpc.messages import message, parse
from inferaudit.rpc.tensors import binary_request, infer_request

_NUMBERS = {"FP16", "FP32", "FP64", "BF16"}
_MAX_ELEMENTS = 50_000_000
_OIP = "/inference.GRPCInferenceService/"


@dataclass(frozen=True, slots=True)
class Fixed:
    """The one request of an API whose input is not text: its body (or message) and the headers that belong to it."""

    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def fixed_request(plan: LoadPlan, api: Protocol, template: str) -> Fixed | None:
    """The one request of an API of tensors; None where requests differ.

    Asks the server for the model's inputs unless a `template` gives the request in JSON; :class:`CollectError` when
    it does not say. A template of the binary and gRPC forms is sent as it is: it may not vary.
    """
    makers: dict[str, Callable[[LoadPlan, str], Fixed]] = {
        "oip-v2": _json,
        "oip-v2-binary": _binary,
        "oip-v2-grpc": _oip_call,
        "tf-serving-grpc": _tf_call,
    }
    if api.name not in makers or (template and api.name == "oip-v2"):
        return None
    if not plan.model:
        raise UsageError(f"--model is needed for the API {api.name}")
    if "{{prompt}}" in template or "{{index}}" in template:
        raise UsageError(f"--template: the API {api.name} sends one request again and again; no {{{{prompt}}}} in it")
    try:
        return makers[api.name](plan, template)
    except ValueError as error:
        raise (UsageError if template else CollectError)(f"{plan.model}: {error}") from None


def _json(plan: LoadPlan, template: str) -> Fixed:
    return Fixed(to_json(_infer_body(plan, template)))


def _binary(plan: LoadPlan, template: str) -> Fixed:
    body, length = binary_request(_infer_body(plan, template))
    return Fixed(body, (("Content-Type", "application/octet-stream"), (HEADER, str(length))))


def _infer_body(plan: LoadPlan, template: str) -> dict[str, Any]:
    if template:
        return _from_template(plan, template)
    from inferaudit.bench.fetch import get_json

    return infer_body(get_json(plan, f"/v2/models/{quote(plan.model, safe='')}"), plan.model)


def _oip_call(plan: LoadPlan, template: str) -> Fixed:
    if template:
        body = _from_template(plan, template)
    else:
        from inferaudit.bench.rpc import ask

        asked = message("inference.ModelMetadataRequest", name=plan.model).SerializeToString()
        metadata = parse("inference.ModelMetadataResponse", ask(plan, f"{_OIP}ModelMetadata", asked))
        inputs = [{"name": t.name, "datatype": t.datatype, "shape": list(t.shape)} for t in metadata.inputs]
        body = infer_body({"inputs": inputs}, plan.model)
    return Fixed(infer_request(body, plan.model).SerializeToString())


def _tf_call(plan: LoadPlan, template: str) -> Fixed:
    from inferaudit.bench.rpc import ask

    metadata = tensorflow.metadata_json(ask(plan, tensorflow.METADATA, tensorflow.metadata_request(plan.model)))
    body = _from_template(plan, template) if template else {"inputs": _columns(metadata)}
    return Fixed(tensorflow.predict_request(body, plan.model, metadata))


def _from_template(plan: LoadPlan, template: str) -> dict[str, Any]:
    try:
        body = json.loads(template.replace("{{model}}", json.dumps(plan.model)[1:-1]))
    except json.JSONDecodeError as error:
        raise UsageError(f"the template is not JSON: {error.msg} (line {error.lineno})") from None
    if not isinstance(body, dict):
        raise UsageError("the template is no JSON object")
    return body


def infer_body(metadata: Any, model: str) -> dict[str, Any]:
    """An inference request from a model's metadata: each unknown dimension 1, every element a small number or word."""
    inputs = metadata.get("inputs") if isinstance(metadata, dict) else None
    if not isinstance(inputs, list) or not inputs:
        raise CollectError(f"the server does not say what inputs {model} takes; give a request with --template FILE")
    return {"id": "inferaudit", "inputs": [_tensor(tensor, model) for tensor in inputs]}


def _tensor(tensor: Any, model: str) -> dict[str, Any]:
    try:
        name, datatype = str(tensor["name"]), str(tensor["datatype"])
        shape = [1 if int(size) < 0 else int(size) for size in tensor["shape"]]
    except (KeyError, TypeError, ValueError):
        raise CollectError(f"the metadata of {model} describes an input without name, datatype and shape") from None
    elements = _elements(shape, name, model)
    value: Any = "text" if datatype == "BYTES" else True if datatype == "BOOL" else 0.5 if datatype in _NUMBERS else 1
    return {"name": name, "shape": shape, "datatype": datatype, "data": [value] * elements}


def _columns(metadata: dict[str, Any]) -> dict[str, Any]:
    """Inputs for the default signature of TensorFlow Serving, each unknown dimension 1."""
    signature = metadata["metadata"]["signature_def"]["signature_def"].get("serving_default", {}).get("inputs", {})
    columns = {}
    for name, info in signature.items():
        kind = info["dtype"]
        value: Any = "text" if kind == "DT_STRING" else True if kind == "DT_BOOL" else 1
        value = 0.5 if kind in ("DT_FLOAT", "DT_DOUBLE", "DT_HALF", "DT_BFLOAT16") else value
        shape = [max(1, int(dim["size"])) for dim in info["tensor_shape"]["dim"]]
        _elements(shape, name, "the model")
        for size in reversed(shape):
            value = [value] * size
        columns[name] = value
    return columns


def _elements(shape: list[int], name: str, model: str) -> int:
    elements = 1
    for size in shape:
        elements *= size
    if elements > _MAX_ELEMENTS:
        raise CollectError(f"input {name} of {model} has {elements} elements; give a request with --template FILE")
    return elements
