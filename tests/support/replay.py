"""Recorded answers of real servers, served byte for byte on loopback."""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

RECORDINGS = Path(__file__).parent.parent / "data" / "recordings"
NOT_FOUND = (
    b'HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: 22\r\n\r\n{"detail":"Not Found"}'
)
Answer = bytes | Callable[[bytes], bytes]


def recorded(name: str) -> bytes:
    """The bytes of ``<folder>/<name>.http``."""
    return (RECORDINGS / f"{name}.http").read_bytes()


def whole(body: bytes, status: str = "200 OK", content_type: str = "application/json", *lines: str) -> bytes:
    """A made-up answer."""
    head = [f"HTTP/1.1 {status}", f"content-type: {content_type}", f"content-length: {len(body)}", *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


class Replay:
    """Serves `answers` ("GET /path" → bytes, or a function of the request's body); anything else is 404.

    `seen` holds the request lines in order, `heads` the request heads. A body that stops is waited for
    `body_timeout_s`, and then answered with `on_body_timeout` and closed.
    """

    def __init__(self, answers: Mapping[str, Answer], tls: ssl.SSLContext | None = None) -> None:
        self.answers = dict(answers)
        self.body_timeout_s = 30.0
        self.awaited = 0  # bodies that are being waited for now
        self.on_body_timeout = b""
        self.seen: list[str] = []
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        replay = self

        class Handler(socketserver.StreamRequestHandler):
            timeout = 30

            def handle(self) -> None:
                while replay._one(self.rfile, self.wfile, self.connection):
                    pass

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, request: object, client_address: object) -> None:
                """A client that leaves early is part of the tests."""

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Replay:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self.shut()
        self._thread.join(5)

    def shut(self) -> None:
        """Closes the port of a server, also of one that was never entered."""
        self._server.server_close()

    def answer(self, key: str, head: str, body: bytes) -> bytes:
        """What is answered to one request; `head` has the request line in it."""
        answer = self.answers.get(key, NOT_FOUND)
        return answer(body) if callable(answer) else answer

    def _one(self, rfile: object, wfile: object, connection: socket.socket) -> bool:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = rfile.readline(65536)  # type: ignore[attr-defined]
            if not line:
                return False
            head += line
        lines = head.decode("latin-1").split("\r\n")
        length = next((int(x.split(":")[1]) for x in lines if x.lower().startswith("content-length:")), 0)
        connection.settimeout(self.body_timeout_s)
        self.awaited += 1
        try:
            body = rfile.read(length) if length else b""  # type: ignore[attr-defined]
        except TimeoutError:
            wfile.write(self.on_body_timeout)  # type: ignore[attr-defined]
            return False
        finally:
            self.awaited -= 1
        connection.settimeout(30)
        key = " ".join(lines[0].split(" ")[:2])
        self.seen.append(key)
        self.heads.append(head.decode("latin-1"))
        self.bodies.append(body)
        data = self.answer(key, head.decode("latin-1"), body)
        wfile.write(data)  # type: ignore[attr-defined]
        answered = data.partition(b"\r\n\r\n")[0].lower()
        framed = b"content-length:" in answered or b"transfer-encoding: chunked" in answered
        return framed and b"connection: close" not in answered

    def gets(self) -> list[str]:
        """The paths that were asked with GET."""
        return [key.removeprefix("GET ") for key in self.seen if key.startswith("GET ")]

    def posts(self) -> list[str]:
        """The paths that were posted to."""
        return [key.removeprefix("POST ") for key in self.seen if key.startswith("POST ")]


def both(plain: bytes, stream: bytes) -> Callable[[bytes], bytes]:
    """`stream` for a request that asks for one, else `plain`."""
    return lambda body: stream if b'"stream": true' in body or b'"stream":true' in body else plain


SERVERS: dict[str, dict[str, Answer]] = {
    "vllm": {
        "GET /v1/models": recorded("vllm-0.32/models"),
        "GET /version": recorded("vllm-0.32/version"),
        "GET /health": recorded("vllm-0.32/health_ready"),
        "GET /metrics": recorded("vllm-0.32/metrics_after"),
        "POST /v1/chat/completions": both(recorded("vllm-0.32/chat"), recorded("vllm-0.32/chat_stream_usage")),
    },
    "llamacpp": {
        "GET /v1/models": recorded("llamacpp/v1_models"),
        "GET /version": recorded("llamacpp/version"),
        "GET /health": recorded("llamacpp/health"),
        "GET /props": recorded("llamacpp/props"),
        "GET /metrics": recorded("llamacpp/metrics"),
        # The recorded stream was saved without its chunk framing; EOF ends it.
        "POST /v1/chat/completions": lambda body: recorded("llamacpp/chat_stream").replace(
            b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n"
        ),
    },
    "ollama": {
        "GET /": recorded("ollama/root"),
        "GET /v1/models": recorded("ollama/v1_models"),
        "GET /api/version": recorded("ollama/api_version"),
        "GET /api/tags": recorded("ollama/api_tags"),
        "POST /api/chat": both(recorded("ollama/chat_plain"), recorded("ollama/chat_stream")),
        "POST /v1/chat/completions": both(recorded("ollama/v1_chat_plain"), recorded("ollama/v1_chat_stream_usage")),
    },
    "triton": {
        "GET /v2": recorded("triton/v2"),
        "GET /v2/health/live": recorded("triton/v2_health_live"),
        "GET /v2/health/ready": recorded("triton/v2_health_ready"),
        "GET /v2/models/double": recorded("triton/v2_models_double"),
        "GET /v2/models/double/ready": recorded("triton/v2_health_ready"),
        "POST /v2/models/double/infer": recorded("triton/infer"),
        "POST /v2/repository/index": recorded("triton/repository_index"),
    },
    "torchserve": {
        "GET /ping": recorded("torchserve/ping"),
        "GET /v1/models": recorded("torchserve/route_v1_models"),
        "GET /v2": recorded("torchserve/route_v2"),
        "POST /predictions/tiny": recorded("torchserve/predict"),
    },
    "kserve": {
        "GET /": recorded("kserve/root"),
        "GET /v1/models": recorded("kserve/v1_models"),
        "GET /v2": recorded("kserve/v2_metadata"),
        "GET /v2/health/live": recorded("kserve/v2_live"),
        "GET /v2/health/ready": recorded("kserve/v2_ready"),
        "GET /v2/models/tiny": recorded("kserve/v2_model"),
        "GET /v2/models/tiny/ready": recorded("kserve/v2_model_ready"),
        "GET /metrics": recorded("kserve/metrics_after"),
        "POST /v2/models/tiny/infer": recorded("kserve/v2_infer"),
    },
    "mlserver": {
        "GET /v2": recorded("mlserver/server_metadata"),
        "GET /v2/health/live": recorded("mlserver/health_live"),
        "GET /v2/health/ready": recorded("mlserver/health_ready"),
        "GET /v2/models/tiny": recorded("mlserver/model_metadata"),
        "GET /v2/models/tiny/ready": recorded("mlserver/model_ready"),
        "POST /v2/models/tiny/infer": recorded("mlserver/infer"),
        "POST /v2/repository/index": recorded("mlserver/repository_index"),
    },
    "ray-serve": {
        "GET /": recorded("ray-serve/root"),
        "GET /v1/models": recorded("ray-serve/route_v1_models"),
        "GET /-/healthz": recorded("ray-serve/healthz"),
    },
    "bentoml": {
        "GET /schema.json": recorded("bentoml/schema"),
        "GET /livez": recorded("bentoml/livez"),
        "GET /readyz": recorded("bentoml/readyz"),
        "GET /v1/models": recorded("bentoml/route_v1_models"),
        "GET /metrics": recorded("bentoml/metrics_after"),
    },
    "transformers-serve": {
        "GET /openapi.json": recorded("transformers-serve/openapi"),
        "GET /health": recorded("transformers-serve/health"),
        "GET /v1/models": recorded("transformers-serve/forced_v1_models"),
        "POST /v1/chat/completions": both(
            recorded("transformers-serve/chat"), recorded("transformers-serve/chat_stream")
        ),
    },
    "unknown": {
        "GET /openapi.json": recorded("fastapi-instrumentator/openapi"),
        "GET /health": recorded("fastapi-instrumentator/health"),
        "GET /ready": recorded("fastapi-instrumentator/ready"),
        "GET /metrics": recorded("fastapi-instrumentator/metrics_after"),
        "POST /predict": recorded("fastapi-instrumentator/predict"),
    },
}
"""Runtime name → the routes of a real server of it, as recorded."""
