"""What must be asked before load: the inputs of an Open Inference Protocol model, from which one request is built."""

from __future__ import annotations

from typing import Any

from inferaudit.bench.protocols import Protocol, to_json
from inferaudit.errors import CollectError, UsageError
from inferaudit.plan import LoadPlan

_NUMBERS = {"FP16", "FP32", "FP64", "BF16"}
_MAX_ELEMENTS = 50_000_000


def fixed_body(plan: LoadPlan, api: Protocol) -> bytes | None:
    """The one body of an API whose input is not text; None where bodies differ per request.

    Tries ``GET /v2/models/M``; :class:`CollectError` when the server does not say what its inputs are.
    """
    if api.name != "oip-v2":
        return None
    if not plan.model:
        raise UsageError("--model is needed for the API oip-v2")
    from inferaudit.bench.fetch import get_json

    metadata = get_json(plan, f"/v2/models/{plan.model}")
    return to_json(infer_body(metadata, plan.model))


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
    elements = 1
    for size in shape:
        elements *= size
    if elements > _MAX_ELEMENTS:
        raise CollectError(f"input {name} of {model} has {elements} elements; give a request with --template FILE")
    value: Any = "text" if datatype == "BYTES" else True if datatype == "BOOL" else 0.5 if datatype in _NUMBERS else 1
    return {"name": name, "shape": shape, "datatype": datatype, "data": [value] * elements}
