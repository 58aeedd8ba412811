"""Streams in chunks: the loop looks at none of it before the end, and must not miss that; nothing may shift."""

from __future__ import annotations

import socket
import threading
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import httptools
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferaudit.bench.answers import NO_TOKEN, Answer, openai_event
from inferaudit.bench.arrivals import take_apart
from inferaudit.bench.events import read_events, simple_events, sse_events
from inferaudit.bench.runner import run_load
from inferaudit.benchmark import benchmark_section
from inferaudit.plan import LoadPlan, StagePlan

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
WORD = b'data: {"choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":null}]}\n\n'
STOP = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
USED = b'data: {"choices":[],"usage":{"completion_tokens":4}}\n\ndata: [DONE]\n\n'
WORDS = [WORD % text for text in (b" a", b" bc", b"0", b" d")]


def chunk(data: bytes, head: bytes = b"%x") -> bytes:
    return head % len(data) + b"\r\n" + data + b"\r\n"


BODY = [HEAD, *(chunk(word) for word in WORDS), chunk(STOP) + chunk(USED)]
CRLF = [HEAD, *(chunk(word.replace(b"\n", b"\r\n")) for word in (*WORDS, STOP, USED))]
LAST = b"0\r\n\r\n"
ENDS = {
    "usual": [*BODY, LAST],
    "with the last event": [*BODY[:-1], BODY[-1] + LAST],
    "all in one": [b"".join(BODY) + LAST],
    "trailers": [*BODY, b"0\r\nServer-Timing: total;dur=3\r\n\r\n"],
    "trailers apart": [*BODY, b"0\r\n", b"Server-Timing: total;dur=3\r\n", b"\r\n"],
    **{f"split at {at}": [*BODY[:-1], BODY[-1] + LAST[:at], LAST[at:]] for at in range(1, 5)},
    "byte by byte": [*BODY, *(LAST[i : i + 1] for i in range(5))],
    "events in CRLF": [*CRLF, LAST],
    "chunk heads apart": [HEAD, *(p for w in (*WORDS, STOP, USED) for p in (b"%x\r\n" % len(w), w + b"\r\n")), LAST],
    "zeros and extensions": [HEAD, *(chunk(w, b"00%X;a=b") for w in (*WORDS, STOP, USED)), b"000\r\n\r\n"],
    "bytes behind it": [*BODY, LAST + b"not HTTP"],
}  # fmt: skip


@contextmanager
def saying(writes: list[bytes]) -> Iterator[str]:
    """Answers every request with these writes, some milliseconds apart."""

    def serve(sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with sock:
            while sock.recv(65536):
                for data in writes:
                    sock.sendall(data)
                    time.sleep(0.004)

    def accept() -> None:
        while True:
            try:
                sock, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(sock,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=16) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("name", ENDS)
def test_the_end_is_found_however_it_comes(name: str) -> None:
    stage = StagePlan("sustained", concurrency=1, requests=3)
    with saying(ENDS[name]) as url:
        outcome = run_load(LoadPlan(url=url, api="openai-chat", model="m", profile="t", stages=(stage,), timeout_s=10))
    found = benchmark_section(outcome.result, outcome.records, {})
    assert (found["requests"]["ok"], found["errors"]) == (3, {}), name
    assert list(outcome.records.columns["token_events"]) == [4, 4, 4]
    assert found["latency_ms"]["max"] < 5_000  # found by looking, not by a time-out


def arrived_read_by_read(answer: bytes, ends: list[int]) -> list[int]:
    class Receiver:
        seen = 0

        def on_body(self, data: bytes) -> None:
            self.seen += len(data)

    receiver = Receiver()
    parser = httptools.HttpResponseParser(receiver)
    seen = []
    for start, end in pairwise([0, *ends]):
        parser.feed_data(answer[start:end])
        seen.append(receiver.seen)
    return seen


@settings(deadline=None, max_examples=300)
@given(st.lists(st.binary(min_size=1, max_size=300), max_size=12), st.sampled_from([b"%x", b"%X", b"0%x", b"%x;q"]),
       st.sampled_from([b"0\r\n\r\n", b"00\r\n\r\n", b"0\r\nA: b\r\n\r\n"]), st.booleans(), st.data())  # fmt: skip
def test_what_had_arrived_is_what_a_parser_had_seen(
    parts: list[bytes], head: bytes, last: bytes, interim: bool, data: st.DataObject
) -> None:
    answer = b"HTTP/1.1 100 Continue\r\n\r\n" * interim + HEAD + b"".join(chunk(p, head) for p in parts) + last
    cuts = data.draw(st.lists(st.integers(1, len(answer) - 1), max_size=20))
    ends = sorted({*cuts, len(answer)})
    found = take_apart(answer, array("q", range(len(ends))), array("q", ends))
    assert found.body == b"".join(parts)
    assert found.head == HEAD[:-4]
    assert list(found.arrived) == arrived_read_by_read(answer, ends)


@pytest.mark.parametrize("length", [b"9" * 5000, b"9" * 400, b"-1", b"x", b""])
def test_a_length_that_is_none_is_not_believed(length: bytes) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: " + length + b"\r\n\r\nbody"
    assert take_apart(answer, array("q", [1]), array("q", [len(answer)])).body == b"body"


TEXT = st.one_of(st.sampled_from([" a", " word", "", "\n", '"', "é", "data: x", "0"]), st.text(max_size=4))
EVENT = st.one_of(
    TEXT.map(lambda text: {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}),
    TEXT.map(lambda text: {"choices": [{"index": 0, "delta": {"role": "assistant", "content": text}}]}),
    TEXT.map(lambda text: {"created": 2, "choices": [{"index": 0, "delta": {"reasoning_content": text}}]}),
    TEXT.map(lambda text: {"choices": [{"index": 0, "text": text, "token_ids": [1, 2]}]}),
    st.just({"choices": [], "usage": {"completion_tokens": 9}}),
    st.just({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.lists(EVENT, min_size=1, max_size=4).flatmap(lambda e: st.integers(1, 5).map(lambda n: e * n)),
                min_size=1, max_size=5), st.sampled_from([b"data: ", b"data:"]), st.booleans())  # fmt: skip
def test_runs_of_like_events_are_read_as_each_would_be(groups: list[list[object]], prefix: bytes, done: bool) -> None:
    events = [msgspec.json.encode(event) for group in groups for event in group] + [b"[DONE]"] * done
    body = b"".join(prefix + event + b"\n\n" for event in events)
    assert simple_events(body)
    full, known = Answer(), Answer()
    wanted = [(at, n) for data, at in sse_events(body) if (n := openai_event(data, full)) != NO_TOKEN]
    found: list[tuple[int, int]] = []
    read_events(body, "sse", openai_event, known, found)
    assert found == wanted
    assert all(getattr(known, name) == getattr(full, name) for name in Answer.__slots__)


@pytest.mark.parametrize(
    "body", [b"data: a\n\n\n\n", b"data: a\ndata: b\n\n", b": c\n\ndata: a\n\n", b"data: a\r\n\r\n", b"data: a\n", b""]
)
def test_what_is_more_than_one_line_an_event_is_not_simple(body: bytes) -> None:
    assert not simple_events(body)
