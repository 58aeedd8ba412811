"""Views of objects: what can be asked of a cluster or of files, and what stays unknown.

A view answers with objects, or raises :class:`UnreadError` with the reason; it never answers "none" for "not seen".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from inferaudit.errors import CollectError
from inferaudit.kube import kinds as k
from inferaudit.kube.kinds import Kind
from inferaudit.model import FactError, FactErrorKind

Object = dict[str, Any]
Identity = tuple[str, str, str, str]  # group, kind, namespace, name


class UnreadError(CollectError):
    """What was asked for could not be seen; `error` becomes the fact's."""

    def __init__(self, error: FactError) -> None:
        super().__init__(error.reason)
        self.error = error


class View(Protocol):
    """Objects as seen by an audit. `live`: status, nodes and pods are in it, so that absence is a fact for all."""

    @property
    def live(self) -> bool: ...

    def list(self, kind: Kind, namespace: str | None) -> Sequence[Object]:
        """All objects of a kind in a namespace; None = in every namespace, or of a kind without namespaces."""

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """One object; None = it does not exist."""


def metadata(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """An object's metadata, empty where it has none."""
    found = obj.get("metadata")
    return found if isinstance(found, Mapping) else {}


def name_of(obj: Mapping[str, Any]) -> str:
    """``metadata.name``."""
    return str(metadata(obj).get("name") or "")


def namespace_of(obj: Mapping[str, Any]) -> str:
    """``metadata.namespace``; empty for kinds without."""
    return str(metadata(obj).get("namespace") or "")


def identity(obj: Mapping[str, Any]) -> Identity:
    """What makes two objects the same one, whatever the API version they were written in."""
    return (k.group_of(str(obj.get("apiVersion", ""))), str(obj.get("kind", "")), namespace_of(obj), name_of(obj))


# What files that show one of show all of; the kinds that a controller makes Services for, and the groups that it
# makes none for.
_NAMED_BY_ROUTES = (k.SERVICE, k.INFERENCE_POOL, k.GATEWAY, k.ISTIO_GATEWAY)
_MAKERS = (k.CANARY, k.INFERENCE_SERVICE, k.LEADER_WORKER_SET, k.RAY_SERVICE)
_BARREN = k.BUILTIN_GROUPS | {kind.group for kind in (*k.ENTRY_KINDS, *k.TRAFFIC_POLICIES)}


@dataclass(frozen=True)
class FileView:
    """Objects from files. `objects` is by kind; `dump`: they are those of a whole cluster, with status."""

    objects: Mapping[Kind, Sequence[Object]]
    dump: bool = False
    strangers: Sequence[Object] = ()  # of kinds that an audit does not know: operators make other objects of them

    @property
    def live(self) -> bool:
        """A dump of a cluster shows status as the cluster does."""
        return self.dump

    def of(self, kind: Kind) -> Sequence[Object]:
        """The objects of a kind, or of the part of one that carries its label."""
        if not kind.label:
            return self.objects.get(kind, ())
        whole = self.objects.get(replace(kind, label="", values=()), ())
        return [o for o in whole if kind.carried_by(metadata(o).get("labels") or {})]

    def list(self, kind: Kind, namespace: str | None) -> list[Object]:
        found = [o for o in self.of(kind) if namespace is None or namespace_of(o) == namespace]
        if found or self.dump or kind.ships or self._entry_is_here(kind, namespace):
            return found
        raise UnreadError(
            FactError(
                FactErrorKind.OUT_OF_VIEW,
                f"the manifests hold no {kind.name}",
                source="manifests: kinds they do not hold",
                remedy="if they are defined elsewhere, add them to --manifests, or give --context",
            )
        )

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        for obj in self.objects.get(kind, ()):
            if name_of(obj) == name and (not kind.namespaced or namespace_of(obj) == namespace):
                return obj
        if self.dump or (
            kind in _NAMED_BY_ROUTES and self._ships_here(kind, namespace) and not self.makes(namespace, name)
        ):
            return None
        place = f" in namespace {namespace}" if kind.namespaced and namespace else ""
        raise UnreadError(
            FactError(
                FactErrorKind.OUT_OF_VIEW,
                f"{kind.name} {name}{place} is not in the manifests",
                source=f"manifests: {kind.name} {namespace}/{name}",
                remedy="add the object to --manifests, or --context for the cluster's",
            )
        )

    def _ships_here(self, kind: Kind, namespace: str) -> bool:
        return any(namespace_of(obj) == namespace for obj in self.of(kind))

    def makes(self, namespace: str, name: str) -> bool:
        """Whether a controller may make a Service of this name out of something here: it names it after its owner."""
        strangers = [obj for obj in self.strangers if identity(obj)[0] not in _BARREN]
        owners = [*strangers, *(obj for kind in _MAKERS for obj in self.of(kind))]
        return any(
            namespace_of(obj) in ("", namespace) and (name == stem or name.startswith(f"{stem}-"))
            for obj in owners
            for stem in _stems(obj)
        )

    def _entry_is_here(self, kind: Kind, namespace: str | None) -> bool:
        """Traffic enters one way: files that show an Ingress answer for the routes that they lack, and the reverse."""
        return kind in k.ENTRY_KINDS and any(
            namespace is None or namespace_of(o) == namespace for e in k.ENTRY_KINDS for o in self.objects.get(e, ())
        )


def _stems(owner: Object) -> set[str]:
    """What an owner's Services may be named after; a Canary's after its target or as it says."""
    spec = owner.get("spec")
    parts = [spec.get(part) for part in ("service", "targetRef")] if isinstance(spec, Mapping) else []
    return {name_of(owner), *(str(part.get("name")) for part in parts if isinstance(part, Mapping))} - {""}


@dataclass(frozen=True)
class ManifestObjects:
    """What was read from files: the view over it, the namespace and workload that were asked for (empty = not), and
    the ``file:line`` of every subject."""

    view: FileView
    namespace: str = ""
    workload: str = ""
    sources: Mapping[str, str] = field(default_factory=dict)

    def candidates(self) -> Sequence[Object]:
        """The objects of workload kinds."""
        return [obj for kind in k.WORKLOAD_KINDS for obj in self.view.objects.get(kind, ())]


@dataclass
class StoredView:
    """What was read of a live cluster: lists and single objects, or why they could not be read."""

    lists: dict[tuple[Kind, str | None], Sequence[Object] | FactError] = field(default_factory=dict)
    singles: dict[tuple[Kind, str, str], Object | FactError | None] = field(default_factory=dict)
    live: bool = True

    def list(self, kind: Kind, namespace: str | None) -> Sequence[Object]:
        if (kind, namespace) not in self.lists and (kind, None) in self.lists:
            found = self.lists[kind, None]
            if not isinstance(found, FactError):
                return [o for o in found if namespace_of(o) == namespace]
        else:
            found = self.lists.get((kind, namespace), _not_asked(kind))
        if isinstance(found, FactError):
            raise UnreadError(found)
        return found

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        key = (kind, namespace if kind.namespaced else "", name)
        if key in self.singles:
            found = self.singles[key]
            if isinstance(found, FactError):
                raise UnreadError(found)
            return found
        listed = self.list(kind, namespace if kind.namespaced else None)
        return next((obj for obj in listed if name_of(obj) == name), None)


@dataclass(frozen=True)
class UnseenView:
    """A cluster that does not answer: one error for whatever is asked."""

    error: FactError
    live: bool = True

    def list(self, kind: Kind, namespace: str | None) -> Sequence[Object]:
        raise UnreadError(self.error)

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        raise UnreadError(self.error)


def _not_asked(kind: Kind) -> FactError:
    return FactError(FactErrorKind.OUT_OF_VIEW, f"no check asked for {kind.plural}", source=f"unread {kind.plural}")


@dataclass(frozen=True)
class OverlayView:
    """Files over a live cluster: an object in the files replaces the live one of the same identity."""

    files: FileView
    cluster: View

    @property
    def live(self) -> bool:
        return self.cluster.live

    def list(self, kind: Kind, namespace: str | None) -> list[Object]:
        ours = [o for o in self.files.of(kind) if namespace is None or namespace_of(o) == namespace]
        theirs = self.cluster.list(kind, namespace)
        if not ours:
            return [*theirs]
        live = {identity(obj): obj for obj in theirs}
        merged = [_with_status(obj, live.pop(identity(obj), None)) for obj in ours]
        return [*merged, *live.values()]

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        for obj in self.files.objects.get(kind, ()):
            if name_of(obj) == name and (not kind.namespaced or namespace_of(obj) == namespace):
                return obj
        found = self.cluster.get(kind, namespace, name)
        if found is None and kind in _NAMED_BY_ROUTES and self.files.makes(namespace, name):
            return self.files.get(kind, namespace, name)  # it will be there once the files are applied
        return found


def _with_status(obj: Object, live: Object | None) -> Object:
    """The files say what an object shall be, the cluster alone how it is."""
    return {**obj, "status": live["status"]} if live is not None and "status" in live else obj
