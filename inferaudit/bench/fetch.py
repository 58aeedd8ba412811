"""One small GET before load, with the same address, proxy, TLS and headers as the load itself."""

from __future__ import annotations

from typing import Any

import httpx

from inferaudit.bench.endpoint import USER_AGENT, Endpoint, headers, resolve
from inferaudit.errors import CollectError
from inferaudit.plan import LoadPlan

_MAX_BYTES = 4 << 20


def get_json(plan: LoadPlan, route: str) -> Any:
    """The JSON that `route` under the server's base answers; :class:`CollectError` in one line."""
    endpoint = resolve(plan.url, plan.api, plan.auth)
    transport = httpx.HTTPTransport(uds=plan.url.removeprefix("unix:")) if endpoint.unix else None
    url = f"{endpoint.scheme}://{endpoint.authority}{endpoint.path}{route}"
    try:
        with (
            httpx.Client(transport=transport, verify=endpoint.tls or True, timeout=plan.timeout_s) as client,
            client.stream("GET", url, headers={"User-Agent": USER_AGENT, **headers(plan.auth)}) as response,
        ):
            content = b""
            for part in response.iter_bytes():
                content += part
                if len(content) > _MAX_BYTES:
                    raise CollectError(f"{url} answered more than {_MAX_BYTES >> 20} MiB")
            if response.status_code != 200:
                raise CollectError(f"{url} answered {response.status_code}; give a request with --template FILE")
            import msgspec

            return msgspec.json.decode(content)
    except httpx.HTTPError as error:
        raise CollectError(not_http(endpoint) or f"{url}: {error}") from None
    except ValueError as error:
        raise CollectError(f"{url} did not answer JSON: {error}") from None


def not_http(endpoint: Endpoint) -> str:
    """What a server that did not answer speaks, where that can be told without a proxy in between."""
    if endpoint.unix or endpoint.proxy is not None or not endpoint.addresses:
        return ""
    from inferaudit.rpc.client import http_hint

    return http_hint(endpoint.host, endpoint.port, tls=endpoint.tls is not None)
