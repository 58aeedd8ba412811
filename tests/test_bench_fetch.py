"""Whom the load's credentials are shown to: the origin that it goes to, and nobody else."""

from __future__ import annotations

import pytest
from support.replay import Replay, whole

from inferaudit.bench.fetch import get_page
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


def test_an_address_that_is_none_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "a-secret-key")
    with pytest.raises(CollectError, match="99999"):
        get_page(plan("http://127.0.0.1:9"), "http://127.0.0.1:99999/metrics")
