"""The APIs that can be put under load: where a request goes, how its body is built, how its answer is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from inferaudit.bench import answers, answers_any, answers_binary, answers_rpc
from inferaudit.bench.answers import Decoder
from inferaudit.errors import UsageError

Framing = Literal["sse", "ndjson", "raw", "auto"]
Body = Callable[[str, str, int, bool], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Protocol:
    """One API. `path` takes {model}; `stream_path` where streaming has a route of its own.

    `event` is None where the API does not stream; `framing` is how its stream is cut into events. `ends` says that a
    whole stream carries an end mark, so that one without it was cut. `lenient` answers need no content type; `content`
    are the types they must have where those are not JSON and event streams. `rpc`: `path` is a method of gRPC.
    """

    name: str
    path: str
    body: Body
    answer: Decoder
    event: Decoder | None = None
    framing: Framing = "sse"
    stream_path: str = ""
    ends: bool = True
    generates: bool = True
    lenient: bool = False
    stream_default: bool = True
    content: tuple[bytes, ...] = ()
    rpc: bool = False

    def target(self, base: str, model: str, stream: bool) -> str:
        """The request path under a server's base path, whose query stays behind it."""
        path = (self.stream_path or self.path) if stream else self.path
        return below(base, path.replace("{model}", quote(model, safe="")))


def below(base: str, route: str) -> str:
    """`route` under a base path, whose query stays behind it."""
    path, mark, query = base.partition("?")
    return path + route + mark + query


def protocol(name: str) -> Protocol:
    """The API called `name`; :class:`UsageError` lists all."""
    try:
        return PROTOCOLS[name]
    except KeyError:
        raise UsageError(f"--api {name!r} is not known; known are {', '.join(PROTOCOLS)}") from None


def _chat(model: str, prompt: str, tokens: int, stream: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": tokens}
    return _openai_options(body, stream)


def _completions(model: str, prompt: str, tokens: int, stream: bool) -> dict[str, Any]:
    return _openai_options({"model": model, "prompt": prompt, "max_tokens": tokens}, stream)


def _openai_options(body: dict[str, Any], stream: bool) -> dict[str, Any]:
    body["temperature"] = 0
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def _embeddings(model: str, prompt: str, tokens: int, stream: bool) -> dict[str, Any]:
    return {"model": model, "input": [prompt]}


def _rerank(model: str, prompt: str, tokens: int, stream: bool) -> dict[str, Any]:
    words = prompt.split(" ")
    half = max(1, len(words) // 2)
    return {"model": model, "query": " ".join(words[:half]), "documents": [" ".join(words[half:]) or prompt, prompt]}


def _tgi(model: str, prompt: str, tokens: int, stream: bool) -> dict[str, Any]:
    return {"inputs": prompt, "parameters": {"max_new_tokens": tokens, "details": True}}


def _tei(model: str, prompt: str, tokens: int, stream: bool) -> dict[str, Any]:
    return {"inputs": [prompt], "truncate": True}


def _ollama(model: str, prompt: str, tokens: int, stream: bool) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt}]
    options = {"num_predict": tokens, "temperature": 0}
    return {"model": model, "messages": messages, "stream": stream, "options": options}


def _llamacpp(model: str, prompt: str, tokens: int, stream: bool) -> dict[str, Any]:
    return {"prompt": prompt, "n_predict": tokens, "temperature": 0, "stream": stream, "return_tokens": True}


def _generate(model: str, prompt: str, tokens: int, stream: bool) -> dict[str, Any]:
    # What is no input of the model becomes a parameter of the request; under `parameters` too it would be there twice.
    return {"text_input": prompt, "max_tokens": tokens, "stream": stream}


def _instances(model: str, prompt: str, tokens: int, stream: bool) -> dict[str, Any]:
    return {"instances": [[1.0, 2.0, 3.0, 4.0]]}


def _nothing(model: str, prompt: str, tokens: int, stream: bool) -> dict[str, Any]:
    return {"inputs": []}


def to_json(body: dict[str, Any]) -> bytes:
    """Compact JSON, as a client library would send it."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


PROTOCOLS: dict[str, Protocol] = {
    p.name: p
    for p in (
        Protocol("openai-chat", "/v1/chat/completions", _chat, answers.openai_body, answers.openai_event),
        Protocol("openai-completions", "/v1/completions", _completions, answers.openai_body, answers.openai_event),
        Protocol("openai-embeddings", "/v1/embeddings", _embeddings, answers.embeddings_body, generates=False),
        Protocol("openai-rerank", "/v1/rerank", _rerank, answers.embeddings_body, generates=False),
        Protocol("oip-v2", "/v2/models/{model}/infer", _nothing, answers.requires("outputs"), generates=False),
        Protocol(
            "oip-v2-binary",
            "/v2/models/{model}/infer",
            _nothing,
            answers_binary.binary_body,
            generates=False,
            content=(b"application/octet-stream", b"application/json"),
        ),
        Protocol(
            "oip-v2-grpc",
            "/inference.GRPCInferenceService/ModelInfer",
            _nothing,
            answers_rpc.infer_response,
            generates=False,
            content=(b"application/grpc",),
            rpc=True,
        ),
        Protocol(
            "tf-serving-grpc",
            "/tensorflow.serving.PredictionService/Predict",
            _nothing,
            answers_rpc.predict_response,
            generates=False,
            content=(b"application/grpc",),
            rpc=True,
        ),
        Protocol(
            "triton-generate",
            "/v2/models/{model}/generate",
            _generate,
            answers_any.any_body,
            answers.triton_generate_event,
            stream_path="/v2/models/{model}/generate_stream",
            ends=False,
        ),
        Protocol("tgi", "/generate", _tgi, answers.tgi_body, answers.tgi_event, stream_path="/generate_stream"),
        Protocol("tei", "/embed", _tei, answers.embeddings_body, generates=False),
        Protocol(
            "tf-serving",
            "/v1/models/{model}:predict",
            _instances,
            answers.requires("predictions", "outputs"),
            generates=False,
        ),
        Protocol(
            "torchserve",
            "/predictions/{model}",
            _instances,
            answers_any.any_body,
            answers_any.any_event,
            framing="raw",
            ends=False,
            generates=False,
            lenient=True,
            stream_default=False,
        ),
        Protocol("ollama", "/api/chat", _ollama, answers.ollama_event, answers.ollama_event, framing="ndjson"),
        Protocol("llama.cpp", "/completion", _llamacpp, answers.llamacpp_event, answers.llamacpp_event),
        Protocol(
            "custom",
            "",
            _instances,
            answers_any.any_body,
            answers_any.any_event,
            framing="auto",
            ends=False,
            generates=False,
            lenient=True,
            stream_default=False,
        ),
    )
}
ALIASES = {"llamacpp": "llama.cpp", "openai": "openai-chat", "kserve-v1": "tf-serving", "kserve-v2": "oip-v2"}
PROTOCOLS |= {alias: PROTOCOLS[name] for alias, name in ALIASES.items()}
