"""Two requests held open side by side, only with ``--hold``: a body that stops half-way, and an answer that takes long.

Who is on the way (server, proxy, load balancer) decides how long they live; nothing lives longer than was asked for.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec

from inferaudit.collect.endpoint_requests import Asked
from inferaudit.collect.endpoint_wire import body_for
from inferaudit.collect.http_client import Http
from inferaudit.facts.endpoint import HeldRequest

_LONG = "Write the numbers from one to ten thousand in words, one on each line, and nothing else."
_LONG_TOKENS, _LEAST_TOKENS = 8_192, 64  # it is given up when the time is over, however many are left
_GOES_ON = frozenset(("vllm", "sglang", "llamacpp"))  # what takes ignore_eos
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_HEAD_BYTES = 65_536


def hold_requests(asked: Asked, context: ssl.SSLContext, seconds: float) -> list[HeldRequest]:
    """Both for `seconds` at most. APIs that generate no text have no long answer."""
    jobs: list[Callable[[], HeldRequest]] = [lambda: _slow_body(asked, context, seconds)]
    if asked.wire.framing is not None:
        jobs.append(lambda: _long_answer(asked, context, seconds))
    found: list[HeldRequest | None] = [None] * len(jobs)

    def run(place: int) -> None:
        found[place] = jobs[place]()

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [held for held in found if held is not None]


def _slow_body(asked: Asked, context: ssl.SSLContext, seconds: float) -> HeldRequest:
    """A good request whose second half never comes, on a connection of its own."""
    parts = urlsplit(asked.http.base)
    sample = asked.sample()
    body = json.dumps(sample[0] if sample else {"inputs": ["hello"] * 8}).encode()
    half = body[: max(1, len(body) // 2)]
    lines = [
        f"POST {parts.path}{asked.route() or '/'} HTTP/1.1",
        f"host: {parts.netloc}",
        "user-agent: inferaudit",
        "content-type: application/json",
        f"content-length: {len(body)}",
        *(f"{name}: {value}" for name, value in asked.http.headers.items()),
    ]
    sent = f"{len(half)} of {len(body)} bytes of a body, then nothing"
    start = time.monotonic()
    held = HeldRequest(kind="slow_body", route=asked.route(), sent=sent, limit_s=seconds)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=min(seconds, 10.0)) as plain:
            sock = context.wrap_socket(plain, server_hostname=parts.hostname) if parts.scheme == "https" else plain
            with sock:
                sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + half)
                start = time.monotonic()
                return _until_let_go(sock, held, start)
    except OSError as error:
        ended = "closed" if isinstance(error, ConnectionError) else "error"
        detail = asked.scrub(str(error) or type(error).__name__)
        return msgspec.structs.replace(held, ended=ended, after_s=_since(start), detail=detail)


def _until_let_go(sock: socket.socket, held: HeldRequest, start: float) -> HeldRequest:
    """Wait for a final answer, the end of the connection or the end of the time."""
    data = b""
    while (left := start + held.limit_s - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            more = sock.recv(_HEAD_BYTES)
        except TimeoutError:
            break
        except ConnectionError:
            more = b""
        data = (data + more)[:_HEAD_BYTES]
        final = [int(code) for code in _STATUS.findall(data) if not code.startswith(b"1")]
        if final:
            return msgspec.structs.replace(held, ended="answer", status=final[0], after_s=_since(start))
        if not more:
            return msgspec.structs.replace(held, ended="closed", after_s=_since(start))
    return msgspec.structs.replace(held, ended="held", after_s=_since(start))


def _long_answer(asked: Asked, context: ssl.SSLContext, seconds: float) -> HeldRequest:
    """A request for a long text, not streamed, so that nothing is sent back until it is whole."""
    room = max(_LEAST_TOKENS, (asked.context or 2 * _LONG_TOKENS) // 2)
    tokens = min(_LONG_TOKENS, room)
    body = body_for(asked.wire.name, asked.model, stream=False, prompt=_LONG, tokens=tokens)
    if asked.profile.name in _GOES_ON and asked.wire.name != "ollama":
        body["ignore_eos"] = True
    route = asked.route()
    held = HeldRequest(kind="long_answer", route=route, sent=f"a request for {tokens} tokens at once", limit_s=seconds)
    with Http(asked.http.base, asked.http.headers, context, seconds) as http:
        reply = http.post(route, json.dumps(body).encode())
    after = (reply.ms or 0.0) / 1e3
    if reply.error in ("timeout_headers", "timeout_stall", "timeout_total"):
        return msgspec.structs.replace(held, ended="held", status=reply.status, after_s=after)
    if reply.error is None and reply.status is not None:
        said = "" if reply.status == 200 else asked.scrub(reply.text)
        return msgspec.structs.replace(held, ended="answer", status=reply.status, after_s=after, detail=said)
    cut = reply.error in ("reset_before_headers", "reset_in_body", "truncated")
    detail = asked.scrub(f"{reply.error}: {reply.detail}")
    return msgspec.structs.replace(
        held, ended="closed" if cut else "error", status=reply.status, after_s=after, detail=detail
    )


def _since(start: float) -> float:
    return round(time.monotonic() - start, 3)
