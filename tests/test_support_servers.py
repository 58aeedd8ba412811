"""The servers other tests rely on do what their names say."""

import http.client
import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from support import groundtruth
from support.faulty import ERROR_CLASSES, FAULTS, FaultyServer

MS = 1_000_000


@pytest.fixture(scope="module")
def faulty() -> Iterator[FaultyServer]:
    with FaultyServer() as server:
        yield server


def ask(server: FaultyServer, name: str, wait_s: float = 5) -> socket.socket:
    """A connection on which this fault has been asked for."""
    url = urlsplit(server.url(name))
    sock = socket.create_connection((url.hostname, url.port), wait_s)
    request = f"POST {url.path}/v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}"
    try:
        sock.sendall(request.encode())
    except OSError:  # a server that resets at once may be faster
        sock.close()
        raise
    return sock


def read_all(sock: socket.socket) -> bytes:
    """All bytes until the server closes; a reset or the socket's timeout is raised."""
    data = b""
    with sock:
        while more := sock.recv(1 << 20):
            data += more
    return data


def drain(sock: socket.socket, until: bytes | None = None) -> bytes:
    """What arrives before the peer's silence, reset or end is raised or, with `until`, before these bytes are in."""
    data = b""
    while until is None or until not in data:
        more = sock.recv(65536)
        if not more:
            raise EOFError
        data += more
    return data


def events(body: bytes) -> list[object]:
    texts = [line.removeprefix("data:").strip() for line in body.decode().splitlines() if line.startswith("data:")]
    return [json.loads(text) for text in texts if text != "[DONE]"]


def test_every_error_class_has_a_case() -> None:
    assert {fault.expected for fault in FAULTS.values()} == {*ERROR_CLASSES, None}
    assert {also for fault in FAULTS.values() for also in fault.also} <= {*ERROR_CLASSES}


@pytest.mark.parametrize(
    "name", [f.name for f in FAULTS.values() if f.expected is None and f.name not in ("interim", "ndjson")]
)
def test_a_success_carries_the_tokens_it_promises(faulty: FaultyServer, name: str) -> None:
    url = urlsplit(faulty.url(name))
    connection = http.client.HTTPConnection(url.netloc, timeout=10)
    connection.request("POST", f"{url.path}/v1/chat/completions", b"{}")
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == 200
    parts = events(body) if FAULTS[name].stream else [json.loads(body)]
    stated = [part["usage"]["completion_tokens"] for part in parts if isinstance(part, dict) and part.get("usage")]
    assert stated == ([FAULTS[name].tokens] if FAULTS[name].stated else [])


def test_interim_answers_come_before_the_real_one(faulty: FaultyServer) -> None:
    with ask(faulty, "interim") as sock:
        data = drain(sock, b"[DONE]")
    assert [line[9:12] for line in data.split(b"\r\n") if line.startswith(b"HTTP/1.1")] == [b"100", b"103", b"200"]


def test_ndjson_is_a_json_document_a_line(faulty: FaultyServer) -> None:
    url = urlsplit(faulty.url("ndjson"))
    connection = http.client.HTTPConnection(url.netloc, timeout=5)
    connection.request("POST", f"{url.path}/api/chat", b"{}")
    lines = [json.loads(line) for line in connection.getresponse().read().splitlines()]
    connection.close()
    assert [line["done"] for line in lines] == [False, False, False, True]
    assert lines[-1]["eval_count"] == 3


def test_a_connection_is_kept_between_requests(faulty: FaultyServer) -> None:
    connection = http.client.HTTPConnection(urlsplit(faulty.url("ok")).netloc, timeout=5)
    before = faulty.connections
    for name in ("ok", "status_503", "plain", "redirect_302"):
        connection.request("POST", f"/{name}/v1/chat/completions", b"{}")
        connection.getresponse().read()
    connection.close()
    assert faulty.connections == before + 1


@pytest.mark.parametrize("name", ["reset_at_accept", "reset_before_read", "reset_after_request"])
def test_a_reset_before_the_answer(faulty: FaultyServer, name: str) -> None:
    with pytest.raises(ConnectionError):
        assert read_all(ask(faulty, name)) is None  # a clean end would return bytes


@pytest.mark.parametrize(("name", "seen"), [("reset_after_headers", b"chunked\r\n\r\n"), ("reset_in_body", b"content")])
def test_a_reset_after_bytes_that_arrived(faulty: FaultyServer, name: str, seen: bytes) -> None:
    with ask(faulty, name) as sock:
        drain(sock, seen)
        with pytest.raises(ConnectionResetError):
            drain(sock)


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("stall_headers", b""),
        ("stall_half_headers", b"Content-Ty"),
        ("stall_after_headers", b"chunked\r\n\r\n"),
        ("stall_body", TOKEN_END := b"\n\n\r\n"),
    ],
)
def test_a_stall_is_silence_on_an_open_connection(faulty: FaultyServer, name: str, seen: bytes) -> None:
    with ask(faulty, name, 0.3) as sock:
        drain(sock, seen)
        with pytest.raises(TimeoutError):
            drain(sock)


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("closed_after_request", b""),
        ("closed_in_headers", b"text/event-str"),
        ("truncated_chunk", b"data: {"),
        ("truncated_between_chunks", TOKEN_END),
        ("truncated_length", b"}"),
        ("bad_status_line", b"HTPP/1.1 OK\r\n\r\n"),
    ],
)
def test_a_cut_answer_ends_cleanly_at_that_place(faulty: FaultyServer, name: str, end: bytes) -> None:
    assert read_all(ask(faulty, name)).endswith(end)


def test_what_happens_before_a_path_can_be_read(faulty: FaultyServer) -> None:
    refused, full = urlsplit(faulty.url("refused")), urlsplit(faulty.url("full_queue"))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((refused.hostname, refused.port), 2)
    with pytest.raises(TimeoutError):
        socket.create_connection((full.hostname, full.port), 0.3)
    assert b"400" in read_all(ask(faulty, "not_tls"))


def test_an_early_answer_comes_while_the_body_is_on_its_way(faulty: FaultyServer) -> None:
    url = urlsplit(faulty.url("early_413"))
    with socket.create_connection((url.hostname, url.port), 5) as sock:
        sock.sendall(f"POST {url.path} HTTP/1.1\r\nHost: x\r\nContent-Length: {32 << 20}\r\n\r\n{{".encode())
        assert sock.recv(65536).startswith(b"HTTP/1.1 413")


def test_the_truth_is_what_was_asked_for() -> None:
    with groundtruth.start("stream", ttft_us=30_000, itl_us=2_000, tokens=5, slow_every=2, slow_factor=2) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        for _ in range(4):
            connection.request("POST", "/v1/chat/completions", b"{}")
            body = connection.getresponse().read()
        connection.close()
    parts = [part for part in events(body) if isinstance(part, dict)]
    assert parts[-1]["usage"]["completion_tokens"] == 5
    assert [bool(part["choices"] and part["choices"][0]["delta"].get("content")) for part in parts] == [True] * 5 + [
        False
    ] * 2
    truth = server.truth()
    assert [request.slow for request in truth.requests] == [False, True, False, True]
    assert [request.number for request in truth.requests] == [0, 1, 2, 3]
    assert all(request.complete for request in truth.requests)
    assert all(request.stamped for request in truth.requests[1:])
    assert min(truth.ttft) >= 30 * MS
    assert min(truth.ttft[1], truth.ttft[3]) >= 60 * MS
    assert all(latency >= 38 * MS for latency in truth.e2e)
    assert len(truth.itl) == 16


def test_the_role_comes_before_the_first_token() -> None:
    with groundtruth.start("stream", ttft_us=50_000, itl_us=0, tokens=2, role=1) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        connection.request("POST", "/v1/chat/completions", b"{}")
        connection.getresponse().read()
        connection.close()
    (request,) = server.truth().requests
    assert request.tokens[0] - request.first_byte >= 40 * MS


def test_a_request_that_the_client_gave_up_is_marked() -> None:
    with (
        groundtruth.start("stream", ttft_us=1_000, itl_us=50_000, tokens=50) as server,
        socket.create_connection(("127.0.0.1", server.port), 5) as sock,
    ):
        sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        sock.recv(100)
        sock.close()
    assert [request.complete for request in server.truth().requests] == [False]


def test_a_stall_freezes_every_answer_at_once() -> None:
    with groundtruth.start("plain", delay_us=1_000, stall_at_ms=50, stall_ms=200) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        for _ in range(100):
            connection.request("POST", "/", b"{}")
            assert json.loads(connection.getresponse().read())["usage"]["completion_tokens"] == 1
        connection.close()
    assert sum(latency >= 150 * MS for latency in server.truth().e2e) == 1


def test_no_compiler_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr(groundtruth, "CACHE", tmp_path)
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(groundtruth.NoGroundTruthError, match=r"^no C compiler: [^\n]+$"):
        groundtruth.build()
