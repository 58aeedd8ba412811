"""io_uring under the loop: whole, in order, stamped, and given back; and nothing of it where it cannot be had."""

from __future__ import annotations

import errno
import select
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from time import time_ns
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferaudit.bench import ring as module
from inferaudit.bench.clock import enable_kernel_stamps
from inferaudit.bench.connection import BUSY, CLOSED
from inferaudit.bench.endpoint import resolve
from inferaudit.bench.engine import Engine
from inferaudit.bench.framing import learn
from inferaudit.bench.limits import Timeouts
from inferaudit.bench.pacing import Pacer
from inferaudit.bench.ring import SWITCH, Ring, ring
from inferaudit.bench.work import LAG_BUCKETS, Work
from inferaudit.plan import HttpAuth

LENT = ring()
lent = pytest.mark.skipif(LENT is None, reason="this kernel lends no ring, and epoll reads")
if LENT is not None:
    LENT.close()


@pytest.fixture
def ours() -> Iterator[Ring[Any]]:
    made = ring()
    assert made is not None
    yield made
    made.close()


def taken(ring: Ring[Any]) -> list[tuple[Any, int, bytes]]:
    return [(owner, size, bytes(data)) for owner, size, _, _, data in ring.arrived()]


def all_taken(ring: Ring[Any]) -> list[tuple[Any, int, bytes]]:
    """Until nothing comes: what fills the buffers is handed over in several calls."""
    found = []
    while more := taken(ring):
        found += more
    return found


@lent
def test_bytes_come_with_the_kernels_stamp_and_then_the_end(ours: Ring[Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        here = socket.create_connection(listening.getsockname())
        there = listening.accept()[0]
    enable_kernel_stamps(here)
    with here, there:
        ours.arm(here.fileno(), "stream")
        for text in (b"first", b"second"):
            before = time_ns()
            there.sendall(text)
            after = time_ns()
            ((owner, size, stamp, read, data),) = [(*item[:4], bytes(item[4])) for item in ours.arrived()]
            assert (owner, size, data) == ("stream", len(text), text)
            assert stamp == 0 or before <= stamp <= after <= read  # the first may come before stamps are on
        assert stamp
        there.close()
        assert taken(ours) == [("stream", 0, b"")]
        assert taken(ours) == []


@lent
def test_a_reset_is_an_error_after_what_came_before_it(ours: Ring[Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        here = socket.create_connection(listening.getsockname())
        there = listening.accept()[0]
    with here:
        ours.arm(here.fileno(), "stream")
        there.sendall(b"half")
        assert taken(ours) == [("stream", 4, b"half")]
        there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        there.close()
        assert taken(ours) == [("stream", -errno.ECONNRESET, b"")]


@lent
def test_what_is_cancelled_is_closed_at_once_and_its_name_means_nothing_more(ours: Ring[Any]) -> None:
    """The kernel holds a file that is armed: without the cancelling, the server would wait for our end for ever."""
    here, there = socket.socketpair()
    with there:
        token = ours.arm(here.fileno(), "stream")
        there.sendall(b"late")
        ours.cancel(token)
        here.close()
        assert taken(ours) == []
        there.settimeout(10)
        with pytest.raises(ConnectionResetError):  # it had bytes that nobody read
            there.recv(1)
        ours.cancel(token)


@lent
def test_closing_the_ring_lets_go_of_all() -> None:
    ours = ring()
    assert ours is not None
    here, there = socket.socketpair()
    with there:
        ours.arm(here.fileno(), "stream")
        here.close()
        ours.close()
        ours.close()
        there.settimeout(10)
        assert there.recv(1) == b""


@lent
def test_epoll_is_told_of_each_arrival_and_reminded(ours: Ring[Any]) -> None:
    with ExitStack() as open_, select.epoll() as poller:
        poller.register(ours.fd, select.EPOLLIN | select.EPOLLET)
        pairs = [[open_.enter_context(end) for end in socket.socketpair()] for _ in range(50)]
        for number, (here, _) in enumerate(pairs):
            ours.arm(here.fileno(), number)
        assert all_taken(ours) == []
        poller.poll(0)
        for turn in range(3):
            assert poller.poll(0) == []
            for _, there in pairs:
                there.sendall(b"%d" % turn)
            assert poller.poll(10) == [(ours.fd, select.EPOLLIN)]
            assert sorted(all_taken(ours)) == [(number, 1, b"%d" % turn) for number in range(50)]
            poller.poll(0)  # what was posted while it was taken
        ours.remind()
        assert poller.poll(0) == [(ours.fd, select.EPOLLIN)]


@lent
@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.binary(min_size=1, max_size=9_000), st.booleans()), max_size=40))
def test_everything_arrives_whole_and_in_order(sends: list[tuple[int, bytes, bool]]) -> None:
    """With four small buffers, so that they run out and wrap around."""
    with pytest.MonkeyPatch.context() as patch, ExitStack() as open_:
        patch.setattr(module, "_BUFFERS", 4)
        patch.setattr(module, "_BUFFER_BYTES", 1_024)
        ours: Ring[Any] = Ring()
        open_.callback(ours.close)
        pairs = [[open_.enter_context(end) for end in socket.socketpair()] for _ in range(3)]
        for number, (here, _) in enumerate(pairs):
            ours.arm(here.fileno(), number)
        got = [b"", b"", b""]
        for number, data, take in sends:
            pairs[number][1].sendall(data)
            if take:
                for owner, _, part in taken(ours):
                    got[owner] += part
        for owner, _, part in all_taken(ours):
            got[owner] += part
    assert got == [b"".join(data for number, data, _ in sends if number == one) for one in range(3)]


@lent
def test_one_that_is_given_up_among_others_does_not_hold_them_up(ours: Ring[Any]) -> None:
    with ExitStack() as open_:
        pairs = [[open_.enter_context(end) for end in socket.socketpair()] for _ in range(3)]
        tokens = [ours.arm(here.fileno(), number) for number, (here, _) in enumerate(pairs)]
        for _, there in pairs:
            there.sendall(b"x")
        seen = []
        for owner, *_ in ours.arrived():
            seen.append(owner)
            ours.cancel(tokens[1])
        assert seen == [0, 2]
        pairs[2][1].sendall(b"y")
        assert taken(ours) == [(2, 1, b"y")]


def test_where_there_is_none_epoll_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> int:
        raise OSError(errno.EPERM, "not in this container")

    with monkeypatch.context() as patch:
        patch.setattr(Ring, "_done", refused)
        assert ring() is None
    with monkeypatch.context() as patch:
        patch.setattr("sys.platform", "darwin")
        assert ring() is None
    with monkeypatch.context() as patch:
        patch.setenv(SWITCH, "0")
        patch.setattr(Ring, "__init__", lambda self: pytest.fail("the kernel was asked"))
        assert ring() is None


@lent
def test_a_ring_that_receives_nothing_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ring, "arrived", lambda self: iter(()))
    assert ring() is None


def test_an_end_right_behind_an_answer_is_not_the_next_requests() -> None:
    """Both may be read at once: the answer counts once, and the next request goes to a connection of its own."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    with socket.create_server(("127.0.0.1", 0)) as listening, ExitStack() as open_:
        endpoint = resolve(f"http://127.0.0.1:{listening.getsockname()[1]}", "tf-serving", HttpAuth())
        timeouts = Timeouts(*(10_000_000_000,) * 4)
        engine = Engine(endpoint, lambda number: b"request %d" % number, timeouts, max_connections=4)
        open_.callback(engine.close)
        engine.report.lags = [0] * LAG_BUCKETS
        engine.pacer = Pacer(Work(concurrency=1, numbers=count()), 0)
        learn(engine._known, answer)
        engine.warm(1, lambda: False)
        (connection,) = engine.connections.by_fd.values()
        open_.enter_context(listening.accept()[0])
        connection.requests = 1  # it has served before
        for number, scheduled in engine.pacer.take(time_ns()):
            engine._dispatch(number, scheduled)
        engine._take([(connection, len(answer), 5, 6, memoryview(answer)), (connection, 0, 0, 6, memoryview(b""))])
        assert [raw[0] for raw in engine.backlog.queue] == [0]
        assert (engine.report.completed, engine.report.stale, connection.state) == (1, 0, CLOSED)
        follower = open_.enter_context(listening.accept()[0])
        follower.settimeout(10)
        while (other := next(iter(engine.connections.by_fd.values()))).state != BUSY:
            engine._handle(engine.connections.poller.poll(10))
        assert follower.recv(20) == b"request 1"
        assert (other.index, engine.in_flight) == (1, 1)
