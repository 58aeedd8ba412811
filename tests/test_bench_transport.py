"""Ways to the server: TLS, IPv6, unix sockets, proxies, fresh connections, headers. All on loopback."""

from __future__ import annotations

import os
import select
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support import groundtruth

from inferaudit.bench.connection import IDLE
from inferaudit.bench.connections import Connections
from inferaudit.bench.endpoint import headers, request_head, resolve
from inferaudit.bench.poller import _Selector
from inferaudit.bench.protocols import protocol
from inferaudit.bench.runner import run_load
from inferaudit.benchmark import benchmark_section
from inferaudit.errors import UsageError
from inferaudit.plan import HttpAuth, LoadPlan, StagePlan

BODY = b'{"predictions":[1.0]}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


def bench(url: str, **changes: Any) -> dict[str, Any]:
    stage = StagePlan("sustained", concurrency=2, requests=12)
    plan = LoadPlan(url=url, api="tf-serving", model="m", profile="test", stages=(stage,), **changes)
    outcome = run_load(plan)
    return benchmark_section(outcome.result, outcome.records, {})


@contextmanager
def serving(
    listening: socket.socket, wrap: Callable[[socket.socket], socket.socket] = lambda s: s
) -> Iterator[list[bytes]]:
    """Answers every request; gives the heads it saw."""
    heads: list[bytes] = []
    listening.listen(64)

    def one(sock: socket.socket) -> None:
        try:
            sock.settimeout(10)
            secure = wrap(sock)
            data = b""
            while part := secure.recv(65536):
                data += part
                head, found, body = data.partition(b"\r\n\r\n")
                if not found:
                    continue
                lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                wanted = int(lengths[0].split(b":")[1]) if lengths else 0
                if len(body) >= wanted:
                    heads.append(head)
                    data = body[wanted:]
                    secure.sendall(ANSWER)
            secure.close()
        except OSError:
            sock.close()

    def accept() -> None:
        while True:
            try:
                sock = listening.accept()[0]
            except OSError:
                return
            threading.Thread(target=one, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield heads
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", key, "-out", cert],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    return key, cert


def tls(certificate: tuple[Path, Path]) -> Callable[[socket.socket], socket.socket]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate[1], certificate[0])
    return lambda sock: context.wrap_socket(sock, server_side=True)


def test_tls_is_verified_against_the_given_ca(certificate: tuple[Path, Path]) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    with serving(listening, tls(certificate)) as heads:
        trusted = bench(f"https://localhost:{port}", auth=HttpAuth(ca_file=str(certificate[1])))
        unknown = bench(f"https://localhost:{port}")
        careless = bench(f"https://127.0.0.1:{port}/v1", auth=HttpAuth(insecure=True))
    assert trusted["requests"]["ok"] == careless["requests"]["ok"] == 12
    assert trusted["series"]["budget"][1]["part"] == "connect_tls"
    assert set(unknown["errors"]) == {"tls"}
    assert "self-signed certificate; mend the certificate" in " ".join(unknown["warnings"])
    assert heads[0].startswith(b"POST /v1/models/m:predict HTTP/1.1")


def test_a_client_certificate_is_shown_where_tls_asks(certificate: tuple[Path, Path]) -> None:
    key, cert = (str(path) for path in certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cert)
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"https://localhost:{listening.getsockname()[1]}"
    with serving(listening, lambda sock: context.wrap_socket(sock, server_side=True)):
        shown = bench(url, auth=HttpAuth(ca_file=cert, cert_file=cert, key_file=key))
        missing = bench(url, auth=HttpAuth(ca_file=cert))
    assert shown["requests"]["ok"] == 12
    assert missing["requests"]["ok"] == 0
    assert "asks for a client certificate" in " ".join(missing["warnings"])


def test_a_session_ticket_does_not_cost_the_warm_connection(certificate: tuple[Path, Path]) -> None:
    """TLS 1.3 sends tickets after the handshake: bytes on an idle connection that are not its end."""
    listening, served = socket.create_server(("127.0.0.1", 0)), []

    def wrap(sock: socket.socket) -> socket.socket:
        served.append(sock)
        return tls(certificate)(sock)

    with serving(listening, wrap):
        plan = LoadPlan(
            url=f"https://localhost:{listening.getsockname()[1]}",
            api="tf-serving",
            model="m",
            profile="test",
            stages=tuple(StagePlan(name, concurrency=8, requests=8) for name in ("warmup", "sustained")),
            auth=HttpAuth(ca_file=str(certificate[1])),
        )
        outcome = run_load(plan)
    assert len(outcome.records) == 16
    assert len(served) == 8


def test_large_requests_over_tls_arrive_whole(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    template = tmp_path / "big.json"
    template.write_text('{"instances": ["{{prompt}}"]}')
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"https://localhost:{listening.getsockname()[1]}"
    with serving(listening, tls(certificate)) as heads:
        found = bench(url, auth=HttpAuth(ca_file=str(certificate[1])), template=str(template), input_tokens="400000")
    assert found["requests"]["ok"] == 12
    assert len(heads) == 12


@pytest.mark.parametrize("ring", [True, False])
def test_what_the_server_closed_between_stages_is_opened_before_the_next(
    ring: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many servers close what was idle for five seconds, and a stage's report can take longer."""
    if not ring:
        monkeypatch.setattr("inferaudit.bench.connections.ring", lambda: None)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        endpoint = resolve(f"http://127.0.0.1:{listening.getsockname()[1]}", "tf-serving", HttpAuth())
        connections = Connections(endpoint, 10)
        try:
            assert connections.warm(3, 5_000_000_000, lambda: False) is None
            first = list(connections.by_fd.values())
            served = [listening.accept()[0] for _ in first]
            for sock in served[:2]:
                sock.close()
            closed = select.poll()
            for connection in first:
                closed.register(connection.fd, select.POLLRDHUP)
            while len(closed.poll(10_000)) < 2:
                pass
            assert connections.warm(3, 5_000_000_000, lambda: False) is None
            assert [c.state for c in connections.by_fd.values()] == [IDLE] * 3
            assert len(set(connections.by_fd.values()) & set(first)) == 1
        finally:
            connections.close()
            for sock in served:
                sock.close()


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_ipv6() -> None:
    listening = socket.create_server(("::1", 0), family=socket.AF_INET6)
    with serving(listening) as heads:
        assert bench(f"http://[::1]:{listening.getsockname()[1]}")["requests"]["ok"] == 12
    assert b"Host: [::1]:" in heads[0]


def test_unix_sockets_use_the_user_clock(tmp_path: Path) -> None:
    listening = socket.socket(socket.AF_UNIX)
    path = str(tmp_path / "s")
    listening.bind(path)
    with serving(listening):
        found = bench(f"unix:{path}")
    assert found["requests"]["ok"] == 12
    assert found["clock"] == "user"
    assert found["latency_ms"]["p50"] > 0


def test_a_name_with_several_addresses_uses_the_one_that_answers() -> None:
    with groundtruth.start("plain") as server:
        endpoint = resolve(f"http://localhost:{server.port}", "openai-chat", HttpAuth())
        plan = LoadPlan(f"http://localhost:{server.port}", "openai-chat", "m", "test",
                        (StagePlan("sustained", concurrency=2, requests=10),), stream=False)  # fmt: skip
        outcome = run_load(plan)
    assert endpoint.addresses
    assert not any(outcome.records.columns["error"])


def test_a_proxy_gets_the_absolute_form(monkeypatch: pytest.MonkeyPatch) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setenv("http_proxy", f"http://user:invented@127.0.0.1:{listening.getsockname()[1]}")
    with serving(listening) as heads:
        found = bench("http://models.example.test:8000/base/v1/chat/completions")
    assert found["requests"]["ok"] == 12
    assert heads[0].startswith(b"POST http://models.example.test:8000/base/v1/models/m:predict HTTP/1.1")
    assert b"Proxy-Authorization: Basic " in heads[0]


def test_a_proxy_opens_a_tunnel_for_tls(monkeypatch: pytest.MonkeyPatch, certificate: tuple[Path, Path]) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{listening.getsockname()[1]}")
    asked: list[bytes] = []

    def wrap(sock: socket.socket) -> socket.socket:
        data = b""
        while b"\r\n\r\n" not in data:
            data += sock.recv(65536)
        asked.append(data)
        sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return tls(certificate)(sock)

    with serving(listening, wrap) as heads:
        found = bench("https://models.example.test", auth=HttpAuth(insecure=True))
    assert found["requests"]["ok"] == 12
    assert asked[0].startswith(b"CONNECT models.example.test:443 HTTP/1.1")
    assert heads[0].startswith(b"POST /v1/models/m:predict HTTP/1.1")


def test_loopback_never_goes_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert resolve("http://127.0.0.1:8000", "custom", HttpAuth()).proxy is None
    assert resolve("http://a.example.test", "custom", HttpAuth()).proxy is not None
    monkeypatch.setenv("no_proxy", ".example.test")
    assert resolve("http://a.example.test", "custom", HttpAuth()).proxy is None


def test_a_fresh_connection_for_each_request() -> None:
    with groundtruth.start("plain") as server:
        plan = LoadPlan(server.url, "openai-chat", "m", "test", (StagePlan("sustained", concurrency=3, requests=30),),
                        stream=False, keep_alive=False)  # fmt: skip
        outcome = run_load(plan)
    assert len({(r.port) for r in server.truth().requests}) == 30
    assert all(ns > 0 for ns in outcome.records.columns["connect_ns"])


def test_headers_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANT", "blue")
    monkeypatch.setenv("BROKEN", "a\r\nX-Injected: 1")
    assert headers(HttpAuth((("X-Tenant", "TENANT"),))) == {"X-Tenant": "blue"}
    with pytest.raises(UsageError, match="line break"):
        headers(HttpAuth((("X-Tenant", "BROKEN"),)))
    with pytest.raises(UsageError, match="NOT_SET_HERE"):
        headers(HttpAuth(api_key_env="NOT_SET_HERE"))
    with pytest.raises(UsageError, match="name of a header"):
        headers(HttpAuth((("X Tenant:", "TENANT"),)))


@pytest.mark.parametrize(
    ("url", "api", "line"),
    [
        ("http://bücher.example/a/v1?k=1", "tgi", "http://xn--bcher-kva.example/a/generate?k=1"),
        ("http://h.example/a b/é?q=ü%20", "custom", "http://h.example/a%20b/%C3%A9?q=%C3%BC%20"),
        ("http://h.example?k=1", "tgi", "http://h.example/generate?k=1"),
    ],
)
def test_a_url_is_sent_as_http_writes_it(url: str, api: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # which is asked for the whole of it
    endpoint = resolve(url, api, HttpAuth())
    route = protocol(api).target(endpoint.path, "m", False)
    assert request_head(endpoint, route, {}, "*/*").startswith(f"POST {line} HTTP/1.1\r\n".encode())


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:99999", "http://127.0.0.1:x", "http://[", "socks5://127.0.0.1"])
def test_a_proxy_that_is_none_is_said_so(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(UsageError, match="proxy for http"):
        resolve("http://a.example.test", "custom", HttpAuth())


@pytest.mark.parametrize(
    "url",
    ["", "ftp://x", "http://", "http://h:99999", "127.0.0.1:8000", "http://h:0", "http://a:b@h", "http://" + "ä" * 80],
)
def test_bad_urls_are_refused(url: str) -> None:
    with pytest.raises(UsageError):
        resolve(url, "openai-chat", HttpAuth())


def test_the_fallback_poller_tells_reading_from_writing() -> None:
    poller = _Selector()
    one, two = socket.socketpair()
    poller.register(one.fileno(), 5)
    assert poller.poll(0.1) == [(one.fileno(), 4)]
    two.send(b"x")
    poller.modify(one.fileno(), 1)
    assert poller.poll(1.0) == [(one.fileno(), 1)]
    poller.unregister(one.fileno())
    poller.unregister(one.fileno())
    assert poller.poll(0) == []
    poller.close()
    one.close()
    two.close()
    assert os.name == "posix"
