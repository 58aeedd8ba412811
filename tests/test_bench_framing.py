"""What may be taken as known of an answer's framing, and what may not."""

import pytest

from inferaudit.bench.framing import learn

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\n"


def test_a_head_that_states_the_length_is_known_by_the_size_of_its_answer() -> None:
    known: dict[int, bytes] = {}
    learn(known, HEAD + b"true")
    assert known == {len(HEAD) + 4: HEAD}


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ntrue\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\ntransfer-encoding: chunked\r\n\r\n4\r\ntrue\r\n0\r\n\r\n",
        b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy",
        b"HTTP/1.1 204 Nothing\r\n\r\n",
    ],
    ids=["chunked", "both", "refused", "no-length"],
)
def test_nothing_is_known_of(answer: bytes) -> None:
    known: dict[int, bytes] = {}
    learn(known, answer)
    assert not known


def test_what_is_known_is_bounded() -> None:
    known: dict[int, bytes] = {}
    for size in range(5_000):
        learn(known, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
    assert len(known) <= 256
