"""Where gRPC is: ``grpc://host:port``, with TLS ``grpcs://host[:port]``, or http(s) with an API that says so."""

from __future__ import annotations

from urllib.parse import urlsplit

from inferaudit.errors import UsageError

RPC_APIS = ("oip-v2-grpc", "tf-serving-grpc")
_SCHEMES = {"grpc": "http", "grpcs": "https"}


def is_rpc(url: str, api: str) -> bool:
    """Is gRPC meant, by the API or by the URL?"""
    return api in RPC_APIS or url.partition("://")[0].lower() in _SCHEMES


def http_url(url: str, api: str) -> str:
    """`url` with http or https for its scheme; :class:`UsageError` where it and the API contradict each other."""
    scheme, found, rest = url.partition("://")
    plain = _SCHEMES.get(scheme.lower())
    if not found or plain is None:
        return url
    if api and api not in RPC_APIS:
        raise UsageError(f"{scheme}:// and --api {api} contradict each other; give --api {' or '.join(RPC_APIS)}")
    try:
        port = urlsplit(url).port
    except ValueError as error:
        raise UsageError(f"{url!r} is no URL: {error}") from None
    if port is None and plain == "http":
        raise UsageError(f"{url!r}: gRPC has no port of its own; write grpc://HOST:PORT")
    return f"{plain}://{rest}"
