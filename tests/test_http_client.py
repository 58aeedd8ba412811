"""The audit's HTTP client: bounded, careful, and silent about secrets."""

from __future__ import annotations

import contextlib
import gzip
import socket
import ssl
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.faulty import FAULTS, FaultyServer
from support.replay import Replay, whole

from inferaudit.collect import http_client
from inferaudit.collect.endpoint_binary import BinaryHttp
from inferaudit.collect.http_client import Chunk, Http, Scrubber, credentials
from inferaudit.errors import UsageError
from inferaudit.plan import HttpAuth

CONTEXT = ssl.create_default_context()


def http(url: str, headers: dict[str, str] | None = None, timeout_s: float = 2.0) -> Http:
    return Http(url, headers or {}, CONTEXT, timeout_s)


@pytest.mark.parametrize(
    "name", sorted(n for n, f in FAULTS.items() if not f.stream and not f.port and f.scheme == "http")
)
def test_plain_answers_of_every_kind(name: str) -> None:
    with FaultyServer() as faulty, http(faulty.url(name)) as client:
        reply = client.post("/v1/chat/completions", b'{"model": "m"}')
        sent = len(faulty.requests)
    assert sent <= 1, "a POST is never repeated"
    if FAULTS[name].expected is None:
        assert (reply.status, reply.error) == (200, None), reply.detail
        assert reply.body


@pytest.mark.parametrize("name", ["reset_after_request", "closed_after_request", "closed_in_headers", "stall_headers"])
def test_a_post_that_fails_is_sent_once(name: str) -> None:
    with FaultyServer() as faulty, http(faulty.url(name), timeout_s=0.5) as client:
        reply = client.post("/v1/chat/completions", b"{}")
        assert len(faulty.requests) == 1
    assert reply.error in FAULTS[name].outcomes


@pytest.mark.parametrize(("method", "asked"), [("get", 3), ("post", 2)])
def test_a_kept_connection_that_just_closed_costs_a_get_nothing(method: str, asked: int) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    heads: list[bytes] = []

    def serve() -> None:
        for answered in (1, 2) if method == "get" else (1,):  # the second request of the first connection gets nothing
            connection, _ = listener.accept()
            with connection:
                heads.append(connection.recv(65536))
                connection.sendall(whole(b"{}"))
                if answered == 1:
                    heads.append(connection.recv(65536))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with listener, http(f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
        assert client.get("/a").status == 200
        reply = client.get("/b") if method == "get" else client.post("/b", b"{}")
        thread.join(5)
    assert len(heads) == asked
    assert reply.error == (None if method == "get" else "reset_before_headers")


def test_a_head_that_drips_in_is_given_up_in_time() -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            for byte in b"HTTP/1.1 200 OK\r\n" + b"x-more: y\r\n" * 50:
                connection.sendall(bytes([byte]))
                time.sleep(0.02)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with listener, http(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout_s=0.5) as client:
        reply = client.get("/a")
    thread.join(5)
    assert reply.error == "timeout_headers"
    assert reply.ms is not None
    assert 450 < reply.ms < 5_000


def test_redirects_are_not_followed() -> None:
    away = whole(b"", "302 Found", "text/plain", "location: http://127.0.0.1:9/elsewhere")
    with Replay({"GET /a": away}) as server, http(server.url) as client:
        assert client.get("/a").status == 302
        assert server.seen == ["GET /a"]


def test_a_body_without_end_is_cut_off_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "MAX_BODY", 100_000)
    with Replay({"GET /a": whole(b"x" * 500_000)}) as server, http(server.url) as client:
        reply = client.get("/a")
    assert reply.error == "malformed_http"
    assert "larger than" in reply.detail
    assert len(reply.body) < 300_000


def test_a_compression_bomb_does_not_go_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "MAX_BODY", 1_000_000)
    bomb = whole(gzip.compress(bytes(50_000_000)), "200 OK", "text/event-stream", "content-encoding: gzip")
    seen = 0

    def count(chunk: Chunk) -> bool:
        nonlocal seen
        seen += len(chunk.data)
        return True

    with Replay({"POST /a": bomb}) as server, http(server.url) as client:
        reply = client.stream("/a", b"{}", count)
    assert reply.error == "malformed_http"
    assert seen < 2_000_000


@pytest.mark.parametrize("encoding", ["gzip", "br"])
def test_an_encoding_that_is_wrong_or_unasked_is_an_error(encoding: str) -> None:
    lie = whole(b"not compressed", "200 OK", "application/json", f"content-encoding: {encoding}")
    with Replay({"GET /a": lie}) as server, http(server.url) as client:
        assert client.get("/a").error == "bad_encoding"


def test_a_stream_can_be_left_early() -> None:
    with Replay({"POST /a": whole(b"data: 1\n\n" * 1000, "200 OK", "text/event-stream")}) as server:
        chunks: list[Chunk] = []
        with http(server.url) as client:
            reply = client.stream("/a", b"{}", lambda chunk: chunks.append(chunk) or False)  # type: ignore[func-returns-value]
    assert (reply.status, reply.error, len(chunks)) == (200, None, 1)


def test_credentials_go_to_their_own_origin_only() -> None:
    key = {"authorization": "Bearer secret"}
    with (
        Replay({"GET /a": whole(b"")}) as server,
        Replay({"GET /a": whole(b"")}) as other,
        http(server.url, key) as client,
    ):
        client.get("/a")
        client.get("/a", credentials=False)
        client.get(f"{other.url}/a")
    assert ["secret" in head for head in server.heads] == [True, False]
    assert ["secret" in head for head in other.heads] == [False]


def test_credentials_from_the_environment() -> None:
    auth = HttpAuth(api_key_env="KEY", header_env=(("X-Tenant", "TENANT"),))
    headers = credentials(auth, {"KEY": "k", "TENANT": "t"})
    assert headers == {"authorization": "Bearer k", "x-tenant": "t"}
    for environ, words in (
        ({"KEY": "k"}, "TENANT"),
        ({"KEY": "a\r\nb", "TENANT": "t"}, "line break"),
        ({"KEY": "k€y", "TENANT": "t"}, "--api-key-env: the value of KEY holds a character"),
        ({"KEY": "k", "TENANT": "é"}, "--header-env: the value of TENANT holds a character"),
    ):
        with pytest.raises(UsageError, match=words):
            credentials(auth, environ)


@given(st.text(max_size=400), st.text(min_size=4, max_size=30))
def test_scrubbed_text_is_short_printable_and_without_the_secret(text: str, secret: str) -> None:
    clean = Scrubber((secret,))(f"{text}{secret}{text}")
    assert len(clean) <= http_client.EXCERPT
    assert clean.isprintable()
    if len(secret) >= 8 and secret.isalnum():
        assert secret not in clean


def test_a_binary_answer_nested_beyond_reason_is_malformed() -> None:
    text = b'{"outputs": ' + b"[" * 200_000
    answer = whole(text, "200 OK", "application/octet-stream", f"inference-header-content-length: {len(text)}")
    with Replay({"POST /v2/models/m/infer": answer}) as server, BinaryHttp(server.url, {}, CONTEXT, 5.0) as client:
        reply = client.post("/v2/models/m/infer", b"{}")
    assert reply.error == "malformed_event"
