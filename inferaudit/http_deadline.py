"""A time by which an answer must be there: the limits of httpx are for each read, and an answer may drip."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx


class Deadline:
    """When reading has to end (seconds of the monotonic clock); None = when the read's own limit is reached."""

    at: float | None = None

    def left(self, limit: float | None) -> float | None:
        """How long a read may take, in seconds; :class:`httpcore.ReadTimeout` when there is no time left."""
        if self.at is None:
            return limit
        left = self.at - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the answer was not complete in time")
        return left if limit is None else min(left, limit)


def keep(client: httpx.Client, deadline: Deadline) -> None:
    """Have all reads of `client` keep `deadline`, those through the proxies of the environment as well."""
    for made in (client._transport, *client._mounts.values()):
        if isinstance(made, httpx.HTTPTransport):
            made._pool._network_backend = _Backend(deadline)  # httpx has no parameter for the backend of its pool


class _Backend(httpcore.SyncBackend):
    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        opened = super().connect_tcp(host, port, timeout, local_address, socket_options)
        return _Stream(opened, self._deadline)

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(super().connect_unix_socket(path, timeout, socket_options), self._deadline)


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._deadline.left(timeout))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, timeout), self._deadline)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, timeout)

    def close(self) -> None:
        self._inner.close()

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
