"""The APIs on the wire: one small request for each, and what its answer must look like. Pure.

Sources: OpenAI API reference, Open Inference Protocol v2, TensorFlow Serving REST API, TorchServe inference API, the
documentation of TGI, TEI, Ollama and llama.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from inferaudit.collect.http_client import parse_json
from inferaudit.facts.endpoint import Usage

REQUEST_ID = "inferaudit-0001"
PROMPT = "Say hello in one short sentence."
TOKENS = 16
Json = dict[str, Any]
_TEXT_FIELDS = ("content", "reasoning_content", "reasoning", "tool_calls", "refusal", "function_call")
_DATATYPES = {"BOOL": False, "BYTES": "hello", "FP16": 0.0, "FP32": 0.0, "FP64": 0.0, "BF16": 0.0}
_TF_TYPES = {"DT_STRING": "hello", "DT_BOOL": False, "DT_FLOAT": 0.0, "DT_DOUBLE": 0.0, "DT_HALF": 0.0}


@dataclass(frozen=True, slots=True)
class Wire:
    """One API. `framing` None = it has no streams; `usage` says that a proper answer states its token counts."""

    name: str
    path: str
    stream_path: str = ""
    framing: Literal["sse", "ndjson"] | None = None
    end: Literal["done_marker", "done_field", "eof"] = "eof"
    usage: bool = False

    def route(self, prefix: str, model: str, *, stream: bool) -> str:
        """The request path; `prefix` is where a server keeps its OpenAI routes."""
        path = self.stream_path if stream and self.stream_path else self.path
        return (prefix if self.name.startswith("openai-") else "") + path.replace("{model}", quote(model, safe=""))


@dataclass(frozen=True, slots=True)
class Said:
    """What a whole answer or an event said. `wrong` is a break of the API's form; `error` an error inside a 200."""

    kind: Literal["answer", "token", "role", "done", "other"] = "other"
    wrong: str | None = None
    error: str | None = None
    usage: Usage | None = None
    model: str | None = None
    finish: str | None = None


WIRES: dict[str, Wire] = {
    wire.name: wire
    for wire in (
        Wire("openai-chat", "/v1/chat/completions", framing="sse", end="done_marker", usage=True),
        Wire("openai-completions", "/v1/completions", framing="sse", end="done_marker", usage=True),
        Wire("openai-embeddings", "/v1/embeddings", usage=True),
        Wire("openai-rerank", "/v1/rerank"),
        Wire("oip-v2", "/v2/models/{model}/infer"),
        Wire("tgi", "/generate", stream_path="/generate_stream", framing="sse", usage=True),
        Wire("tei", "/embed"),
        Wire("tf-serving", "/v1/models/{model}:predict"),
        Wire("torchserve", "/predictions/{model}"),
        Wire("ollama", "/api/chat", framing="ndjson", end="done_field", usage=True),
        Wire("llama.cpp", "/completion", framing="sse", end="done_field", usage=True),
        Wire("custom", ""),
    )
}
# The same questions and answers, carried in another way.
WIRES |= {"oip-v2-binary": WIRES["oip-v2"], "oip-v2-grpc": WIRES["oip-v2"], "tf-serving-grpc": WIRES["tf-serving"]}
WIRES["llamacpp"] = WIRES["llama.cpp"]


def body_for(api: str, model: str, *, stream: bool, prompt: str = PROMPT, tokens: int = TOKENS) -> Json:
    """A small request of the API; for tensor APIs see :func:`tensor_body`."""
    if api in ("openai-chat", "openai-completions"):
        chat: Json = {"messages": [{"role": "user", "content": prompt}]} if api == "openai-chat" else {"prompt": prompt}
        body = {"model": model, **chat, "max_tokens": tokens, "temperature": 0}
        return body | ({"stream": True, "stream_options": {"include_usage": True}} if stream else {})
    if api == "openai-embeddings":
        return {"model": model, "input": [prompt]}
    if api == "openai-rerank":
        return {"model": model, "query": prompt, "documents": [prompt, "Good night."]}
    if api == "tgi":
        return {"inputs": prompt, "parameters": {"max_new_tokens": tokens, "details": True}}
    if api == "tei":
        return {"inputs": [prompt], "truncate": True}
    if api == "ollama":
        options = {"num_predict": tokens, "temperature": 0}
        return {"model": model, "messages": [{"role": "user", "content": prompt}], "stream": stream, "options": options}
    if api == "llama.cpp":
        return {"prompt": prompt, "n_predict": tokens, "temperature": 0, "stream": stream}
    return {"instances": [[0.0]]}


def tensor_body(api: str, metadata: Any) -> Json | None:
    """A request of zeros with the shapes that the model's metadata states; None where the metadata do not say."""
    if not isinstance(metadata, dict):
        return None
    if api == "oip-v2":
        inputs = [_oip_input(tensor) for tensor in _items(metadata.get("inputs")) if isinstance(tensor, dict)]
        return {"id": REQUEST_ID, "inputs": inputs} if inputs and None not in inputs else None
    signature: Any = metadata
    for step in ("metadata", "signature_def", "signature_def", "serving_default", "inputs"):
        signature = signature.get(step) if isinstance(signature, dict) else None
    if not isinstance(signature, dict) or not signature:
        return None
    columns = {}
    for name, tensor in signature.items():
        shape = _shape(_dimensions(tensor))
        if shape is None:
            return None
        columns[name] = _filled(shape, _TF_TYPES.get(str(tensor.get("dtype")), 0))
    return {"inputs": columns}


def _oip_input(tensor: Mapping[str, Any]) -> Json | None:
    shape, kind = _shape(tensor.get("shape")), str(tensor.get("datatype", ""))
    if shape is None or not kind:
        return None
    count = 1
    for size in shape:
        count *= size
    zero = _DATATYPES.get(kind, 0)
    return {"name": str(tensor.get("name", "")), "shape": shape, "datatype": kind, "data": [zero] * count}


def _dimensions(tensor: Any) -> list[Any] | None:
    """The sizes in TensorFlow's tensor description; None where it is none."""
    shape = tensor.get("tensor_shape") if isinstance(tensor, dict) else None
    if not isinstance(shape, dict):
        return None
    return [dim.get("size", "1") for dim in _items(shape.get("dim")) if isinstance(dim, dict)]


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _shape(sizes: Any) -> list[int] | None:
    """Sizes with each open dimension as 1; None when they are no sizes or more than a million elements."""
    if not isinstance(sizes, list):
        return None
    try:
        shape = [1 if int(size) < 0 else int(size) for size in sizes]
    except (TypeError, ValueError, OverflowError):
        return None
    count = 1
    for size in shape:
        count *= size
    return shape if 0 < count <= 1_000_000 else None


def _filled(shape: list[int], zero: Any) -> Any:
    return zero if not shape else [_filled(shape[1:], zero) for _ in range(shape[0])]


def read_answer(api: str, text: str) -> Said:
    """What a whole answer with status 200 says."""
    document = parse_json(text)
    if document is None:
        return Said("answer") if api in ("custom", "torchserve") and text.strip() else Said(wrong="no JSON")
    if error := _error(document):
        return Said("answer", error=error)
    if api in ("openai-chat", "openai-completions"):
        return _openai_answer(api, document)
    if api == "tgi" and isinstance(document, list) and document:
        document = document[0]
    if api == "tei":
        good = isinstance(document, list) and document and all(isinstance(row, list) and row for row in document)
        return Said("answer", wrong=None if good else "no list of vectors")
    if not isinstance(document, dict):
        return Said("answer", wrong=None if api in ("custom", "torchserve") else "no JSON object")
    return _object_answer(api, document)


def _openai_answer(api: str, document: Any) -> Said:
    choices = document.get("choices") if isinstance(document, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return Said("answer", wrong="no choices")
    message = choices[0].get("message")
    whole = isinstance(message, dict) if api == "openai-chat" else isinstance(choices[0].get("text"), str)
    wrong = None if whole else f"a choice without {'message' if api == 'openai-chat' else 'text'}"
    if wrong is None and choices[0].get("finish_reason") is None:
        wrong = "a choice without finish_reason"
    return Said("answer", wrong, usage=usage_of(document), model=_text(document, "model"), finish=_finish(choices))


def _object_answer(api: str, document: Json) -> Said:
    needed = {
        "openai-embeddings": "data",
        "openai-rerank": "results",
        "oip-v2": "outputs",
        "tgi": "generated_text",
        "ollama": "message",
        "llama.cpp": "content",
    }.get(api)
    wrong = f"no {needed}" if needed and needed not in document else None
    if api == "tf-serving" and not {"predictions", "outputs"} & set(document):
        wrong = "neither predictions nor outputs"
    if api == "openai-embeddings" and wrong is None:
        data = document["data"]
        good = isinstance(data, list) and data and isinstance(data[0], dict) and data[0].get("embedding")
        wrong = None if good else "data without embeddings"
    if api == "ollama" and wrong is None and document.get("done") is not True:
        wrong = "not done"
    model = _text(document, "model") or _text(document, "model_name")
    finish = _text(document, "done_reason") or _text(document, "stop_type")
    return Said("answer", wrong, usage=usage_of(document), model=model, finish=finish)


def read_event(api: str, data: str, *, first_token_seen: bool) -> Said:
    """What one event of a stream says. A role with nothing beside it is no token (nor is it late: then it is one)."""
    if data.strip() == "[DONE]":
        return Said("done")
    document = parse_json(data)
    if not isinstance(document, dict):
        return Said(wrong="an event that is no JSON object")
    if error := _error(document):
        return Said(error=error)
    usage, model = usage_of(document), _text(document, "model")
    if api == "ollama":
        message = document.get("message")
        if not isinstance(message, dict):
            return Said(wrong="a line without message")
        if document.get("done"):
            return Said("done", usage=usage, model=model, finish=_text(document, "done_reason"))
        return Said("token", model=model)
    if api == "llama.cpp":
        if "content" not in document:
            return Said(wrong="an event without content")
        return Said("done" if document.get("stop") else "token", usage=usage, model=model)
    if api == "tgi":
        if not isinstance(document.get("token"), dict):
            return Said(wrong="an event without token")
        return Said("token", usage=usage)
    return _openai_event(api, document, usage, model, first_token_seen)


def _openai_event(api: str, document: Json, usage: Usage | None, model: str | None, late: bool) -> Said:
    choices = document.get("choices")
    if not isinstance(choices, list):
        return Said(usage=usage, model=model, wrong=None if usage else "an event without choices")
    finish = _finish(choices)
    kinds = [_choice_kind(api, choice, late) for choice in choices if isinstance(choice, dict)]
    kind: Literal["token", "role", "other"] = "token" if "token" in kinds else "role" if "role" in kinds else "other"
    return Said(kind, usage=usage, model=model, finish=finish)


def _choice_kind(api: str, choice: Json, late: bool) -> Literal["token", "role", "other"]:
    if api == "openai-completions":
        return "token" if isinstance(choice.get("text"), str) else "other"
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        return "other"
    given = [delta[name] for name in _TEXT_FIELDS if delta.get(name) is not None]
    if any(given):
        return "token"
    if "role" in delta and not late:
        return "role"
    # An empty text is a token whose characters are not complete yet; the closing event's empty text is not.
    return "token" if given and choice.get("finish_reason") is None else "other"


def usage_of(document: Any) -> Usage | None:
    """The token counts in an answer or event, None where it states none."""
    if not isinstance(document, dict):
        return None
    usage = document.get("usage")
    if isinstance(usage, dict):
        details = usage.get("prompt_tokens_details")
        return Usage(
            prompt_tokens=_count(usage.get("prompt_tokens")),
            completion_tokens=_count(usage.get("completion_tokens")),
            total_tokens=_count(usage.get("total_tokens")),
            cached_tokens=_count(details.get("cached_tokens")) if isinstance(details, dict) else None,
        )
    if "eval_count" in document:  # Ollama
        return Usage(
            prompt_tokens=_count(document.get("prompt_eval_count")), completion_tokens=_count(document["eval_count"])
        )
    if "tokens_predicted" in document:  # llama.cpp
        return Usage(
            prompt_tokens=_count(document.get("tokens_evaluated")),
            completion_tokens=_count(document["tokens_predicted"]),
        )
    generated = document.get("details")
    if isinstance(generated, dict) and "generated_tokens" in generated:  # TGI
        return Usage(completion_tokens=_count(generated["generated_tokens"]))
    return None


def error_text(text: str) -> str:
    """The message of an error body, whatever its shape; the text itself where it has none."""
    document = parse_json(text)
    return (_error(document) if document is not None else None) or text


def _error(document: Any) -> str | None:
    if not isinstance(document, dict):
        return None
    error = document.get("error")
    if isinstance(error, dict):
        return str(error.get("message") or error)
    if error:
        return str(error)
    if document.get("object") == "error":
        return str(document.get("message", "an error"))
    return None


def _finish(choices: list[Any]) -> str | None:
    reasons = [c.get("finish_reason") for c in choices if isinstance(c, dict)]
    return next((str(r) for r in reasons if r is not None), None)


def _text(document: Mapping[str, Any], key: str) -> str | None:
    value = document.get(key)
    return value if isinstance(value, str) and value else None


def _count(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
