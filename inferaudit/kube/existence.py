"""Does what the workload names exist? Found, not found, or not to be told: three answers, never two."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from difflib import get_close_matches

from inferaudit.kube import kinds as k
from inferaudit.kube.kinds import Kind
from inferaudit.kube.references import Named, walk
from inferaudit.kube.related import Surroundings
from inferaudit.kube.types import Reference, Secret
from inferaudit.kube.view import Object, UnreadError, name_of, namespace_of
from inferaudit.kube.workloads import normalise
from inferaudit.model import FactErrorKind

_LIKE = 0.75  # of the letters of two names in common: what a generated suffix leaves, or a slip of the pen

# The API server or its controllers make these themselves, in every cluster and namespace.
_GIVEN = {
    (k.SERVICE_ACCOUNT, "default"): "every namespace has it",
    (k.CONFIG_MAP, "kube-root-ca.crt"): "every namespace has it",
    (k.PRIORITY_CLASS, "system-cluster-critical"): "every cluster has it",
    (k.PRIORITY_CLASS, "system-node-critical"): "every cluster has it",
}


def references(around: Surroundings) -> list[Reference]:
    """Every object that the workload names, with whether it exists."""
    return [_reference(around, named) for named in (*walk(around.workload), *_pull_secrets(around))]


def named_secrets(around: Surroundings) -> list[str]:
    """Names of the Secrets that the service uses: the workload's, its ServiceAccount's, its TLS Secrets. In order."""
    named = [each.name for each in (*walk(around.workload), *_pull_secrets(around)) if each.kind == k.SECRET]
    return [name for name in dict.fromkeys([*named, *_tls_secrets(around)]) if name]


def secrets(around: Surroundings) -> list[Secret]:
    """Those Secrets, without data. A denied read is the error of all: which of them exist is then not known."""
    return [_secret(around, name) for name in named_secrets(around)]


def _reference(around: Surroundings, named: Named) -> Reference:
    found, reason, key_found = _look(around, named)
    return Reference(
        kind=named.kind.name,
        name=named.name,
        namespace=named.namespace,
        path=named.path,
        found=found,
        reason=reason,
        optional=named.optional,
        key=named.key,
        key_found=key_found,
        like=_like(around, named) if found is None else "",
    )


def _look(around: Surroundings, named: Named) -> tuple[bool | None, str, bool | None]:
    try:
        obj = around.view.get(named.kind, named.namespace, named.name)
    except UnreadError as unread:
        given = _GIVEN.get((named.kind, named.name))
        maker = _maker(around, named.name) if named.kind == k.SECRET else None
        if given or maker:
            return True, given or f"made by {maker}", _key_made(around, named)
        return None, unread.error.reason, None
    if obj is None:
        return False, "", None
    there = _has_key(obj, named)
    return True, "", _key_made(around, named) if there is None else there


def _has_key(obj: Object, named: Named) -> bool | None:
    """Whether the entry exists; None where none is asked for, or where entries are not read (live Secrets)."""
    if named.key is None or named.kind not in (k.CONFIG_MAP, k.SECRET):
        return None
    parts = ("data", "binaryData") if named.kind == k.CONFIG_MAP else ("data", "stringData")
    if named.kind == k.SECRET and not any(part in obj for part in parts):
        return None
    return any(named.key in (obj.get(part) or {}) for part in parts)


def _key_made(around: Surroundings, named: Named) -> bool | None:
    """Whether the maker of a Secret puts the entry in; None where it does not name all that it puts in."""
    if named.key is None or named.kind != k.SECRET:
        return None
    for obj in _visible(around, k.EXTERNAL_SECRET):
        spec = obj.get("spec") or {}
        target = spec.get("target") or {}
        merged = target.get("creationPolicy") in ("Merge", "None") or spec.get("dataFrom") or target.get("template")
        if named.name in _makes(k.EXTERNAL_SECRET, obj) and spec.get("data") and not merged:
            return any(each.get("secretKey") == named.key for each in spec["data"])
    return None


def _like(around: Surroundings, named: Named) -> str:
    """An object of the files that may be meant by the name of one that they lack: alike, and named by no workload."""
    if around.view.live or not named.name:
        return ""
    everything = [obj for kind in k.WORKLOAD_KINDS for obj in _visible(around, kind)]
    used = {each.name for obj in everything for each in walk(normalise(obj)) if each.kind == named.kind}
    free = [name_of(obj) for obj in _visible(around, named.kind) if name_of(obj) not in used]
    return next(iter(get_close_matches(named.name, free, 1, _LIKE)), "")


def _secret(around: Surroundings, name: str) -> Secret:
    namespace = around.namespace
    maker = _maker(around, name)
    try:
        obj = around.view.get(k.SECRET, namespace, name)
    except UnreadError as unread:
        if unread.error.kind is not FactErrorKind.OUT_OF_VIEW:
            raise
        return Secret(
            name=name,
            namespace=namespace,
            found=True if maker else None,
            made_by=maker,
            reason=f"made by {maker}" if maker else unread.error.reason,
        )
    if obj is None:
        return Secret(name=name, namespace=namespace, found=False, made_by=maker)
    names: list[str] | None = None
    if "data" in obj or "stringData" in obj:
        names = sorted({*(obj.get("data") or {}), *(obj.get("stringData") or {})})
    count = len(names) if names is not None else obj.get("keys")
    return Secret(
        name=name,
        namespace=namespace,
        found=True,
        type=str(obj.get("type") or "Opaque"),
        keys=count if isinstance(count, int) else None,
        key_names=names,
        made_by=maker,
    )


def _pull_secrets(around: Surroundings) -> Iterator[Named]:
    """Pull secrets that the ServiceAccount adds to every pod."""
    try:
        account = around.view.get(k.SERVICE_ACCOUNT, around.namespace, around.service_account_name)
    except UnreadError:
        return
    for i, ref in enumerate((account or {}).get("imagePullSecrets") or ()):
        path = f"serviceaccount/{around.service_account_name}.imagePullSecrets[{i}]"
        if ref.get("name"):
            yield Named(k.SECRET, str(ref["name"]), around.namespace, path)


def _tls_secrets(around: Surroundings) -> Iterator[str]:
    """Secrets with the certificates of the service's Ingresses and Gateways, as far as these can be seen."""
    for ingress in _unless_unread(lambda: around.ingresses):
        for tls in (ingress.get("spec") or {}).get("tls") or ():
            yield str(tls.get("secretName") or "")
    for gateway in _unless_unread(lambda: around.gateways):
        for listener in (gateway.get("spec") or {}).get("listeners") or ():
            for ref in (listener.get("tls") or {}).get("certificateRefs") or ():
                if (ref.get("namespace") or namespace_of(gateway)) == around.namespace:
                    yield str(ref.get("name") or "")


def _unless_unread(read: Callable[[], list[Object]]) -> list[Object]:
    try:
        return read()
    except UnreadError:
        return []  # their own facts carry the reason


def _maker(around: Surroundings, secret: str) -> str | None:
    """The object that creates the Secret, as ``externalsecret/name``."""
    for kind in (k.EXTERNAL_SECRET, k.CERTIFICATE, k.SEALED_SECRET, k.SECRET_PROVIDER_CLASS):
        for obj in _visible(around, kind):
            if secret in _makes(kind, obj):
                return f"{kind.name.lower()}/{name_of(obj)}"
    return None


def _makes(kind: Kind, obj: Object) -> list[str]:
    spec = obj.get("spec") or {}
    if kind == k.CERTIFICATE:
        return [str(spec.get("secretName"))]
    if kind == k.SECRET_PROVIDER_CLASS:
        return [str(each.get("secretName")) for each in spec.get("secretObjects") or ()]
    if kind == k.EXTERNAL_SECRET:
        return [str((spec.get("target") or {}).get("name") or name_of(obj))]
    return [name_of(obj)]


def _visible(around: Surroundings, kind: Kind) -> list[Object]:
    return _unless_unread(lambda: list(around.view.list(kind, around.namespace)))
