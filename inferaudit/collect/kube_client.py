"""Raw reads of the Kubernetes API: paged, bounded in time and tries, and honest about what failed.

The official client does what it does best, configuration and credentials (kubeconfig, in-cluster, exec plug-ins);
its typed models are passed by, for they take ten times the time and memory of a plain decode.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode

import msgspec

from inferaudit.decoding import decoder
from inferaudit.errors import CollectError, UsageError
from inferaudit.kube.nodes import ListMeta
from inferaudit.model import FactError, FactErrorKind
from inferaudit.plan import KubernetesPlan
from inferaudit.redact import redact_text

T = TypeVar("T")

IN_CLUSTER = "in-cluster"  # what the context is called where there is no kubeconfig

_TRIES = 5
_RESTARTS = 3
_MAX_WAIT_S = 15.0
_SILENT_CALLS = 3  # as many in a row without an answer, and the server is given up
_CONNECT_TIMEOUT_S = 10.0
_CHUNK = 1 << 20
_MAX_PAGE_BYTES = 512 << 20
_TRANSIENT = frozenset({429, 500, 502, 503, 504})


class ApiError(CollectError):
    """A read that failed for good; `error` becomes the fact's."""

    def __init__(self, error: FactError, status: int | None = None) -> None:
        super().__init__(error.reason)
        self.error = error
        self.status = status


class _Status(msgspec.Struct):
    message: str = ""
    reason: str = ""


class Paged(Protocol):
    """What every page type has."""

    metadata: ListMeta


Page = TypeVar("Page", bound=Paged)


class PlainPage(msgspec.Struct):
    """One page of any kind, its items as plain objects."""

    items: list[dict[str, Any]] | None = None
    metadata: ListMeta = msgspec.field(default_factory=ListMeta)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call is for, in the words of RBAC."""

    verb: str
    resource: str
    namespace: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}" + (f" in {self.namespace}" if self.namespace else "")


@dataclass
class ApiClient:
    """Reads one API server. Safe to use from several threads. `namespace` is the context's own, "" where it has none.

    `settings` is the official client's configuration, for what only that client can do (websockets).

    Once the server was unreachable or refused the credentials, every later call fails at once with the same error.
    """

    url: str
    context: str
    namespace: str
    call_timeout_s: float
    deadline: float
    page_size: int
    pool: Any
    headers: Callable[[], Mapping[str, str]]
    settings: Any = None
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    dead: ApiError | None = None
    silent_calls: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def source(self) -> str:
        """What this client's errors name as their one cause."""
        return f"kubernetes API {self.url}"

    def get(
        self,
        path: str,
        asked: Asked,
        query: Mapping[str, str] | None = None,
        accept: str = "application/json",
        tries: int = _TRIES,
    ) -> bytes:
        """The body of a GET. Retries what may pass (429, 5xx); :class:`ApiError` for the rest, with `status`."""
        target = f"{self.url}{path}" + (f"?{urlencode(query)}" if query else "")
        for attempt in range(tries):
            if self.dead is not None:
                raise self.dead
            status, body, retry_after = self._call(target, asked, accept)
            if 200 <= status < 300:
                return body
            if status not in _TRANSIENT or attempt == tries - 1:
                raise self._refusal(status, body, asked)
            wait = retry_after if retry_after is not None else 0.25 * 2**attempt
            if self.clock() + min(wait, _MAX_WAIT_S) >= self.deadline:
                raise self._refusal(status, body, asked)
            self.sleep(min(wait, _MAX_WAIT_S))
        raise AssertionError("unreachable")  # pragma: no cover

    def send(self, method: str, path: str, body: Mapping[str, Any]) -> tuple[int, bytes]:
        """One call that changes something; status 0 where no answer came. Never retried: it might count twice."""
        import urllib3

        try:
            response = self.pool.request(
                method,
                self.url + path,
                body=msgspec.json.encode(body),
                headers={**self.headers(), "Content-Type": "application/json", "User-Agent": "inferaudit"},
                timeout=urllib3.Timeout(connect=_CONNECT_TIMEOUT_S, read=self.call_timeout_s),
                retries=False,
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as error:
            return 0, _cause(error).encode()
        return int(response.status), bytes(response.data)

    def items(
        self,
        path: str,
        asked: Asked,
        page_type: type[Page],
        keep: Callable[[Page], Iterable[T]],
        query: Mapping[str, str] | None = None,
    ) -> list[T]:
        """What `keep` takes of every page of a list, or an error: never a part of them.

        `page_type` is a msgspec struct with ``items`` and ``metadata``; pages are let go one by one, so that memory
        holds one of them and what was kept. An expired continue token (410) restarts the list.
        """
        for restart in range(_RESTARTS + 1):
            try:
                return [item for page in self._pages(path, asked, page_type, query or {}) for item in keep(page)]
            except ApiError as error:
                if error.status != 410 or restart == _RESTARTS:
                    raise
        raise AssertionError("unreachable")  # pragma: no cover

    def _pages(self, path: str, asked: Asked, page_type: type[Page], query: Mapping[str, str]) -> Iterator[Page]:
        token = ""
        while True:
            where = {**query, "limit": str(self.page_size), **({"continue": token} if token else {})}
            page = self.decode(self.get(path, asked, where), page_type, asked)
            token = page.metadata.continue_
            yield page
            if not token:
                return

    def decode(self, body: bytes, kind: type[T], asked: Asked) -> T:
        """A body decoded; :class:`ApiError` for JSON that is broken or not what was asked for."""
        try:
            return decoder(kind).decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ApiError(self._failure(f"the answer to {asked} is malformed: {_line(str(error))}", asked)) from None

    def _call(self, target: str, asked: Asked, accept: str) -> tuple[int, bytes, float | None]:
        """One request: status, body and Retry-After in seconds. The body too must arrive within the call's time."""
        import urllib3
        from urllib3 import exceptions as lost

        limit = min(self.call_timeout_s, self.deadline - self.clock())
        if limit <= 0:
            raise ApiError(self._failure(f"no time was left to {asked}: the cluster's time limit is used up", asked))
        end = self.clock() + limit
        timeout = urllib3.Timeout(connect=min(_CONNECT_TIMEOUT_S, limit), read=limit)
        # Compressed, a long list takes half the CPU: unpacking costs less than receiving it.
        headers = {"Accept": accept, "Accept-Encoding": "gzip", "User-Agent": "inferaudit"}
        try:
            response = self.pool.request(
                "GET",
                target,
                headers={**self.headers(), **headers},
                timeout=timeout,
                retries=False,
                redirect=False,
                preload_content=False,
            )
        except lost.ReadTimeoutError:
            raise self._silence(asked, limit) from None
        except lost.ProtocolError:
            return 503, b'{"message": "the connection was lost"}', None
        except lost.HTTPError as error:
            raise self._die(FactErrorKind.FAILED, f"cannot be reached: {_cause(error)}") from None
        try:
            chunks: list[bytes] = []
            size = 0
            while chunk := response.read1(_CHUNK):
                chunks.append(chunk)
                size += len(chunk)
                if self.clock() > end or size > _MAX_PAGE_BYTES:
                    raise self._silence(asked, limit)
            response.release_conn()
        except lost.ReadTimeoutError:
            raise self._silence(asked, limit) from None
        except lost.HTTPError:
            return 503, b'{"message": "the connection was lost"}', None
        finally:
            response.close()
        self.silent_calls = 0
        return response.status, b"".join(chunks), _retry_after(response.headers.get("Retry-After"))

    def _refusal(self, status: int, body: bytes, asked: Asked) -> ApiError:
        if status == 401:
            return self._die(FactErrorKind.DENIED, "does not accept the credentials (401): has the token expired?")
        if status == 403:
            remedy = "inferaudit generate rbac"
            return ApiError(
                self._failure(_may_not(asked), asked, FactErrorKind.DENIED, remedy),
                status,
            )
        try:
            message = decoder(_Status).decode(body).message
        except (msgspec.DecodeError, UnicodeDecodeError):
            message = ""
        said = f": {_line(message)}" if message else ""
        return ApiError(self._failure(f"could not {asked}: the API server answered {status}{said}", asked), status)

    def _failure(
        self, reason: str, asked: Asked, kind: FactErrorKind = FactErrorKind.FAILED, remedy: str = ""
    ) -> FactError:
        return FactError(
            kind,
            reason,
            source=self.source,
            verb=asked.verb,
            resource=asked.resource,
            namespace=asked.namespace,
            remedy=remedy,
        )

    def _silence(self, asked: Asked, limit: float) -> ApiError:
        """No complete answer in time. One slow list is its own matter; several in a row mean the server is gone."""
        with self._lock:
            self.silent_calls += 1
            gone = self.silent_calls >= _SILENT_CALLS
        if gone:
            return self._die(FactErrorKind.FAILED, f"does not answer: {_SILENT_CALLS} calls in a row took too long")
        return ApiError(self._failure(f"could not {asked}: no complete answer within {limit:.3g} s", asked))

    def _die(self, kind: FactErrorKind, what: str) -> ApiError:
        """An error that holds for all: the first one stands."""
        with self._lock:
            if self.dead is None:
                self.dead = ApiError(FactError(kind, f"the API server {self.url} {what}", source=self.source))
            return self.dead


def connect(plan: KubernetesPlan) -> ApiClient:
    """A client for the plan's context. :class:`UsageError` where there is no kubeconfig, or no such context in it."""
    import kubernetes.config
    import yaml
    from kubernetes import client
    from kubernetes.config.config_exception import ConfigException

    config: Any = kubernetes.config  # untyped
    settings = type.__call__(client.Configuration)
    namespace, context = "", plan.context
    files = plan.kubeconfig or os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())
    present = [file for file in files.split(os.pathsep) if file and Path(file).expanduser().is_file()]
    try:
        if not present and not plan.kubeconfig and not plan.context and os.environ.get("KUBERNETES_SERVICE_HOST"):
            config.load_incluster_config(client_configuration=settings)
            context = IN_CLUSTER
        elif not present:
            raise UsageError(f"no kubeconfig at {files}; give --kubeconfig, or --manifests to audit files")
        else:
            contexts, active = config.list_kube_config_contexts(config_file=os.pathsep.join(present))
            chosen = _context(plan.context, contexts, active, files)
            context, namespace = chosen["name"], str((chosen.get("context") or {}).get("namespace") or "")
            config.load_kube_config(
                config_file=os.pathsep.join(present),
                context=context,
                client_configuration=settings,
                persist_config=False,
            )
    except ConfigException as error:
        raise UsageError(f"the kubeconfig {files} cannot be used: {_line(redact_text(str(error)))}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise UsageError(f"the kubeconfig {files} cannot be read: {_line(redact_text(str(error)))}") from None
    return _client(plan, settings, context, namespace)


def _context(wanted: str, contexts: Any, active: Any, files: str) -> Any:
    if not wanted:
        return active
    found = next((each for each in contexts if each["name"] == wanted), None)
    if found is None:
        names = ", ".join(sorted(str(each["name"]) for each in contexts)[:20])
        raise UsageError(f"context {wanted} is not in the kubeconfig {files}; it has {names}")
    return found


def _client(plan: KubernetesPlan, settings: Any, context: str, namespace: str) -> ApiClient:
    import urllib3
    from kubernetes import client

    settings.retries = False
    settings.connection_pool_maxsize = plan.concurrency
    if not settings.verify_ssl:
        # The kubeconfig says insecure-skip-tls-verify; a warning a call says no more than that.
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    pool = client.ApiClient(configuration=settings).rest_client.pool_manager

    def headers() -> dict[str, str]:
        return {
            str(setting["key"]): str(setting["value"])
            for setting in settings.auth_settings().values()
            if setting.get("in") == "header" and setting.get("value")
        }

    return ApiClient(
        url=str(settings.host).rstrip("/"),
        context=context,
        namespace=namespace,
        call_timeout_s=plan.call_timeout_s,
        deadline=time.monotonic() + plan.total_timeout_s,
        page_size=plan.page_size,
        pool=pool,
        headers=headers,
        settings=settings,
    )


def _may_not(asked: Asked) -> str:
    return f"may not {asked}: forbidden"


def _retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header; None for none, and for a date, which the API server never sends."""
    return float(value) if value is not None and value.isdecimal() else None


def _cause(error: BaseException) -> str:
    """The innermost reason of a connection failure, in one line."""
    reason = getattr(error, "reason", None)
    text = str(reason if reason is not None else error)
    return _line(text.partition("object at 0x")[2].partition(": ")[2] or text)


def _line(text: str) -> str:
    """Hostile text as one short line without secrets and control characters."""
    return "".join(c if c.isprintable() else " " for c in redact_text(text))[:300].strip()
