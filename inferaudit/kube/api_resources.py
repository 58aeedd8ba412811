"""What an API server serves: groups, versions, resources. Read from its discovery documents, new form or old."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from inferaudit.kube.kinds import Kind
from inferaudit.kube.types import ApiResource

# The aggregated form takes two calls for everything; servers before 1.26 answer with the old one.
AGGREGATED = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)


class _Gvk(msgspec.Struct):
    kind: str = ""


class _Resource(msgspec.Struct, rename="camel"):
    resource: str
    response_kind: _Gvk | None = None
    scope: str = "Namespaced"


class _Version(msgspec.Struct):
    version: str
    resources: list[_Resource] = []
    freshness: str = "Current"


class _Name(msgspec.Struct):
    name: str = ""


class _Group(msgspec.Struct):
    metadata: _Name = msgspec.field(default_factory=_Name)
    versions: list[_Version] = []


class GroupDiscovery(msgspec.Struct):
    """``APIGroupDiscoveryList``: everything in one document."""

    kind: str
    items: list[_Group] = []


class _OldVersion(msgspec.Struct):
    version: str


class _OldGroup(msgspec.Struct):
    name: str
    versions: list[_OldVersion] = []


class OldGroups(msgspec.Struct):
    """``APIGroupList``: names of groups and versions alone."""

    groups: list[_OldGroup] = []


class _OldResource(msgspec.Struct):
    name: str
    kind: str
    namespaced: bool


class OldResources(msgspec.Struct):
    """``APIResourceList``: the resources of one version of one group."""

    resources: list[_OldResource] = []


@dataclass(frozen=True)
class Served:
    """The resources that a server has. `stale` groups did not answer it just now: what they serve is not known."""

    resources: list[ApiResource]
    stale: frozenset[str] = frozenset()

    def find(self, kind: Kind) -> ApiResource | None:
        """The resource of a kind at its preferred version; None where the server has none."""
        return next((r for r in self.resources if (r.group, r.resource) == (kind.group, kind.plural)), None)

    def path(self, kind: Kind, namespace: str | None, name: str = "") -> str | None:
        """The URL path of a list (no name) or of an object; None where the kind is not served."""
        resource = self.find(kind)
        if resource is None:
            return None
        root = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
        middle = f"/namespaces/{namespace}" if namespace and resource.namespaced else ""
        return f"{root}{middle}/{resource.resource}" + (f"/{name}" if name else "")


def from_aggregated(documents: Iterable[GroupDiscovery]) -> Served:
    """Every resource at the first version that serves it, in the server's order of preference."""
    found: dict[tuple[str, str], ApiResource] = {}
    stale = set()
    for document in documents:
        for group in document.items:
            for version in group.versions:
                if version.freshness == "Stale":
                    stale.add(group.metadata.name)
                for each in version.resources:
                    found.setdefault(
                        (group.metadata.name, each.resource),
                        ApiResource(
                            group=group.metadata.name,
                            version=version.version,
                            kind=each.response_kind.kind if each.response_kind else "",
                            resource=each.resource,
                            namespaced=each.scope == "Namespaced",
                        ),
                    )
    return Served(list(found.values()), frozenset(stale))


def from_old(lists: Iterable[tuple[str, str, OldResources]]) -> Served:
    """The same from the old form: ``(group, version, resources)`` in order of preference; no subresources."""
    found: dict[tuple[str, str], ApiResource] = {}
    for group, version, document in lists:
        for each in document.resources:
            if "/" not in each.name:
                found.setdefault(
                    (group, each.name),
                    ApiResource(
                        group=group, version=version, kind=each.kind, resource=each.name, namespaced=each.namespaced
                    ),
                )
    return Served(list(found.values()))
