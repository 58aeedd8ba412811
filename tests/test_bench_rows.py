"""Rows of requests: each as if decoded alone and given in the order of its number, however they came."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inferaudit.bench.protocols import protocol
from inferaudit.bench.raw import Raw
from inferaudit.bench.rows import RowSink
from inferaudit.records import RecordTable, merge, row_tokens

HEAD = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n"
BUSY = (b"503 Busy", b"Retry-After: Thu, 01 Jan 1970 00:01:00 GMT\r\n", b"")
ANSWERS = [
    HEAD % (status, more, len(body)) + body
    for status, more, body in (
        (b"200 OK", b"", b'{"outputs":[{"name":"y","data":[1]}]}'),
        (b"200 OK", b"", b'{"outputs":[{"name":"y","data":[2]}]}'),
        (b"200 OK", b"", b"{}"),
        BUSY,
    )
]
LINE = b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n'
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(LINE) + LINE


def alone(raws: list[Raw], api: str, stream: bool) -> RecordTable:
    """One table of each, put together."""
    tables = []
    for raw in raws:
        sink = RowSink("s", 0, protocol(api), stream, True)
        sink.add(raw)
        tables.append(sink.table())
    return merge(tables)


def together(raws: list[Raw], api: str, stream: bool) -> RecordTable:
    sink = RowSink("s", 0, protocol(api), stream, True)
    for raw in raws:
        sink.add(raw)
    return sink.table()


def cells(table: RecordTable) -> list[list[object]]:
    errors = [table.errors[at] for at in table.columns["error"]]
    columns = [list(column) for name, column in table.columns.items() if name != "error"]
    return [*columns, errors, [list(row_tokens(table, at)) for at in range(len(table))]]


@given(st.permutations(range(12)), st.lists(st.sampled_from(ANSWERS), min_size=12, max_size=12))
def test_the_same_answer_is_read_once_and_every_row_is_its_own(numbers: list[int], answers: list[bytes]) -> None:
    raws: list[Raw] = [
        (number, at * 10**9, at * 10**9 + 1, at * 10**9 + 50 + number, answer)
        for at, (number, answer) in enumerate(zip(numbers, answers, strict=True))
    ]
    found = together(raws, "oip-v2", stream=False)
    assert list(found.columns["number"]) == sorted(numbers)
    assert cells(found) == cells(alone(raws, "oip-v2", stream=False))
    assert cells(merge([found])) == cells(found)


@given(st.permutations(range(6)))
def test_tokens_stay_with_their_request(numbers: list[int]) -> None:
    raws: list[Raw] = [(number, 10, 20, 100 + number, STREAM) for number in numbers]
    found = together(raws, "openai-chat", stream=True)
    assert [row_tokens(found, at)[0] for at in range(6)] == [100, 101, 102, 103, 104, 105]
    assert cells(found) == cells(alone(raws, "openai-chat", stream=True))
