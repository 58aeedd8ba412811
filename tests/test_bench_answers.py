"""What servers say in their answers, as they really write it: what counts, what is an error, and what is neither."""

from __future__ import annotations

import json

import pytest

from inferaudit.bench.decode import Response, decode
from inferaudit.bench.protocols import protocol

SSE = "text/event-stream"
NDJSON = "application/x-ndjson"
TEXT = "text/plain; charset=utf-8"
DONE = "data: [DONE]\n\n"


def answered(api: str, body: str, kind: str = "application/json", *, stream: bool = False) -> Response:
    content = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body.encode())}\r\n\r\n{body}".encode()
    return decode((0, 0, 0, 1, 2, None, content, None, None, None), protocol(api), stream)


def chat(*events: object, end: str = DONE) -> Response:
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    return answered("openai-chat", body + end, SSE, stream=True)


def word(text: str = " a", finish: str | None = None, used: int | None = None) -> dict[str, object]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    usage = None if used is None else {"prompt_tokens": 2, "completion_tokens": used}
    return {"choices": [choice], "usage": usage}


@pytest.mark.parametrize(
    ("events", "counts"),
    [
        ([word(), word(), word(" z", "stop", 3)], [0, 0, 0]),  # the total, and no count of this event
        ([word(), word(), word(), word("", "stop", 3)], [0, 0, 0, 0]),  # as Mistral and DeepSeek end
        ([word(used=1), word(), word(used=3)], [1, 0, 0]),
        ([word(used=1), word(used=2), word(used=3)], [1, 1, 1]),
        ([word(used=2), word(used=2), word(used=5)], [2, 0, 3]),
        ([word("a b c", "stop", 3)], [3]),
    ],
)
def test_a_total_counts_an_events_tokens_only_where_all_before_it_were_counted(
    events: list[object], counts: list[int]
) -> None:
    response = chat(*events)
    assert ([count for _, count in response.tokens], response.error) == (counts, None)
    assert response.output_tokens == (5 if counts == [2, 0, 3] else 3)


def test_usage_that_says_nothing_takes_nothing_back() -> None:
    response = chat(word(), word("", "stop", 7), {"choices": [], "usage": {"completion_tokens": None}})
    assert (response.input_tokens, response.output_tokens, response.stated) == (2, 7, True)


def test_a_server_that_counts_nothing_says_0() -> None:
    response = chat(word(), word(), {"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0}})
    assert (response.output_tokens, response.stated) == (2, False)


@pytest.mark.parametrize("number", ["9" * 30, "1e300", "9223372036854775807", "-5", "1.5", "9" * 5000])
def test_a_count_beyond_all_sense_is_none(number: str) -> None:
    usage = 'data: {"choices":[],"usage":{"completion_tokens":' + number + "}}\n\n"
    response = chat(word(), word(), end=usage + DONE)
    assert response.error in (None, "malformed_event")
    assert (response.output_tokens, response.stated) == (2, False)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("api", ["custom", "openai-chat", "tgi", "tf-serving", "openai-embeddings"])
@pytest.mark.parametrize("text", ['{"a":' * 100_000, '{"choices":[{"delta":' + '{"a":' * 100_000])
def test_what_is_nested_without_end_is_malformed_and_no_bug(api: str, text: str, stream: bool) -> None:
    asked = stream and protocol(api).event is not None
    response = answered(api, f"data: {text}\n\n" if asked else text, SSE if asked else "application/json", stream=asked)
    assert response.error == (None if (api, asked) == ("custom", True) else "malformed_event")
    assert answered("openai-chat", text, stream=True).error == "bad_content_type"


@pytest.mark.parametrize(
    ("api", "body", "kind", "tokens"),
    [
        ("custom", '{ "as said', TEXT, None),
        ("torchserve", "{tabby", TEXT, None),
        ("openai-chat", '\ufeff{"choices":[{"message":{"content":"a"}}]}', "application/json", None),
        ("custom", '{"y": [NaN, -Infinity]}', "application/json", None),
        ("tf-serving", '{"predictions": [NaN, -Infinity, 1.0]}', "application/json", None),
        ("custom", "data: def\n\ndata: {\n\ndata: {}\n\ndata: }\n\n", SSE, 4),
        ("ollama", '{"response":"\\ud83d"}\n \n{"response":"\\ude00"}\n{"response":"","done":true}', NDJSON, 2),
        ("openai-chat", 'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: [DONE] \n\n', SSE, 1),
    ],
)
def test_a_right_answer_is_none_the_worse_for_its_form(api: str, body: str, kind: str, tokens: int | None) -> None:
    response = answered(api, body, kind, stream=tokens is not None)
    assert (response.error, len(response.tokens)) == (None, tokens or 0)


@pytest.mark.parametrize(
    ("api", "body", "kind", "error"),
    [
        ("openai-chat", "event: error\ndata: out of memory\n\n", SSE, "error_in_body"),
        ("custom", "data: a\n\nevent: error\ndata: out of memory\n\n", SSE, "error_in_body"),
        ("custom", 'data: a\n\ndata: {"error":"out of memory"}\n\n', SSE, "error_in_body"),
        ("tgi", "event: error\ndata: out of memory\n\n", SSE, "error_in_body"),
        ("custom", 'data: {"a":1}\n\ndata: {"a"\n\n', SSE, "malformed_event"),
        ("openai-chat", 'data: {"choices":[{"delta":{"content":"a"},"finish_reason":""}]}\n\n', SSE, "truncated"),
        ("openai-chat", 'data: {"choices":[],"usage":"\\ud83d"}\n\n', SSE, "malformed_event"),
        ("custom", '{"a": [1,', "application/json", "malformed_event"),
        ("openai-embeddings", '{"data":[]}', "application/json", "malformed_event"),
        ("tei", "[]", "application/json", "malformed_event"),
        ("openai-rerank", '{"results":[]}', "application/json", "malformed_event"),
        ("oip-v2", '{"model_name":"m","outputs":null}', "application/json", "malformed_event"),
        ("tf-serving", '{"predictions":null}', "application/json", "malformed_event"),
    ],
)
def test_a_wrong_answer_is_no_success(api: str, body: str, kind: str, error: str) -> None:
    assert answered(api, body, kind, stream=kind == SSE).error == error


def test_of_openais_responses_only_the_deltas_are_tokens() -> None:
    def said(*events: dict[str, object]) -> Response:
        body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
        return answered("custom", body, SSE, stream=True)

    opening = [{"type": "response.created", "response": {"usage": None}}, {"type": "response.in_progress"}]
    deltas = [{"type": f"response.{of}.delta", "delta": "a"} for of in ("reasoning_text", "output_text", "output_text")]
    used = {"usage": {"input_tokens": 9, "output_tokens": 3}}
    ending = [{"type": "response.output_text.done"}, {"type": "response.completed", "response": used}]
    whole = said(*opening, *deltas, *ending)
    assert (whole.error, len(whole.tokens), whole.input_tokens, whole.output_tokens) == (None, 3, 9, 3)
    for failure in ({"type": "response.failed", "response": {}}, {"type": "error", "message": "out of memory"}):
        assert said(*opening, *deltas, failure).error == "error_in_body"
