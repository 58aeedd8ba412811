"""How much of an answer is taken: bounds for one, and for all that are on their way together."""

from __future__ import annotations

import socket

import pytest

from inferaudit.bench.connection import Connection
from inferaudit.bench.endpoint import Address, Endpoint
from inferaudit.bench.limits import too_large

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"
MIB = 1 << 20


@pytest.mark.parametrize(
    ("sizes", "large"),
    [
        ([3 * MIB], False),
        ([5 * MIB], True),  # alone beyond the total
        ([3 * MIB, 100], False),  # beyond its half, but there is room
        ([3 * MIB, 2 * MIB], True),
        ([MIB // 2, 3 * MIB, 3 * MIB], False),  # the others are
        ([MIB // 2] * 12, False),  # nobody is cut below the floor
    ],
)
def test_the_total_is_shared(monkeypatch: pytest.MonkeyPatch, sizes: list[int], large: bool) -> None:
    monkeypatch.setattr("inferaudit.bench.limits.TOTAL_BYTES", 4 * MIB)
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = Address(socket.AF_INET, server.getsockname())
        endpoint = Endpoint("http", "127.0.0.1", place.sockaddr[1], "", "127.0.0.1", (place,))
        connections = [Connection(endpoint) for _ in sizes]
        for connection, size in zip(connections, sizes, strict=True):
            connection.buffer += HEAD.ljust(size, b"x")
        assert too_large(connections[0], connections) is large
        for connection in connections:
            connection.close()
