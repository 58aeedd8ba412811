"""A careful HTTP client for audits: bounded in bytes and time, no redirects, no secrets in what it returns.

A GET that meets a kept connection which the server was just closing is sent once more (RFC 9110, 9.2.2); nothing else
is ever repeated.

A failure is a word (the benchmark's error classes), never a traceback; only :func:`credentials` raises for a user.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from inferaudit.errors import UsageError
from inferaudit.http_deadline import Deadline, keep
from inferaudit.plan import HttpAuth
from inferaudit.redact import marker, redact_text

EXCERPT = 200
MAX_BODY = 32 << 20
Send = tuple[str, str, bytes | None, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer, or why there is none: `error` is set when it did not arrive whole. `ms` counts from the sending."""

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    ms: float | None = None
    error: str | None = None
    detail: str = ""
    http_version: str | None = None
    local: tuple[Any, ...] | None = None

    @property
    def text(self) -> str:
        """The body as text; what is no UTF-8 is replaced."""
        return self.body.decode("utf-8", "replace")

    @property
    def json(self) -> Any:
        """The body as JSON; None where it is none."""
        return parse_json(self.text)


@dataclass(slots=True)
class Chunk:
    """A read off the wire: decoded bytes and the time since the send stamp."""

    data: bytes
    ms: float


def parse_json(text: str) -> Any:
    """`text` as JSON; None where it is none, or nested beyond reason."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


class Scrubber:
    """Makes text from outside fit to keep: known secret values, credentials, control characters and length."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self._secrets = tuple(sorted((s for s in secrets if len(s) >= 4), key=len, reverse=True))

    def __call__(self, text: str, limit: int = EXCERPT) -> str:
        """`text`, clean, at most `limit` characters."""
        text = text[: 64 * 1024]
        for secret in self._secrets:
            text = text.replace(secret, marker("credential", secret))
        clean = redact_text(re.sub(r"\s+", " ", "".join(c if c.isprintable() else " " for c in text)).strip())
        return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def credentials(auth: HttpAuth, environ: Mapping[str, str]) -> dict[str, str]:
    """The headers that authenticate; :class:`UsageError` names a variable that is not set."""
    headers = {}
    if auth.api_key_env:
        key = _variable(auth.api_key_env, "--api-key-env", environ)
        headers["authorization"] = f"Bearer {key}"
    for name, variable in auth.header_env:
        if not (name.isascii() and name.isprintable()):
            raise UsageError(f"--header-env: {name!r} holds a character that no header's name may")
        headers[name.lower()] = _variable(variable, "--header-env", environ)
    return headers


def _variable(name: str, flag: str, environ: Mapping[str, str]) -> str:
    value = environ.get(name, "")
    if not value:
        raise UsageError(f"{flag} names the environment variable {name}, which is not set")
    if any(c in value for c in "\r\n\0"):
        raise UsageError(f"{flag}: the value of {name} holds a line break; a header cannot")
    if not (value.isascii() and value.isprintable()):
        raise UsageError(f"{flag}: the value of {name} holds a character that no header may; is it pasted whole?")
    return value


class Http:
    """Requests to one server. Relative paths go under the base; absolute URLs go where they say, without credentials
    unless they are of the same origin."""

    def __init__(self, base: str, headers: Mapping[str, str], context: ssl.SSLContext, timeout_s: float) -> None:
        self.base = base.rstrip("/")
        self.headers = dict(headers)
        self.timeout_s = timeout_s
        self.sent = 0
        self.connections = 0
        self._deadline = Deadline()
        limits = httpx.Limits(max_connections=4, max_keepalive_connections=1, keepalive_expiry=60.0)
        self._client = httpx.Client(verify=context, limits=limits, trust_env=False, follow_redirects=False)
        keep(self._client, self._deadline)

    def __enter__(self) -> Http:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(
        self,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        credentials: bool = True,
        timeout_s: float | None = None,
    ) -> Reply:
        """``GET``; never raises."""
        return self._whole("GET", path, None, headers or {}, credentials, timeout_s or self.timeout_s)

    def post(
        self,
        path: str,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        credentials: bool = True,
    ) -> Reply:
        """``POST``, once; never raises and never repeats."""
        merged = {"content-type": "application/json", **(headers or {})}
        return self._whole("POST", path, body, merged, credentials, self.timeout_s)

    def stream(
        self, path: str, body: bytes, on_chunk: Callable[[Chunk], bool], headers: Mapping[str, str] | None = None
    ) -> Reply:
        """``POST``; each read goes to `on_chunk`, decoded, until it answers False. The reply's body stays empty on 200;
        any other status is read whole, as :meth:`post` does. A compressed body is asked for, to see who compresses."""
        merged = {
            "content-type": "application/json",
            "accept": "text/event-stream, application/json",
            "accept-encoding": "gzip, deflate",
            **(headers or {}),
        }
        return self._send("POST", path, body, merged, True, self.timeout_s, on_chunk)

    def _whole(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], credentials: bool, limit: float
    ) -> Reply:
        merged = {"accept-encoding": "identity", **headers}
        connected = self.connections
        reply = self._send(method, path, body, merged, credentials, limit, None)
        stale = reply.error == "reset_before_headers" and self.connections == connected
        return self._send(method, path, body, merged, credentials, limit, None) if stale and method == "GET" else reply

    def _send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        credentials: bool,
        limit: float,
        on_chunk: Callable[[Chunk], bool] | None,
    ) -> Reply:
        url = path if "://" in path else self.base + path
        self.sent += 1
        start = time.perf_counter_ns()
        seen = Reply()
        try:
            own = self.headers if credentials and _origin(url) == _origin(self.base) else {}
            request = self._client.build_request(
                method,
                url,
                content=body,
                headers={"user-agent": "inferaudit", "accept": "*/*", **headers, **own},
                timeout=httpx.Timeout(limit, connect=min(limit, 10.0)),
                extensions={"trace": self._traced},
            )
            self._deadline.at = time.monotonic() + limit
            response = self._client.send(request, stream=True)
            self._deadline.at = None
            try:
                seen = _head(response)
                return self._body(response, seen, start, limit, on_chunk)
            finally:
                response.close()
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError, zlib.error, ValueError) as error:
            kind = error_class(error, headers_seen=seen.status is not None)
            detail = str(error) or type(error).__name__
            return Reply(seen.status, seen.headers, b"", _since(start), kind, detail, seen.http_version, seen.local)

    def _traced(self, event: str, _: Mapping[str, Any]) -> None:
        self.connections += event == "connection.connect_tcp.started"

    def _body(
        self,
        response: httpx.Response,
        seen: Reply,
        start: int,
        limit: float,
        on_chunk: Callable[[Chunk], bool] | None,
    ) -> Reply:
        streaming = on_chunk is not None and response.status_code == 200
        kept, size, error, detail = bytearray(), 0, None, ""
        for data in _decoded(response):
            size += len(data)
            if streaming and on_chunk is not None:
                if not on_chunk(Chunk(data, _since(start))):
                    break
            else:
                kept += data
            if size > MAX_BODY:
                error, detail = "malformed_http", f"the body is larger than {MAX_BODY >> 20} MiB"
                break
            if _since(start) > limit * 1000:
                error, detail = "timeout_total", f"the body was not complete after {limit:g} s"
                break
        return Reply(
            seen.status, seen.headers, bytes(kept), _since(start), error, detail, seen.http_version, seen.local
        )


def _head(response: httpx.Response) -> Reply:
    network = response.extensions.get("network_stream")
    local = network.get_extra_info("client_addr") if network is not None else None
    headers = {name.lower(): value[:1000] for name, value in list(response.headers.items())[:200]}
    return Reply(response.status_code, headers, http_version=response.http_version, local=local)


def _decoded(response: httpx.Response) -> Iterator[bytes]:
    """The body's bytes as they arrive; gzip and deflate are undone in bounded steps, so that no bomb goes off."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        yield from response.iter_raw()
        return
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise UnicodeError(f"Content-Encoding {encoding[:40]!r} was not asked for")
    inflate = zlib.decompressobj(47)
    for raw in response.iter_raw():
        while raw:
            yield inflate.decompress(raw, 1 << 16)
            raw = inflate.unconsumed_tail


def error_class(error: Exception, *, headers_seen: bool) -> str:
    """The benchmark's class of a failure."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and len(chain) < 8:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, UnicodeError | zlib.error):
        return "bad_encoding"
    if any(isinstance(c, socket.gaierror) for c in chain):
        return "dns"
    if any(isinstance(c, ConnectionRefusedError) for c in chain):
        return "refused"
    if any(isinstance(c, ssl.SSLError) for c in chain):
        return "tls"
    if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
        return "connect_timeout"
    if isinstance(error, httpx.ConnectError):
        return "refused"
    if isinstance(error, httpx.TimeoutException):
        return "timeout_stall" if headers_seen else "timeout_headers"
    if isinstance(error, httpx.RemoteProtocolError):
        text = str(error).lower()
        if "disconnected" in text:
            return "reset_before_headers"
        if "peer closed" in text or "incomplete" in text:
            return "truncated"
        return "malformed_http"
    if isinstance(error, httpx.WriteError):
        return "reset_before_send"
    if isinstance(error, httpx.ReadError | OSError):
        return "reset_in_body" if headers_seen else "reset_before_headers"
    return "malformed_http"


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _since(start: int) -> float:
    return (time.perf_counter_ns() - start) / 1e6
