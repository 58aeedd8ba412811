"""From API calls to stored objects: discovery, lists and single objects in parallel, each failure kept to its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec

from inferaudit.collect.kube_client import ApiClient, ApiError, Asked, PlainPage
from inferaudit.kube import kinds as k
from inferaudit.kube.api_resources import (
    AGGREGATED,
    GroupDiscovery,
    OldGroups,
    OldResources,
    Served,
    from_aggregated,
    from_old,
)
from inferaudit.kube.kinds import Kind
from inferaudit.kube.nodes import NodePage, PodPage, node_of, node_pod_of
from inferaudit.kube.types import ClusterVersion, LogSample, Node, NodePod
from inferaudit.kube.view import Object, StoredView
from inferaudit.model import FactError, FactErrorKind
from inferaudit.redact import redact_text

T = TypeVar("T")

_TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"
# A list a node is answered from an index and costs what the node holds: cheaper than all pods of the cluster, unless
# the service may run on most of its nodes, or on so many that the calls themselves count.
_FEW_NODES, _MOST_NODES = 24, 1000
_LOG_LINES = 400
_LOG_BYTES = 256 * 1024


class _Column(msgspec.Struct):
    name: str


class _Row(msgspec.Struct):
    cells: list[Any]


class _Table(msgspec.Struct, rename="camel"):
    """A server-side Table, in the fields that hold no data: `rows` less their ``object``."""

    kind: str = ""
    column_definitions: list[_Column] = []
    rows: list[_Row] = []


class _Version(msgspec.Struct, rename="camel"):
    git_version: str
    major: str = ""
    minor: str = ""
    platform: str = ""


class Reader:
    """Fills a :class:`StoredView`, `concurrency` calls at a time."""

    def __init__(self, client: ApiClient, served: Served, concurrency: int) -> None:
        self.client = client
        self.served = served
        self.store = StoredView()
        self._concurrency = max(1, concurrency)

    def each(self, work: Callable[[Any], T], items: Iterable[Any]) -> list[T]:
        """`work` on every item, in parallel; results in the items' order."""
        todo = list(items)
        if not todo:
            return []
        with ThreadPoolExecutor(min(self._concurrency, len(todo)), thread_name_prefix="kube") as pool:
            return list(pool.map(work, todo))

    def lists(self, asked: Iterable[tuple[Kind, str | None]]) -> None:
        """Read lists into the store; those that it has, be it for all namespaces, are not read again."""
        todo = [key for key in dict.fromkeys(asked) if key not in self.store.lists and not self._has_all(key[0])]
        for key, found in zip(todo, self.each(lambda key: self._list(*key), todo), strict=True):
            self.store.lists[key] = found

    def _has_all(self, kind: Kind) -> bool:
        listed = self.store.lists.get((kind, None))
        return listed is not None and not isinstance(listed, FactError)

    def singles(self, asked: Iterable[tuple[Kind, str, str]]) -> None:
        """Read single objects into the store."""
        todo = [
            (kind, namespace if kind.namespaced else "", name)
            for kind, namespace, name in dict.fromkeys(asked)
            if name and (kind, namespace) not in self.store.lists
        ]
        todo = [key for key in dict.fromkeys(todo) if key not in self.store.singles]
        for key, found in zip(todo, self.each(lambda key: self._single(*key), todo), strict=True):
            self.store.singles[key] = found

    def _list(self, kind: Kind, namespace: str | None) -> list[Object] | FactError:
        path = self.served.path(kind, namespace)
        if path is None:
            return self._absent(kind, [])
        asked = Asked("list", resource_name(kind), namespace or "")
        chosen = {"labelSelector": kind.label_selector} if kind.label else None
        try:
            found = self.client.items(path, asked, PlainPage, lambda page: page.items or (), chosen)
        except ApiError as error:
            return [] if error.status == 404 and not kind.builtin else error.error
        resource = self.served.find(kind)
        version = f"{kind.group}/{resource.version}" if resource and kind.group else "v1"
        head = {"apiVersion": version, "kind": kind.name}
        return [{**head, **item} for item in found]

    def _absent(self, kind: Kind, nothing: T) -> T | FactError:
        """A kind that is not served has no objects, unless its group did not answer the server."""
        if kind.group in self.served.stale:
            reason = f"the API server could not reach the server behind {kind.group}, hence no {kind.plural}"
            return FactError(FactErrorKind.FAILED, reason, source=f"{self.client.source} {kind.group}")
        return nothing

    def _single(self, kind: Kind, namespace: str, name: str) -> Object | FactError | None:
        path = self.served.path(kind, namespace, name)
        if path is None:
            return self._absent(kind, None)
        asked = Asked("get", resource_name(kind), namespace)
        try:
            if kind == k.SECRET:
                return self._secret(path, asked, namespace, name)
            found = self.client.decode(self.client.get(path, asked), dict[str, Any], asked)
        except ApiError as error:
            return None if error.status == 404 else error.error
        return found

    def _secret(self, path: str, asked: Asked, namespace: str, name: str) -> Object:
        """Type and number of entries from the Table view: the data never crosses the wire."""
        body = self.client.get(path, asked, {"includeObject": "None"}, accept=_TABLE)
        table = self.client.decode(body, _Table, asked)
        secret: Object = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}}
        if table.kind == "Table" and table.rows:
            cells = dict(zip((c.name for c in table.column_definitions), table.rows[0].cells, strict=False))
            secret |= {"type": str(cells.get("Type") or ""), "keys": cells.get("Data")}
        return secret

    def nodes(self) -> list[Node] | FactError:
        """All nodes, in the used fields."""
        try:
            return self.client.items("/api/v1/nodes", Asked("list", "nodes"), NodePage, lambda p: map(node_of, p.items))
        except ApiError as error:
            return error.error

    def node_pods(self, names: list[str], of: int) -> list[NodePod] | FactError:
        """Pods on the named nodes, `of` so many: a list a node, or one paged list of all pods where that costs less."""
        # Version 0: from the server's cache, as kubelets read; without it older servers search all of etcd each time.
        queries = [{"fieldSelector": f"spec.nodeName={name}", "resourceVersion": "0"} for name in names]
        if len(names) > _FEW_NODES and (len(names) > _MOST_NODES or 2 * len(names) > of):
            queries = [{"fieldSelector": "spec.nodeName!="}]
        wanted = frozenset(names)

        def ours(page: PodPage) -> list[NodePod]:
            # Most pods of a big cluster lie elsewhere: drop them before anything is computed.
            return [node_pod_of(pod) for pod in page.items if pod.spec.node_name in wanted]

        def read(query: dict[str, str]) -> list[NodePod] | FactError:
            try:
                return self.client.items("/api/v1/pods", Asked("list", "pods"), PodPage, ours, query)
            except ApiError as error:
                return error.error

        found: list[NodePod] = []
        for part in self.each(read, queries):
            if isinstance(part, FactError):
                return part
            found += part
        return found

    def logs(self, namespace: str, containers: list[tuple[str, str, bool]]) -> list[LogSample] | FactError:
        """The last lines of containers ``(pod, container, previous)``. A log that does not exist is left out."""
        found = []
        for part in self.each(lambda each: self._log(namespace, *each), containers):
            if isinstance(part, FactError):
                return part
            found += [part] if part is not None else []
        return found

    def _log(self, namespace: str, pod: str, container: str, previous: bool) -> LogSample | FactError | None:
        asked = Asked("get", "pods/log", namespace)
        query = {"container": container, "tailLines": str(_LOG_LINES), "limitBytes": str(_LOG_BYTES)}
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
        try:
            body = self.client.get(path, asked, query | ({"previous": "true"} if previous else {}), "*/*", tries=1)
        except ApiError as error:
            if error.status in (400, 404):  # no such run of the container, or it waits to start
                return None
            if error.status is None:
                return error.error
            words = "the node did not hand it out"
            if error.status == 403:
                words = "the optional Role for logs of `inferaudit generate rbac` grants it"
            reason = f"the log of {pod} cannot be read ({error.status}): {words}"
            return FactError(FactErrorKind.OUT_OF_VIEW, reason, self.client.source, "get", "pods/log", namespace)
        lines = redact_text(body.decode("utf-8", "replace"), limit=None).splitlines()
        return LogSample(
            pod=pod, container=container, previous=previous, lines=lines, truncated=len(lines) >= _LOG_LINES
        )


def resource_name(kind: Kind) -> str:
    """A resource as RBAC and people write it: ``pods``, ``rollouts.argoproj.io``."""
    return kind.plural if kind.builtin else f"{kind.plural}.{kind.group}"


def discover(client: ApiClient) -> Served:
    """What the server serves. The first call of an audit: an unreachable server is found out here, once."""
    asked = Asked("discover", "API resources")
    documents = [
        client.decode(client.get(path, asked, accept=AGGREGATED), GroupDiscovery, asked) for path in ("/api", "/apis")
    ]
    if all(document.kind == "APIGroupDiscoveryList" for document in documents):
        return from_aggregated(documents)
    groups = client.decode(client.get("/apis", asked), OldGroups, asked)
    wanted = {kind.group for kind in k.KINDS}
    names = [("", "v1")] + [(g.name, v.version) for g in groups.groups if g.name in wanted for v in g.versions]
    lists = []
    for group, version in names:
        path = f"/apis/{group}/{version}" if group else "/api/v1"
        lists.append((group, version, client.decode(client.get(path, asked), OldResources, asked)))
    return from_old(lists)


def version(client: ApiClient) -> ClusterVersion:
    """The server's version."""
    asked = Asked("get", "version")
    found = client.decode(client.get("/version", asked), _Version, asked)
    return ClusterVersion(git_version=found.git_version, major=found.major, minor=found.minor, platform=found.platform)
