"""Requests held open on purpose, against servers that bear them, cut them off, or answer in time."""

from __future__ import annotations

import json
import re
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.certificates import certificate
from support.replay import SERVERS, Replay, both, recorded, whole

from inferaudit.collect.endpoint import collect_endpoint
from inferaudit.facts.endpoint import HeldRequest
from inferaudit.model import FactErrorKind
from inferaudit.plan import EndpointPlan, HttpAuth

LONG = b"ten thousand"
CHAT = both(recorded("vllm-0.32/chat"), recorded("vllm-0.32/chat_stream_usage"))
KEY = "sk-invented-0123456789abcdef"


def held(server: Replay, seconds: float = 1.5, **plan: Any) -> dict[str, HeldRequest]:
    auth = HttpAuth(api_key_env="KEY")
    facts = collect_endpoint(EndpointPlan(url=server.url, hold_s=seconds, auth=auth, **plan), environ={"KEY": KEY})
    fact = facts["endpoint.held"]
    assert fact.error is None, fact.error
    return {held.kind: held for held in fact.value}


def served(long: Any, tls: ssl.SSLContext | None = None) -> Replay:
    def chat(body: bytes) -> bytes:
        return bytes(long() if LONG in body else CHAT(body))

    return Replay({**SERVERS["vllm"], "POST /v1/chat/completions": chat}, tls)


def after(seconds: float, answer: bytes) -> Any:
    def wait() -> bytes:
        time.sleep(seconds)
        return answer

    return wait


def test_both_are_borne_side_by_side_to_the_end() -> None:
    beside: list[bool] = []

    def never() -> bytes:
        until = time.monotonic() + 20
        while not server.awaited and time.monotonic() < until:
            time.sleep(0.01)
        beside.append(server.awaited > 0)
        time.sleep(30)
        return b""

    with served(never) as server:
        found = held(server, seconds=3.0)
        heads = [head for head in server.heads if "inferaudit" in head]
        bodies = [body for body in server.bodies if LONG in body]
    assert beside == [True]
    assert set(found) == {"slow_body", "long_answer"}
    for each in found.values():
        assert (each.ended, each.status) == ("held", None)
        assert each.after_s >= 2.9
        assert KEY not in repr(each)
    assert all(f"Bearer {KEY}" in head for head in heads if "POST" in head)
    (body,) = bodies
    assert json.loads(body)["ignore_eos"] is True
    assert json.loads(body)["max_tokens"] == 256  # half of the context that the model states
    assert "256 tokens" in found["long_answer"].sent


@pytest.mark.parametrize(
    ("answer", "ended", "status"),
    [
        (whole(b"<html>timeout</html>", "504 Gateway Time-out", "text/html"), "answer", 504),
        (b"", "closed", None),
        (recorded("vllm-0.32/chat"), "answer", 200),
    ],
    ids=["504", "closed", "whole"],
)
def test_how_a_long_answer_ended_and_when(answer: bytes, ended: str, status: int | None) -> None:
    with served(after(0.5, answer)) as server:
        server.body_timeout_s = 0.5
        found = held(server, seconds=15.0)["long_answer"]
    assert (found.ended, found.status) == (ended, status)
    assert 0.4 <= found.after_s < 15.0


@pytest.mark.parametrize(
    ("answer", "ended", "status"),
    [
        (whole(b"", "408 Request Timeout"), "answer", 408),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + whole(b"", "408 Request Timeout"), "answer", 408),
        (b"", "closed", None),
    ],
    ids=["408", "interim", "closed"],
)
def test_how_half_a_body_was_let_go(answer: bytes, ended: str, status: int | None) -> None:
    """The server waits half a second for the rest of a body, as gateways wait a minute."""
    with served(after(0, CHAT(b""))) as server:
        server.body_timeout_s, server.on_body_timeout = 0.5, answer
        found = held(server, seconds=15.0)["slow_body"]
    assert (found.ended, found.status) == (ended, status)
    assert 0.4 <= found.after_s < 15.0
    assert re.fullmatch(r"\d+ of \d+ bytes of a body, then nothing", found.sent)


def test_over_tls(tmp_path: Path) -> None:
    chain, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    with served(after(5.0, b""), tls=context) as server:
        plan = EndpointPlan(url=server.url, hold_s=1.5, auth=HttpAuth(insecure=True))
        fact = collect_endpoint(plan, environ={})["endpoint.held"]
    assert {each.kind: each.ended for each in fact.value} == {"slow_body": "held", "long_answer": "held"}


def test_an_interrupted_hold_keeps_what_was_seen_before(tmp_path: Path) -> None:
    with served(after(30.0, b"")) as server:
        command = [sys.executable, "-m", "inferaudit.cli.app", "run", "--url", server.url, "--scope", "endpoint"]
        command += ["--hold", "60s", "-o", f"json={tmp_path}/r.json"]
        run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        until = time.monotonic() + 60
        while not any(LONG in body for body in server.bodies) and time.monotonic() < until:
            time.sleep(0.1)
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=30)
    report = json.loads((tmp_path / "r.json").read_text())
    assert (run.returncode, report["interrupted"]) == (130, True)
    assert "Traceback" not in said
    outcomes = {f["check"]: f["outcome"] for f in report["findings"]}
    assert outcomes["endpoint-plain-answer"] == "pass"
    assert report["target"]["runtime"]["name"] == "vllm"


def test_tensors_have_no_long_answer_and_nothing_is_held_unasked() -> None:
    with Replay(SERVERS["triton"]) as server:
        assert set(held(server, seconds=1.0)) == {"slow_body"}
        error = collect_endpoint(EndpointPlan(url=server.url), environ={})["endpoint.held"].error
    assert error is not None
    assert (error.kind, error.remedy) == (FactErrorKind.NOT_ASKED, "--hold 90s")


@pytest.mark.parametrize("text", ["0s", "11m", "soon"])
def test_a_time_that_is_none_is_a_usage_error(text: str) -> None:
    command = [sys.executable, "-m", "inferaudit.cli.app", "run", "--url", "http://127.0.0.1:9", "--hold", text]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 2
    assert "Traceback" not in run.stderr
