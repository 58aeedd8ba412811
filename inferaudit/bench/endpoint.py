"""Where the load goes: URL, addresses, proxy, TLS and the request head. Resolved once, before the clock starts."""

from __future__ import annotations

import base64
import os
import re
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from inferaudit.base_path import base_path
from inferaudit.bench.protocols import PROTOCOLS
from inferaudit.errors import UsageError
from inferaudit.plan import HttpAuth
from inferaudit.rpc.urls import http_url
from inferaudit.tls import tls_context

USER_AGENT = "inferaudit-bench/0.1 (load test)"
_FORBIDDEN = ("\r", "\n", "\0")
_SAFE = "!$%&'()*+,/:;=?@[]~"  # path and query are written with it (RFC 3986), and what is quoted already stays
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # of a header (RFC 9110, 5.6.2)


@dataclass(frozen=True, slots=True)
class Address:
    """A place to connect to."""

    family: int
    sockaddr: Any


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy from the environment; `authorization` is the header's value or empty."""

    host: str
    port: int
    authorization: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A resolved target. `addresses` is empty when the name did not resolve. Times in nanoseconds."""

    scheme: str
    host: str
    port: int
    path: str
    authority: str
    addresses: tuple[Address, ...]
    dns_ns: int | None = None
    proxy: Proxy | None = None
    tls: ssl.SSLContext | None = None
    unix: bool = False
    # The headers of every call, where the API is one of gRPC; empty for HTTP/1.1.
    call: tuple[tuple[str, str], ...] = ()

    @property
    def tunnelled(self) -> bool:
        """Does a CONNECT tunnel come before TLS, or before gRPC?"""
        return self.proxy is not None and (self.tls is not None or bool(self.call))

    @property
    def local(self) -> bool:
        """Is it this very machine?"""
        return self.unix or is_local(self.host)


def is_local(host: str) -> bool:
    """Loopback by name or address."""
    return host in ("localhost", "::1") or host.startswith("127.") or host.endswith(".localhost")


def refuse_credentials(url: str) -> None:
    """:class:`UsageError` for a URL that holds some: wherever it is shown, they would be."""
    if "@" in re.split("[/?#]", url.partition("://")[2], maxsplit=1)[0]:
        raise UsageError("a URL may hold no credentials here; use --api-key-env or --header-env")


def resolve(url: str, api: str, auth: HttpAuth, environ: Mapping[str, str] | None = None) -> Endpoint:
    """The endpoint behind `url` (http, https, grpc, grpcs or ``unix:/path/to/socket``); :class:`UsageError` for a bad
    URL."""
    environ = os.environ if environ is None else environ
    refuse_credentials(url)
    url = http_url(url, api)
    rpc = api in PROTOCOLS and PROTOCOLS[api].rpc
    if url.startswith("unix:"):
        path = url.removeprefix("unix:")
        return Endpoint("http", "localhost", 0, "", "localhost", (Address(socket.AF_UNIX, path),), unix=True)
    try:
        parts = urlsplit(url)
        port = (443 if parts.scheme == "https" else 80) if parts.port is None else parts.port
        host = (parts.hostname or "").encode("idna").decode()
    except ValueError as error:
        raise UsageError(f"{url!r} is not a URL: {error}") from None
    if parts.scheme not in ("http", "https") or not host or not port:
        raise UsageError(f"{url!r} is not a URL such as http://127.0.0.1:8000 or unix:/run/server.sock")
    path = base_path(parts.path) if api != "custom" else parts.path or "/"
    route = quote(path, _SAFE) + (f"?{quote(parts.query, _SAFE)}" if parts.query else "")
    name = f"[{host}]" if ":" in host else host
    default = port == (443 if parts.scheme == "https" else 80)
    proxy = _proxy(parts.scheme, host, port, environ)
    first = time.monotonic_ns()
    addresses = _addresses(*((proxy.host, proxy.port) if proxy else (host, port)))
    return Endpoint(
        scheme=parts.scheme,
        host=host,
        port=port,
        path=route,
        authority=name if default else f"{name}:{port}",
        addresses=addresses,
        dns_ns=time.monotonic_ns() - first,
        proxy=proxy,
        tls=tls_context(auth, "h2" if rpc else "http/1.1") if parts.scheme == "https" else None,
    )


def headers(auth: HttpAuth, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The user's headers, their values read from the environment by name."""
    environ = os.environ if environ is None else environ
    found: dict[str, str] = {}
    names = list(auth.header_env)
    if auth.api_key_env:
        names.append(("Authorization", auth.api_key_env))
    for name, variable in names:
        value = environ.get(variable)
        if value is None:
            raise UsageError(f"the environment has no {variable} (for the header {name})")
        if any(c in value or c in name for c in _FORBIDDEN):
            raise UsageError(f"{variable} holds a line break and cannot be sent as the header {name}")
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name!r} cannot be the name of a header")
        if not (value.isascii() and value.isprintable()):
            raise UsageError(f"{variable} holds a character that no header may, so it cannot be sent as {name}")
        found[name] = f"Bearer {value}" if (name, variable) == ("Authorization", auth.api_key_env) else value
    return found


def request_head(endpoint: Endpoint, path: str, extra: Mapping[str, str], accept: str) -> bytes:
    """Everything of the request before its own id and length."""
    target = path
    if endpoint.proxy and not endpoint.tls:  # absolute form tells the proxy where to go
        target = f"http://{endpoint.authority}{path}"
    lines = {
        "Host": endpoint.authority,
        "User-Agent": USER_AGENT,
        "Accept": accept,
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
    }
    if endpoint.proxy and not endpoint.tls and endpoint.proxy.authorization:
        lines["Proxy-Authorization"] = endpoint.proxy.authorization
    lines |= extra
    return f"POST {target} HTTP/1.1\r\n".encode() + "".join(f"{k}: {v}\r\n" for k, v in lines.items()).encode("latin-1")


def connect_head(endpoint: Endpoint) -> bytes:
    """The CONNECT request that opens a tunnel."""
    where = f"{endpoint.authority}" if endpoint.authority.endswith(f":{endpoint.port}") else None
    where = where or f"{endpoint.authority}:{endpoint.port}"
    assert endpoint.proxy is not None  # noqa: S101  # only called for tunnels
    key = endpoint.proxy.authorization
    extra = f"Proxy-Authorization: {key}\r\n" if key else ""
    return f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\nUser-Agent: {USER_AGENT}\r\n{extra}\r\n".encode()


def _addresses(host: str, port: int) -> tuple[Address, ...]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(dict.fromkeys(Address(family, sockaddr) for family, _, _, _, sockaddr in found))


def _proxy(scheme: str, host: str, port: int, environ: Mapping[str, str]) -> Proxy | None:
    if is_local(host) or not any(name.lower().endswith("_proxy") for name in environ):
        return None
    # Here, because it brings HTTP and mail with it: a tenth of the start-up time.
    from urllib.request import getproxies_environment
    from urllib.request import proxy_bypass_environment as bypasses  # type: ignore[attr-defined]  # not in typeshed

    if environ is os.environ:
        proxies = getproxies_environment()
    else:
        proxies = {
            k.lower().removesuffix("_proxy"): v for k, v in environ.items() if k.lower().endswith("_proxy") and v
        }
    url = proxies.get(scheme) or proxies.get("all")
    if not url or bypasses(f"{host}:{port}", proxies):
        return None
    unusable = f"the proxy for {scheme} in the environment is not an http:// URL"
    try:
        parts = urlsplit(url if "//" in url else f"//{url}", scheme="http")
        proxy_port = parts.port or 80
    except ValueError:
        raise UsageError(unusable) from None
    if parts.scheme != "http" or not parts.hostname:
        raise UsageError(unusable)
    key = ""
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        key = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return Proxy(parts.hostname, proxy_port, key)
