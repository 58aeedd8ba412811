"""One small GET beside load, with the same address, proxy, TLS and headers as the load itself."""

from __future__ import annotations

import socket
import ssl
import time
from typing import Any
from urllib.parse import urlsplit

from inferaudit.bench.endpoint import USER_AGENT, Endpoint, headers, resolve
from inferaudit.bench.protocols import below
from inferaudit.errors import CollectError
from inferaudit.plan import LoadPlan

_MAX_BYTES = 4 << 20


def get_json(plan: LoadPlan, route: str) -> Any:
    """The JSON that `route` under the server's base answers; :class:`CollectError` in one line."""
    endpoint = resolve(plan.url, plan.api, plan.auth)
    url = f"{endpoint.scheme}://{endpoint.authority}{below(endpoint.path, route)}"
    _, content = _get(plan, endpoint, url, "; give a request with --template FILE")
    try:
        from inferaudit.bench.json_values import read_json

        return read_json(content)
    except ValueError as error:
        raise CollectError(f"{url} did not answer JSON: {error}") from None


def get_page(plan: LoadPlan, url: str) -> tuple[str, str]:
    """Content type and text of a page elsewhere (the server's metrics); :class:`CollectError` in one line.

    Credentials go along only to the origin that the load goes to: scheme, host and port.
    """
    content_type, content = _get(plan, resolve(plan.url, plan.api, plan.auth), url, "")
    return content_type, content.decode("utf-8", "replace")


def _get(plan: LoadPlan, endpoint: Endpoint, url: str, advice: str) -> tuple[str, bytes]:
    import httpx  # here, for most loads need no GET and it takes a fifth of their start-up

    from inferaudit.http_deadline import Deadline, keep

    transport = httpx.HTTPTransport(uds=plan.url.removeprefix("unix:")) if endpoint.unix else None
    own = headers(plan.auth) if endpoint.unix or _same_origin(url, endpoint) else {}
    deadline = Deadline()
    deadline.at = time.monotonic() + plan.timeout_s
    client = httpx.Client(transport=transport, verify=endpoint.tls or True, timeout=plan.timeout_s)
    keep(client, deadline)
    answered = False
    try:
        with client, client.stream("GET", url, headers={"User-Agent": USER_AGENT, **own}) as response:
            content, answered = b"", True
            for part in response.iter_bytes():
                content += part
                if len(content) > _MAX_BYTES:
                    raise CollectError(f"{url} answered more than {_MAX_BYTES >> 20} MiB")
            if response.status_code != 200:
                raise CollectError(f"{url} answered {response.status_code}{advice}")
            return response.headers.get("content-type", ""), content
    except httpx.TimeoutException:
        hint = "" if answered else not_http(endpoint)
        raise CollectError(hint or f"{url}: no whole answer within {plan.timeout_s:g} s") from None
    except httpx.HTTPError as error:
        raise CollectError(not_http(endpoint) or f"{url}: {error}") from None
    except httpx.InvalidURL as error:
        raise CollectError(f"{url}: {error}") from None


def _same_origin(url: str, endpoint: Endpoint) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise CollectError(f"{url}: {error}") from None
    return (parts.scheme, parts.hostname, port) == (endpoint.scheme, endpoint.host, endpoint.port)


def not_http(endpoint: Endpoint) -> str:
    """Why a server did not answer: what it speaks or shows, where that can be told without a proxy in between."""
    if endpoint.unix or endpoint.proxy is not None or not endpoint.addresses:
        return ""
    if endpoint.tls is not None and (wrong := _mistrusted(endpoint, endpoint.tls)):
        return wrong
    from inferaudit.rpc.client import http_hint

    return http_hint(endpoint.host, endpoint.port, tls=endpoint.tls is not None)


def _mistrusted(endpoint: Endpoint, context: ssl.SSLContext) -> str:
    place = (endpoint.host, endpoint.port)
    try:
        with socket.create_connection(place, timeout=2) as plain, context.wrap_socket(plain, server_hostname=place[0]):
            return ""
    except ssl.SSLCertVerificationError as error:
        wrong = error.verify_message.rstrip(".")
        return f"{endpoint.authority}: {wrong}; mend the certificate, or give its authority with --ca FILE"
    except OSError:
        return ""
