"""Answers of services whose API we do not know; where events are OpenAI's or Anthropic's, they are read as such."""

from __future__ import annotations

from typing import Any

import msgspec

from inferaudit.bench.answers import NO_TOKEN, UNSTATED, Answer, openai_event
from inferaudit.bench.json_values import member, read_json, token_count


def any_body(data: bytes, answer: Answer) -> int:
    """Whatever the service answers; JSON with an `error` key is an error, as is an empty body."""
    answer.finished = True
    if not data.strip():
        raise msgspec.DecodeError("an empty body")
    if data[:1] == b"{":
        kind = answer.fields.get(b"content-type", b"")
        body = _object(data, may_be_text=len(kind) > 0 and b"json" not in kind)
        answer.error = bool(body.get("error"))
        usage = body.get("usage")
        if isinstance(usage, dict):
            answer.input_tokens = token_count(usage.get("prompt_tokens"))
            answer.output_tokens = token_count(usage.get("completion_tokens"))
    return NO_TOKEN


def any_event(data: bytes, answer: Answer) -> int:
    """Any event of a stream we know nothing of: each counts as a token event, OpenAI's own shape is read as such.

    A model that writes a program sends text that begins with a brace: what the first event is not, no other need be.
    """
    answer.finished = True
    if data.startswith(b"[DONE]"):
        return NO_TOKEN
    body = _object(data, may_be_text=not answer.objects) if data[:1] == b"{" else {}
    if answer.objects is None:
        answer.objects = bool(body)
    kind = str(body.get("type"))
    if body.get("error") or kind in ("error", "response.failed"):
        answer.error = True
        return NO_TOKEN
    if "choices" in body:
        return openai_event(data, answer)
    if kind.startswith(("message_", "content_block_")):
        return _message_event(body, answer)
    if kind.startswith("response."):
        return _response_event(body, kind, answer)
    return UNSTATED if data else NO_TOKEN


def _object(data: bytes, *, may_be_text: bool) -> dict[str, Any]:
    """The JSON object in what begins as one; empty for text, where it may be that."""
    try:
        body: dict[str, Any] = read_json(data, python=True)
    except (msgspec.DecodeError, UnicodeDecodeError):
        if may_be_text:
            return {}
        raise
    return body


def _message_event(event: dict[str, Any], answer: Answer) -> int:
    """An event of Anthropic's Messages API, which gateways and vLLM speak as well: only deltas hold what was generated.

    https://docs.anthropic.com/en/docs/build-with-claude/streaming
    """
    _usage(member(event.get("message"), "usage") or event.get("usage"), answer)
    delta = event.get("delta") if event["type"] == "content_block_delta" else None
    return UNSTATED if isinstance(delta, dict) and delta.get("type") != "signature_delta" else NO_TOKEN


def _response_event(event: dict[str, Any], kind: str, answer: Answer) -> int:
    """An event of OpenAI's Responses API: only deltas hold what was generated, the last event the usage.

    https://platform.openai.com/docs/api-reference/responses-streaming
    """
    _usage(member(event.get("response"), "usage"), answer)
    return UNSTATED if kind.endswith(".delta") else NO_TOKEN


def _usage(usage: Any, answer: Answer) -> None:
    if (read := token_count(member(usage, "input_tokens"))) is not None:
        answer.input_tokens = read
    if (written := token_count(member(usage, "output_tokens"))) is not None:
        answer.output_tokens = written
