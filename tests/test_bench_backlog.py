"""The backlog: nothing is lost or changed on its way through memory, file and back."""

from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from inferaudit.bench.backlog import Backlog
from inferaudit.bench.raw import Raw, whole


def raw(number: int) -> Raw:
    if number % 3:
        return (number, 1, 2, 3, 4, None, b"HTTP/1.1 200 OK\r\n\r\n" + bytes(number), None, None, None)
    return (number, 1, None, 0, 4, "refused", b"headab", array("q", (3, 4)), array("q", (5, 6)), 7)


@given(st.integers(0, 300), st.integers(0, 40_000), st.integers(0, 3_000))
def test_every_request_comes_back_as_it_went(count: int, memory: int, disk: int) -> None:
    backlog = Backlog(memory, disk)
    seen: list[Raw] = []
    for number in range(count):
        backlog.append(raw(number), 400)
        if backlog.full:
            backlog.relieve(seen.append)
        assert len(backlog) + len(seen) == number + 1
        assert backlog.bytes <= memory + 400 * 2
    backlog.drain(seen.append)
    assert sorted(map(whole, seen), key=lambda r: r[0]) == [raw(number) for number in range(count)]
    assert (len(backlog), backlog.bytes, backlog.full) == (0, 0, False)
