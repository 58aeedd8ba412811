"""Decoding: what servers really sent, cut anywhere, gives the same tokens; only stamps follow the cuts."""

from __future__ import annotations

import json
import tracemalloc
from array import array
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferaudit.bench.answers import Answer
from inferaudit.bench.answers_binary import HEADER, binary_body
from inferaudit.bench.decode import Response, decode, sse_events
from inferaudit.bench.protocols import protocol
from inferaudit.bench.raw import Raw
from inferaudit.bench.rows import RowSink

RECORDINGS = Path(__file__).parent / "data" / "streams"

# file → (API, token events, output tokens, error class)
STREAMS = {
    "vllm_chat.http": ("openai-chat", 8, 8, None),
    "vllm_interval_4.http": ("openai-chat", 4, 12, None),
    "vllm_worker_killed.http": ("openai-chat", None, None, "error_in_body"),
    "vllm_sigterm_abort.http": ("openai-chat", None, 92, "error_in_body"),
    "vllm_completions.http": ("openai-completions", 4, 4, None),
    "ollama_chat.http": ("ollama", 5, 8, None),
    "ollama_generate.http": ("ollama", 5, 8, None),
    "kserve_chat.http": ("openai-chat", 2, 2, None),
    "transformers_chat.http": ("openai-chat", None, None, None),
    "mlserver_generate.http": ("triton-generate", 3, 3, None),
}


class _Received:
    """What the loop would have kept, had the bytes come in these reads, a millisecond apart."""

    def __init__(self, content: bytes, cuts: list[int]) -> None:
        self.content = content
        self.ends = array("q", sorted({*(cut for cut in cuts if 0 < cut < len(content)), len(content)}))
        self.stamps = array("q", (1_000_000 * (number + 1) for number in range(len(self.ends))))

    def raw(self) -> Raw:
        return (0, 0, 0, self.stamps[0], self.stamps[-1], None, self.content, self.stamps, self.ends, None)


@cache
def recording(name: str) -> bytes:
    return (RECORDINGS / name).read_bytes()


def received(name: str, cuts: list[int]) -> Response:
    return decode(_Received(recording(name), cuts).raw(), protocol(STREAMS[name][0]), True)


@pytest.mark.parametrize("name", STREAMS)
def test_recorded_streams(name: str) -> None:
    _, events, tokens, error = STREAMS[name]
    response = received(name, [])
    assert response.error == error
    assert response.status == 200
    if events is not None:
        assert len(response.tokens) == events
    if tokens is not None:
        assert response.output_tokens == tokens
    assert len(response.tokens) > 0


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_cuts_change_nothing_but_stamps(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(STREAMS)))
    content = recording(name)
    cuts = data.draw(st.lists(st.integers(1, len(content) - 1), max_size=40))
    whole, cut = received(name, []), received(name, cuts)
    assert [count for _, count in cut.tokens] == [count for _, count in whole.tokens]
    assert (cut.error, cut.output_tokens, cut.input_tokens) == (whole.error, whole.output_tokens, whole.input_tokens)
    stamps = [stamp for stamp, _ in cut.tokens]
    assert stamps == sorted(stamps)
    assert all(0 < stamp <= cut.end for stamp in stamps)


def test_an_event_arrives_with_the_last_byte_of_its_line() -> None:
    content = recording("vllm_chat.http")
    line = content.index(b" w418")
    for cut, late in ((content.index(b"\n", line), True), (content.index(b"\n", line) + 1, False)):
        stamps = [stamp for stamp, _ in received("vllm_chat.http", [cut]).tokens]
        assert stamps[0] == 1_000_000
        assert (stamps[1] == 2_000_000) is late


def test_several_stated_tokens_add_their_gap_once() -> None:
    sink = RowSink("s", 0, protocol("openai-chat"), True, True)
    content = recording("vllm_interval_4.http")
    cuts = [content.index(b"data: {", content.index(marker) - 200) for marker in (b"w418", b"w433", b"w473")]
    sink.add(_Received(content, cuts).raw())
    table = sink.table()
    assert table.columns["token_events"][0] == 4
    assert table.columns["output_tokens"][0] == 12
    assert sum(count for _, count in table.itl_us["s"]) == 11
    assert dict(table.itl_us["s"])[0] == 8
    assert len(table.tokens) == 4


@pytest.mark.parametrize(
    ("listed", "tokens"),
    [
        ('"logprobs":{"content":[{"token":"a"},{"token":"b"}]}', 4),
        ('"logprobs":{"tokens":["a","b"]}', 4),
        ('"logprobs":{"tokens":["a","b"]},"token_ids":[1,2,3]', 6),
        ('"logprobs":["a","b"]', 2),
    ],
)
def test_tokens_listed_one_by_one_are_stated(listed: str, tokens: int) -> None:
    event = 'data: {"choices":[{"delta":{"content":"ab"},%s,"finish_reason":%s}]}\n\n'
    body = (event % (listed, "null") + event % (listed, '"stop"')).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(body)
    response = decode(_Received(head + body, []).raw(), protocol("openai-chat"), True)
    assert (response.error, response.output_tokens, len(response.tokens)) == (None, tokens, 2)


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1), max_size=8),
       st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from(["", "\ufeff"]))  # fmt: skip
def test_any_line_ending_gives_the_same_events(texts: list[str], end: str, bom: str) -> None:
    body = (bom + "".join(f": comment{end}id: 1{end}data: {text}{end}{end}" for text in texts)).encode()
    assert [data.decode() for data, _ in sse_events(body)] == texts
    assert [body[at : at + 1] in (b"\n", b"\r") for _, at in sse_events(body)] == [True] * len(texts)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_flood_of_empty_lines_is_not_kept_line_by_line(end: str) -> None:
    body = end * (4 << 20)
    tracemalloc.start()
    try:
        response = streamed(body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert response.error == "empty_stream"
    assert peak < 5 * len(body)


def test_of_what_broke_no_more_is_salvaged_than_an_answer_may_hold() -> None:
    event = b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % (b"a" * 1000)
    content = (
        recording("vllm_chat.http").partition(b"\r\n\r\n")[0]
        + b"\r\n\r\n"
        + b"%x\r\n%s\r\n" % (len(event), event) * 20_000
    )
    response = decode((0, 0, 0, 1, 2, "timeout_total", content, None, None, None), protocol("openai-chat"), True)
    assert (response.error, response.size) == ("timeout_total", len(content))
    assert 15_000 < len(response.tokens) < 16 << 10


def test_more_events_than_any_answer_has_are_no_stream() -> None:
    assert streamed("data:a\n\n" * (1 + (1 << 20)), "custom").error == "malformed_event"


@pytest.mark.parametrize(
    ("body", "error", "tokens"),
    [
        ("x-trace: a1\nfoo\n%sretry: 9\nfoo: bar\n\n%s%s", None, 2),
        ("event: ping\ndata: 2026-01-01\n\n%sevent: ping\ndata\n\n%s%s", None, 2),
        ("x-trace: a1\n\nfoo: bar\n\n", "malformed_event", 0),
        ('%s{"choices": []}\n\n%s%s', "malformed_event", 1),
    ],
)
def test_fields_of_other_names_mean_nothing_and_make_no_stream(body: str, error: str | None, tokens: int) -> None:
    event = 'data: {"choices":[{"delta":{"content":"a"},"finish_reason":null}]}\n\n'
    for text in (event, event, "data: [DONE]\n\n"):
        body = body.replace("%s", text, 1)
    for api in ("openai-chat", "custom") if error is None else ("openai-chat",):
        response = streamed(body, api)
        assert (response.error, len(response.tokens)) == (error, tokens), api


def streamed(body: str, api: str = "openai-chat") -> Response:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {len(body)}\r\n\r\n"
    return decode(_Received((head + body).encode(), []).raw(), protocol(api), True)


def test_half_a_character_escaped_is_an_event() -> None:
    event = 'data: {"choices":[{"delta":{"content":"\\u%s"},"finish_reason":null}]}\n\n'
    response = streamed(event.replace("%s", "D83D") + event.replace("%s", "de00") + "data: [DONE]\n\n")
    assert (response.error, len(response.tokens)) == (None, 2)
    assert streamed('data: {"choices":"\\ud83d\n\n').error == "malformed_event"


def test_of_messages_only_the_deltas_are_tokens() -> None:
    events = [
        {"type": "message_start", "message": {"usage": {"input_tokens": 9, "output_tokens": 1}}},
        {"type": "content_block_start", "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        *[{"type": "content_block_delta", "delta": {"type": "text_delta", "text": "a"}}] * 3,
        {"type": "content_block_delta", "delta": {"type": "signature_delta", "signature": "s"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
        {"type": "message_stop"},
    ]
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    response = streamed(body, "custom")
    assert (response.error, len(response.tokens)) == (None, 3)
    assert (response.input_tokens, response.output_tokens) == (9, 3)


def test_whole_numbers_may_have_a_point_and_an_error_that_is_none_is_none() -> None:
    event = 'data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}],"error":""}\n\n'
    usage = 'data: {"choices":[],"error":false,"usage":{"prompt_tokens":9.0,"completion_tokens":1.0}}\n\n'
    response = streamed(event + usage + "data: [DONE]\n\n")
    assert (response.error, response.input_tokens, response.output_tokens) == (None, 9, 1)
    assert isinstance(response.output_tokens, int)


@settings(deadline=None)
@given(st.binary(max_size=400), st.booleans(), st.sampled_from(["openai-chat", "ollama", "custom", "tgi", "oip-v2"]))
def test_hostile_bodies_are_classified_never_raised(body: bytes, stream: bool, api: str) -> None:
    asked = protocol(api)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    raw: Raw = (0, 0, 0, 1, 2, None, head + body, None, None, None)
    response = decode(raw, asked, stream and asked.event is not None)
    assert response.error is None or response.error in {
        "malformed_event", "bad_utf8", "error_in_body", "empty_stream", "truncated"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("api", "body", "error"),
    [
        ("oip-v2", b'{"model_name":"m","outputs":[{"name":"y","shape":[1],"datatype":"FP32","data":[1.0]}]}', None),
        ("oip-v2", b'{"error":"bad shape"}', "error_in_body"),
        ("oip-v2", b'{"hello":1}', "malformed_event"),
        ("tf-serving", b'{"predictions":[-2.0]}', None),
        ("tei", b"[[0.1,0.2]]", None),
        ("openai-embeddings", b'{"data":[{"embedding":[0.1]}],"usage":{"prompt_tokens":3}}', None),
        ("openai-chat", b'{"choices":[]}', "malformed_event"),
        ("openai-chat", b'{"choices":[{"message":{"content":"a"},"finish_reason":"abort"}]}', "error_in_body"),
        ("tgi", b'{"generated_text":"a","details":{"generated_tokens":3}}', None),
        ("torchserve", b"[0.5]", None),
        ("torchserve", b"", "malformed_event"),
    ],
)
def test_plain_answers(api: str, body: bytes, error: str | None) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert decode((0, 0, 0, 1, 2, None, head + body, None, None, None), protocol(api), False).error == error


@pytest.mark.parametrize(
    ("body", "tokens", "error"),
    [
        (b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n", 2, None),  # text, as BentoML's generators send it
        (b"b\r\ndata: one\n\n\r\nb\r\ndata: two\n\n\r\n0\r\n\r\n", 2, None),
        (b"11\r\n: hi\n\ndata: one\n\n\r\n0\r\n\r\n", 1, None),
        (b"e\r\n\xef\xbb\xbfdata: one\n\n\r\n0\r\n\r\n", 1, None),
        (b"0\r\n\r\n", 0, "empty_stream"),
    ],
)
def test_an_event_stream_in_name_only_is_read_as_text(body: bytes, tokens: int, error: str | None) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    response = decode(_Received(head + body, []).raw(), protocol("custom"), True)
    assert (len(response.tokens), response.error) == (tokens, error)


@pytest.mark.parametrize(
    ("body", "error"),
    [(b'{"error":{"message":"no deployment left"}}', "error_in_body"), (b'{"choices":[]}', "bad_content_type")],
)
def test_a_stream_refused_with_status_200_is_an_error_in_the_body(body: bytes, error: str) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert decode(_Received(head + body, []).raw(), protocol("openai-chat"), True).error == error


def binary_tensor(output: str) -> bytes:
    return b'{"outputs": [' + output.encode() + b"]}"


@pytest.mark.parametrize(
    "text",
    [
        binary_tensor('{"datatype": "FP32", "shape": 4, "parameters": {"binary_data_size": 4}}'),
        binary_tensor('{"datatype": "FP32", "shape": "4", "parameters": {"binary_data_size": 4}}'),
        binary_tensor('{"datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": %s}}' % ("9" * 5000)),
        binary_tensor('{"datatype": "FP32", "shape": [%s], "parameters": {"binary_data_size": 4}}' % ("9" * 5000)),
        binary_tensor('{"datatype": ["FP32"], "shape": [1], "parameters": 4}'),
        binary_tensor("[" * 200_000),
        b"[4]",
    ],
)
@pytest.mark.parametrize("length", ["", "9" * 5000])
def test_binary_outputs_of_any_shape_are_malformed_and_no_bug(text: bytes, length: str) -> None:
    answer = Answer()
    answer.fields[HEADER.lower().encode()] = (length or str(len(text))).encode()
    binary_body(text + b"\0\0\0\0", answer)
    assert (answer.error, answer.kind) == (True, "malformed_event")


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ("Retry-After: 7", 7),
        ("retry-after:  0 ", 0),
        ("Retry-After: Thu, 01 Jan 1970 00:02:00 GMT", 120),  # what is received here came in 1970
        ("Retry-After: Wed, 31 Dec 1969 00:00:00 GMT", 0),
        ("Retry-After: soon", None),
        ("Retry-After: -3", None),
        ("Retry-After: " + "9" * 60, 1 << 31),
        ("Retry-After: Mon, 99 Foo 2026 99:99:99 GMT", None),
        ("X-Retry: 7", None),
    ],
)
@pytest.mark.parametrize(("status", "error"), [("429 Too Many Requests", "http_429"), ("503 Busy", "http_503")])
def test_when_to_come_back_is_kept(line: str, seconds: int | None, status: str, error: str) -> None:
    content = f"HTTP/1.1 {status}\r\n{line}\r\nContent-Length: 2\r\n\r\n{{}}".encode()
    for stream in (True, False):
        response = decode(_Received(content, []).raw(), protocol("openai-chat"), stream)
        assert (response.error, response.retry_after) == (error, seconds)
