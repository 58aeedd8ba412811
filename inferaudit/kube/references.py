"""Every object that a pod template names: where it is named, whether it may be missing, and which entry must exist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from inferaudit.kube import kinds as k
from inferaudit.kube.kinds import Kind
from inferaudit.kube.types import Workload


@dataclass(frozen=True, slots=True)
class Named:
    """One mention of an object in a workload. `key` is the entry of it that the workload takes, when it takes one."""

    kind: Kind
    name: str
    namespace: str
    path: str
    optional: bool = False
    key: str | None = None


def walk(workload: Workload) -> list[Named]:
    """All mentions, in the order of the template; `path` starts at the template (``spec.volumes[0].secret``)."""
    spec = workload.template.get("spec") or {}
    ns = workload.namespace
    found = [
        *_plain(spec, ns),
        *_volumes(spec, ns),
        *(named for field in ("initContainers", "containers") for named in _containers(spec, field, ns)),
        *_claims(workload),
    ]
    return [named for named in found if named.name]


def _plain(spec: Mapping[str, Any], ns: str) -> Iterator[Named]:
    account = str(spec.get("serviceAccountName") or spec.get("serviceAccount") or "default")
    yield Named(k.SERVICE_ACCOUNT, account, ns, "spec.serviceAccountName")
    for field, kind in (("priorityClassName", k.PRIORITY_CLASS), ("runtimeClassName", k.RUNTIME_CLASS)):
        yield Named(kind, str(spec.get(field) or ""), "", f"spec.{field}")
    for i, secret in enumerate(spec.get("imagePullSecrets") or ()):
        yield Named(k.SECRET, str(secret.get("name") or ""), ns, f"spec.imagePullSecrets[{i}]")
    for i, claim in enumerate(spec.get("resourceClaims") or ()):
        path = f"spec.resourceClaims[{i}]"
        yield Named(k.CLAIM_TEMPLATE, str(claim.get("resourceClaimTemplateName") or ""), ns, path)
        yield Named(k.RESOURCE_CLAIM, str(claim.get("resourceClaimName") or ""), ns, path)


def _volumes(spec: Mapping[str, Any], ns: str) -> Iterator[Named]:
    mounts = [
        m
        for field in ("initContainers", "containers")
        for c in spec.get(field) or ()
        for m in c.get("volumeMounts") or ()
    ]
    for i, volume in enumerate(spec.get("volumes") or ()):
        path = f"spec.volumes[{i}]"
        yield from _volume_source(
            volume, ns, path, [m.get("subPath") for m in mounts if m.get("name") == volume.get("name")]
        )
        for source in (volume.get("projected") or {}).get("sources") or ():
            yield from _volume_source(source, ns, path)
        claim = volume.get("persistentVolumeClaim") or {}
        yield Named(k.CLAIM, str(claim.get("claimName") or ""), ns, path)
        csi = volume.get("csi") or {}
        provider = (csi.get("volumeAttributes") or {}).get("secretProviderClass")
        yield Named(k.SECRET_PROVIDER_CLASS, str(provider or ""), ns, path)
        yield Named(k.SECRET, str((csi.get("nodePublishSecretRef") or {}).get("name") or ""), ns, path)


def _volume_source(
    source: Mapping[str, Any], ns: str, path: str, mounted: Iterable[str | None] = ()
) -> Iterator[Named]:
    """ConfigMap and Secret volumes. A Secret volume names its Secret ``secretName``, a projected source ``name``.

    `mounted` are the paths within the volume that are mounted alone: each is an entry, where entries keep their names.
    """
    for field, kind in (("configMap", k.CONFIG_MAP), ("secret", k.SECRET)):
        part = source.get(field)
        if isinstance(part, Mapping):
            name, optional = str(part.get("secretName") or part.get("name") or ""), bool(part.get("optional"))
            items: list[str | None] = [str(item["key"]) for item in part.get("items") or () if item.get("key")]
            items = items or [key for key in dict.fromkeys(mounted) if key and "/" not in key]
            for key in items or [None]:
                yield Named(kind, name, ns, f"{path}.{field}", optional, key)


def _containers(spec: Mapping[str, Any], field: str, ns: str) -> Iterator[Named]:
    for i, container in enumerate(spec.get(field) or ()):
        path = f"spec.{field}[{i}]"
        for j, env in enumerate(container.get("env") or ()):
            source = env.get("valueFrom") or {}
            for ref, kind in (("secretKeyRef", k.SECRET), ("configMapKeyRef", k.CONFIG_MAP)):
                part = source.get(ref) or {}
                yield Named(
                    kind,
                    str(part.get("name") or ""),
                    ns,
                    f"{path}.env[{j}]",
                    bool(part.get("optional")),
                    str(part["key"]) if part.get("key") else None,
                )
        for j, source in enumerate(container.get("envFrom") or ()):
            for ref, kind in (("secretRef", k.SECRET), ("configMapRef", k.CONFIG_MAP)):
                part = source.get(ref) or {}
                yield Named(kind, str(part.get("name") or ""), ns, f"{path}.envFrom[{j}]", bool(part.get("optional")))


def _claims(workload: Workload) -> Iterator[Named]:
    """Claims that a StatefulSet makes exist once it runs; what must exist beforehand is their StorageClass."""
    templates = (workload.object.get("spec") or {}).get("volumeClaimTemplates") or ()
    for i, template in enumerate(templates):
        storage_class = (template.get("spec") or {}).get("storageClassName")
        yield Named(k.STORAGE_CLASS, str(storage_class or ""), "", f"volumeClaimTemplates[{i}].spec.storageClassName")
