"""Whom the load's credentials are shown to: the origin that it goes to, and nobody else."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from dataclasses import replace

import pytest
from support.replay import Replay, whole

from inferaudit.bench.fetch import get_json, get_page
from inferaudit.errors import CollectError
from inferaudit.plan import HttpAuth, LoadPlan

PAGE = {"GET /metrics": whole(b"x 1\n", content_type="text/plain")}


def plan(url: str) -> LoadPlan:
    return LoadPlan(url=url, api="openai-chat", model="m", profile="test", stages=(), auth=HttpAuth(api_key_env="KEY"))


def shown(server: Replay, load: str, page: str) -> bool:
    get_page(plan(load), page)
    return "a-secret-key" in server.heads[-1]


def test_credentials_stay_at_their_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "a-secret-key")
    with Replay(PAGE) as server, Replay({}) as other:
        page = f"{server.url}/metrics"
        assert shown(server, server.url, page)
        assert not shown(server, other.url, page), "another port"
        assert not shown(server, server.url.replace("127.0.0.1", "localhost"), page), "another name"


def test_a_page_that_drips_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "a-secret-key")
    given_up = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            with contextlib.suppress(OSError):
                self.request.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n")
                while not given_up.wait(0.02):
                    self.request.sendall(b"x 1\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        with pytest.raises(CollectError, match="no whole answer within"):
            get_page(replace(plan(url), timeout_s=0.5), f"{url}/metrics")
        given_up.set()
        server.shutdown()


def test_an_address_that_is_none_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "a-secret-key")
    with pytest.raises(CollectError, match="99999"):
        get_page(plan("http://127.0.0.1:9"), "http://127.0.0.1:99999/metrics")


def test_what_is_nested_without_end_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "a-secret-key")
    pages = {"GET /v2/models/m": whole(b'{"a":' * 100_000)}
    with Replay(pages) as server, pytest.raises(CollectError, match="did not answer JSON"):
        get_json(plan(server.url), "/v2/models/m")
