"""gRPC under load: what every call of a run carries, how one is built, and the questions that come before."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import replace

from inferaudit.bench.endpoint import USER_AGENT, Endpoint, connect_head, headers, resolve
from inferaudit.bench.http2 import packed
from inferaudit.bench.protocols import Protocol
from inferaudit.errors import CollectError
from inferaudit.plan import LoadPlan
from inferaudit.rpc.client import Answered, Client, other_protocol
from inferaudit.rpc.session import call_fields
from inferaudit.rpc.status import name_of

_MAX_TUNNEL_ANSWER = 65_536


def calling(endpoint: Endpoint, api: Protocol, extra: Mapping[str, str]) -> Endpoint:
    """The endpoint with the headers of every call; as it is for an API of HTTP/1.1."""
    if not api.rpc:
        return endpoint
    fields = [("user-agent", USER_AGENT), ("grpc-accept-encoding", "identity"), *extra.items()]
    return replace(endpoint, call=tuple(call_fields(endpoint.scheme, endpoint.authority, api.path, fields)))


def call_builder(run_id: str, message: bytes, base: int) -> Callable[[int], bytes]:
    """A function from request number to what a connection of gRPC takes: the same message under an id of its own."""
    whole = packed("", message)

    def build(number: int) -> bytes:
        return b"%s-%d%s" % (run_id.encode(), number + base, whole)

    return build


def ask(plan: LoadPlan, method: str, message: bytes) -> bytes:
    """One call before load, with its address, proxy, TLS and headers; :class:`CollectError` in one line."""
    endpoint = resolve(plan.url, plan.api, plan.auth)
    if not endpoint.addresses:
        raise CollectError(f"{plan.url}: the name does not resolve")
    client = Client(lambda limit: _connected(endpoint, limit), endpoint.scheme, endpoint.authority, plan.timeout_s)
    try:
        answered = client.call(method, message, headers(plan.auth))
    finally:
        client.close()
    if answered.code != 0:
        raise CollectError(f"{plan.url}: {method.rpartition('/')[2]}: {_reason(answered, endpoint)}")
    return answered.message


def _reason(answered: Answered, endpoint: Endpoint) -> str:
    if answered.code is not None:
        return f"{name_of(answered.code)}: {answered.text[:200]}"
    other = other_protocol(answered, endpoint.host, endpoint.port, tls=endpoint.tls is not None)
    return other or answered.text or str(answered.error)


def _connected(endpoint: Endpoint, limit: float) -> socket.socket:
    """A socket to the endpoint, through its proxy and TLS."""
    error: OSError | None = None
    for place in endpoint.addresses:
        sock = socket.socket(place.family, socket.SOCK_STREAM)
        sock.settimeout(limit)
        try:
            sock.connect(place.sockaddr)
            if endpoint.proxy is not None:
                _tunnel(sock, endpoint)
            return endpoint.tls.wrap_socket(sock, server_hostname=endpoint.host) if endpoint.tls else sock
        except OSError as failed:
            sock.close()
            error = error or failed
    raise error or OSError("no address")


def _tunnel(sock: socket.socket, endpoint: Endpoint) -> None:
    sock.sendall(connect_head(endpoint))
    answer = b""
    while b"\r\n\r\n" not in answer and len(answer) < _MAX_TUNNEL_ANSWER:
        data = sock.recv(1)  # not a byte of what comes after the proxy's answer
        if not data:
            break
        answer += data
    if answer[9:12] != b"200":
        raise OSError(f"the proxy answered {answer[9:12].decode('latin-1') or 'nothing'}")
