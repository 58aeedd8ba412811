"""The flags that say how to speak to the endpoint, read once for every command that speaks to one."""

from collections.abc import Sequence
from typing import Protocol

from inferaudit.errors import UsageError
from inferaudit.plan import HttpAuth


class Access(Protocol):
    """What a command was given of them."""

    @property
    def header_env(self) -> Sequence[str] | None: ...
    @property
    def api_key_env(self) -> str: ...
    @property
    def ca(self) -> str: ...
    @property
    def insecure(self) -> bool: ...
    @property
    def client_cert(self) -> str: ...
    @property
    def client_key(self) -> str: ...


def http_auth(given: Access) -> HttpAuth:
    """How to speak to the endpoint; :class:`UsageError` where a ``--header-env`` is no pair."""
    return HttpAuth(
        header_env=tuple(_pair(value) for value in given.header_env or ()),
        api_key_env=given.api_key_env,
        ca_file=given.ca,
        insecure=given.insecure,
        cert_file=given.client_cert,
        key_file=given.client_key,
    )


def _pair(value: str) -> tuple[str, str]:
    name, equals, variable = value.partition("=")
    if not equals or not name or not variable:
        raise UsageError(f"--header-env {value!r}: write NAME=ENVVAR, for example Authorization=CHAT_TOKEN")
    return name, variable
