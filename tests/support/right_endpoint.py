"""An endpoint without a fault, as vLLM would serve it behind a careful gateway; tests change one thing in it.

It speaks TLS, wants a key, refuses what is wrong with a 4xx, counts what it does on its metrics page, and ends what
takes too long. What a fault changes are attributes: headers, switches, and `routes` (answers that go before its own).
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.certificates import certificate
from support.replay import Replay, whole

KEY = "sk-invented-0123456789abcdef"
MODEL = "m"
WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight"]
CONTEXT = 2_000
BOUNDS = (0.01, 0.05, 0.1, 0.5, 1.0, 2.5)
HISTOGRAMS = ("e2e_request_latency_seconds", "time_to_first_token_seconds", "inter_token_latency_seconds")
GAUGES = {"num_requests_waiting": 0.0, "kv_cache_usage_perc": 0.1}
Route = Callable[[str, bytes], bytes]


class RightEndpoint(Replay):
    """`routes` maps "METHOD /path" to a function of head and body; None from it falls back to the right answer."""

    def __init__(self, folder: Path, *, tls: bool = True) -> None:
        self.folder = folder
        self.ca, key = certificate(folder, days=90)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.ca, key)
        super().__init__({}, self.context if tls else None)
        self.body_timeout_s, self.on_body_timeout = 0.4, whole(b"", "408 Request Timeout")
        self.headers = {"strict-transport-security": "max-age=31536000", "server": "gateway"}
        self.routes: dict[str, Any] = {}
        self.open: set[str] = {"/health", "/ping"}  # paths that want no key
        self.owner, self.served = "vllm", MODEL
        self.usage = self.done = self.echo = True
        self.stream_headers: dict[str, str] = {}
        self.long_s = 3.0  # a long answer is not ready before a client of these tests gives up
        self.stream_wait_s = 0.0
        self.page_of: Callable[[str], str] = lambda page: page
        self.counts = {"requests": 0, "prompt": 0, "generated": 0, "running": 0}
        self.seconds = 0.0
        self.factor = 1.0  # of the latency that the page shows
        self.lock = threading.Lock()

    def answer(self, key: str, head: str, body: bytes) -> bytes:
        given = self.routes.get(key)
        data = given(head, body) if callable(given) else given
        if data is None:
            data = self._right(key, head, body)
        first, _, rest = data.partition(b"\r\n")
        more = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        request_id = next((x for x in head.split("\r\n") if x.lower().startswith("x-request-id:")), "")
        if request_id and self.echo:
            more += f"{request_id}\r\n"
        return first + b"\r\n" + more.encode() + rest

    def page(self) -> str:
        """The metrics page."""
        label = f'model_name="{MODEL}"'
        with self.lock:
            seen, seconds = dict(self.counts), self.seconds * self.factor
        lines = []
        for name in HISTOGRAMS:
            lines.append(f"# TYPE vllm:{name} histogram")
            lines += [f'vllm:{name}_bucket{{{label},le="{le}"}} {seen["requests"]}' for le in (*BOUNDS, "+Inf")]
            lines += [f"vllm:{name}_sum{{{label}}} {seconds}", f"vllm:{name}_count{{{label}}} {seen['requests']}"]
        for name, value in {**GAUGES, "num_requests_running": float(seen["running"])}.items():
            lines += [f"# TYPE vllm:{name} gauge", f"vllm:{name}{{{label}}} {value}"]
        for name, value in (("prompt_tokens", seen["prompt"]), ("generation_tokens", seen["generated"])):
            lines += [f"# TYPE vllm:{name}_total counter", f"vllm:{name}_total{{{label}}} {value}"]
        lines.append("# TYPE vllm:request_success_total counter")
        for reason, count in (("stop", seen["requests"]), ("error", 0)):
            lines.append(f'vllm:request_success_total{{{label},finished_reason="{reason}"}} {count}')
        lines.append("# TYPE http_requests_total counter")
        lines.append(
            f'http_requests_total{{handler="/v1/chat/completions",status="2xx",method="POST"}} {seen["requests"]}'
        )
        return self.page_of("\n".join([*lines, ""]))

    def keyed(self, head: str) -> bool:
        """Whether the request has the key."""
        return f"Bearer {KEY}" in head

    def _right(self, key: str, head: str, body: bytes) -> bytes:
        path = key.partition(" ")[2]
        if path not in self.open and not self.keyed(head):
            return error("401 Unauthorized", "a key is wanted")
        if key in ("GET /health", "GET /ping"):
            return whole(b"")
        if key == "GET /version":
            return whole(b'{"version": "0.33.0"}')
        if key == "GET /metrics":
            return whole(self.page().encode(), "200 OK", "text/plain; version=0.0.4")
        if key == "GET /v1/models":
            model = {"id": self.served, "object": "model", "owned_by": self.owner, "max_model_len": CONTEXT}
            return whole(json.dumps({"object": "list", "data": [model]}).encode())
        if key == "POST /v1/chat/completions":
            return self.chat(body)
        return error("404 Not Found", "no such route")

    def chat(self, body: bytes) -> bytes:
        """A whole answer or a stream of eight tokens; 4xx for what is no request."""
        try:
            asked = json.loads(body)
            model, prompt = asked["model"], asked["messages"][0]["content"]
        except (ValueError, LookupError, TypeError):
            return error("400 Bad Request", "no valid request")
        if model != MODEL:
            return error("404 Not Found", "no such model")
        if len(prompt.split()) > CONTEXT:
            return error("400 Bad Request", "the prompt is longer than the context")
        if "ten thousand" in prompt:
            time.sleep(self.long_s)
            return b""
        tokens = min(len(WORDS), asked.get("max_tokens", 8))
        with self.lock:
            self.counts["requests"] += 1
            self.counts["prompt"] += len(prompt.split())
            self.counts["generated"] += tokens
            self.seconds += self.stream_wait_s
        return self._stream(tokens) if asked.get("stream") else self._plain(tokens, prompt)

    def _plain(self, tokens: int, prompt: str) -> bytes:
        message = {"role": "assistant", "content": " ".join(WORDS[:tokens])}
        answer: dict[str, Any] = {
            "object": "chat.completion", "model": MODEL,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        }  # fmt: skip
        if self.usage:
            answer["usage"] = usage(len(prompt.split()), tokens)
        return whole(json.dumps(answer).encode())

    def _stream(self, tokens: int) -> bytes:
        time.sleep(self.stream_wait_s)
        chunk = {"object": "chat.completion.chunk", "model": MODEL}
        deltas: list[dict[str, str]] = [{"role": "assistant"}, *({"content": f"{w} "} for w in WORDS[:tokens]), {}]
        events: list[dict[str, Any]] = [
            chunk | {"choices": [{"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}]}
            for delta in deltas
        ]
        events.append(chunk | {"choices": [], "usage": usage(7, tokens)})
        text = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + ("data: [DONE]\n\n" if self.done else "")
        lines = [f"{name}: {value}" for name, value in self.stream_headers.items()]
        return whole(text.encode(), "200 OK", "text/event-stream", *lines)


def usage(prompt: int, tokens: int) -> dict[str, int]:
    """Token counts as the API states them."""
    return {"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens}


def error(status: str, text: str) -> bytes:
    """An error as the API states it."""
    return whole(json.dumps({"error": {"message": text, "type": "invalid_request_error"}}).encode(), status)
