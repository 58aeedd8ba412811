"""What servers answer, event by event: which events carry tokens, how many tokens they state, what they report as used.

A decoder reads one event's data (or one whole body) into the `Answer` and returns how many tokens the event holds:
`NO_TOKEN`, `UNSTATED` (a token event whose count the server does not give), or the count. Malformed data raises
`msgspec.DecodeError` or `UnicodeDecodeError`; the caller tells them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from inferaudit.bench.json_values import member, read_json, token_count

NO_TOKEN = -1
UNSTATED = 0


class Answer:
    """What one response said so far. `finished` is the server's own end mark; token counts are None where not given."""

    __slots__ = (
        "cached_tokens", "error", "fields", "finished", "input_tokens", "kind", "objects", "output_tokens", "uncounted",
    )  # fmt: skip

    def __init__(self) -> None:
        self.input_tokens: int | None = None
        self.output_tokens: int | None = None
        self.cached_tokens: int | None = None
        self.uncounted = False  # did a token event come without a count? A total is then that of all so far
        self.objects: bool | None = None  # of an unknown API: was the first event a JSON object? Then none is text
        self.finished = False
        self.error = False
        self.kind = ""  # the class of the error, where the API states one
        self.fields: dict[bytes, bytes] = {}  # the headers, where the form of the body is in them


Decoder = Callable[[bytes, Answer], int]


class _Details(msgspec.Struct):
    cached_tokens: int | float | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | float | None = None  # some gateways write 9.0
    completion_tokens: int | float | None = None
    prompt_tokens_details: _Details | None = None


class _Choice(msgspec.Struct):
    delta: dict[str, Any] | None = None
    message: Any = None
    text: str | None = None
    finish_reason: str | None = None
    token_ids: list[int] | None = None
    logprobs: Any = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None
    object: Any = None


_strict = msgspec.json.Decoder(_Chunk).decode
_TEXT_FIELDS = ("content", "reasoning_content", "reasoning", "tool_calls", "refusal", "function_call")


def _chunk(data: bytes) -> _Chunk:
    try:
        return _strict(data)
    except (msgspec.DecodeError, RecursionError):
        value = read_json(data)
    try:
        return msgspec.convert(value, _Chunk)
    except UnicodeEncodeError as error:  # half a character where none belongs
        raise msgspec.DecodeError(str(error)) from None


def openai_event(data: bytes, answer: Answer) -> int:
    """One chunk of a streamed chat or text completion."""
    if data.startswith(b"[DONE]"):  # as clients read it, whatever is behind it
        answer.finished = True
        return NO_TOKEN
    chunk = _chunk(data)
    if chunk.error or chunk.object == "error":
        answer.error = True
        return NO_TOKEN
    choices = chunk.choices
    if choices is None and chunk.usage is None:
        raise msgspec.DecodeError("an event with neither choices nor usage")
    stated = NO_TOKEN
    for choice in choices or ():
        if choice.finish_reason:  # some write an empty one until the end
            answer.finished = True
            answer.error = answer.error or choice.finish_reason in ("abort", "error")
        if (choice.text is not None) if choice.delta is None else _has_text(choice.delta):
            stated = max(stated, UNSTATED) + len(_listed(choice))
    before = answer.output_tokens or 0
    written = None if chunk.usage is None else _openai_usage(chunk.usage, answer)
    if stated == UNSTATED:
        if written is None:
            answer.uncounted = True
        elif not answer.uncounted:  # continuous usage statistics
            stated = max(UNSTATED, written - before)
    return stated


def openai_body(data: bytes, answer: Answer) -> int:
    """A whole chat or text completion."""
    body = _chunk(data)
    if body.error or body.object == "error":
        answer.error = True
        return NO_TOKEN
    if not body.choices:
        raise msgspec.DecodeError("a completion without choices")
    for choice in body.choices:
        if choice.message is None and choice.text is None:
            raise msgspec.DecodeError("a choice with neither message nor text")
        answer.error = answer.error or choice.finish_reason in ("abort", "error")
    if body.usage is not None:
        _openai_usage(body.usage, answer)
    answer.finished = True
    return UNSTATED


def embeddings_body(data: bytes, answer: Answer) -> int:
    """Embeddings or rankings: OpenAI's `data`, TEI's bare list, Ollama's `embeddings`, a reranker's `results`."""
    body = read_json(data)
    answer.finished = True
    if isinstance(body, list) and body:
        return NO_TOKEN
    _object(body, answer)
    if answer.error:
        return NO_TOKEN
    if not any(isinstance(body.get(key), list) and body[key] for key in ("data", "embeddings", "results")):
        raise msgspec.DecodeError("an answer without data")
    usage = body.get("usage")
    if isinstance(usage, dict):
        answer.input_tokens = token_count(usage.get("prompt_tokens", usage.get("total_tokens")))
    elif "prompt_eval_count" in body:
        answer.input_tokens = token_count(body["prompt_eval_count"])
    return NO_TOKEN


def ollama_event(data: bytes, answer: Answer) -> int:
    """One line of Ollama's stream, or its whole answer; the last has `done` and the counts."""
    line = _object(read_json(data), answer)
    if answer.error:
        return NO_TOKEN
    message = line.get("message")
    text = line.get("response") if message is None else member(message, "content")
    if not isinstance(text, str):
        raise msgspec.DecodeError("a line with neither message nor response")
    thinking = member(message, "thinking") or line.get("thinking")
    if line.get("done"):
        answer.finished = True
        answer.input_tokens = token_count(line.get("prompt_eval_count"))
        answer.output_tokens = token_count(line.get("eval_count"))
        return UNSTATED if text or thinking else NO_TOKEN
    return UNSTATED


def llamacpp_event(data: bytes, answer: Answer) -> int:
    """llama.cpp's own /completion: `content`, `tokens`, and `stop` in the last."""
    event = _object(read_json(data), answer)
    if answer.error:
        return NO_TOKEN
    content = event.get("content")
    if not isinstance(content, str):
        raise msgspec.DecodeError("an event without content")
    tokens = event.get("tokens")
    stated = len(tokens) if isinstance(tokens, list) and tokens else UNSTATED
    if event.get("stop"):
        answer.finished = True
        answer.input_tokens = token_count(event.get("tokens_evaluated"))
        answer.output_tokens = token_count(event.get("tokens_predicted"))
        answer.cached_tokens = token_count(member(event.get("timings"), "cache_n"))
        return stated if content else NO_TOKEN
    return stated


def tgi_event(data: bytes, answer: Answer) -> int:
    """TGI's own stream: one token an event; the last has `generated_text` and the count."""
    event = _object(read_json(data), answer)
    if answer.error:
        return NO_TOKEN
    if not isinstance(event.get("token"), dict):
        raise msgspec.DecodeError("an event without token")
    if event.get("generated_text") is not None:
        answer.finished = True
        answer.output_tokens = token_count(member(event.get("details"), "generated_tokens"))
    return 1


def tgi_body(data: bytes, answer: Answer) -> int:
    """TGI's whole answer: an object, or a list of one."""
    body = read_json(data)
    if isinstance(body, list) and body:
        body = body[0]
    body = _object(body, answer)
    if not answer.error:
        if not isinstance(body.get("generated_text"), str):
            raise msgspec.DecodeError("an answer without generated_text")
        details = body.get("details")
        answer.output_tokens = token_count(member(details, "generated_tokens"))
        prefill = member(details, "prefill")
        answer.input_tokens = len(prefill) if isinstance(prefill, list) and prefill else None
        answer.finished = True
    return UNSTATED


def triton_generate_event(data: bytes, answer: Answer) -> int:
    """Triton's generate extension: any output of an event is a token event; nothing marks the end."""
    event = _object(read_json(data), answer)
    answer.finished = True
    return NO_TOKEN if answer.error or not event else UNSTATED


def requires(*keys: str) -> Decoder:
    """A decoder of a JSON object that must hold one of `keys`."""

    def decode(data: bytes, answer: Answer) -> int:
        body = _object(read_json(data, python=True), answer)
        if not answer.error and all(body.get(key) is None for key in keys):
            raise msgspec.DecodeError(f"an answer without {' or '.join(keys)}")
        answer.finished = True
        return NO_TOKEN

    return decode


def _listed(choice: _Choice) -> Sequence[Any]:
    """The tokens that a choice lists one by one, by their ids or their log probabilities; none where it does not."""
    if choice.token_ids is not None or choice.logprobs is None:
        return choice.token_ids or ()
    listed = member(choice.logprobs, "content") or member(choice.logprobs, "tokens")  # of a chat, of a text completion
    return listed if isinstance(listed, list) else ()


def _has_text(delta: dict[str, Any]) -> bool:
    # The role is sent before anything was generated; some servers repeat it in every event, then only text counts.
    for name in _TEXT_FIELDS:
        value = delta.get(name)
        if value is not None and (value or "role" not in delta):
            return True
    return False


def _openai_usage(usage: _Usage, answer: Answer) -> int | None:
    """What it says goes into `answer`, and what it leaves out leaves that as it is; the output tokens it states."""
    read, written = token_count(usage.prompt_tokens), token_count(usage.completion_tokens)
    if read is not None:
        answer.input_tokens = read
    if written is not None:
        answer.output_tokens = written
    if usage.prompt_tokens_details is not None:
        answer.cached_tokens = token_count(usage.prompt_tokens_details.cached_tokens)
    return written


def _object(value: Any, answer: Answer) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise msgspec.DecodeError("not an object")
    if value.get("error"):
        answer.error = True
    return value
