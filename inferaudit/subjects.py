"""Subjects: how a finding names the object it is about, and whose edit mends the fault.

Lower-case singular kind, then names: ``deployment/ns/name[/container]``, ``node/name``. Kinds outside Kubernetes' own
API groups carry theirs: ``httproute.gateway.networking.k8s.io/ns/name``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OWN_GROUPS = frozenset(
    (
        "",
        "apps",
        "autoscaling",
        "batch",
        "policy",
        "events.k8s.io",
        "networking.k8s.io",
        "discovery.k8s.io",
        "rbac.authorization.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
        "node.k8s.io",
        "resource.k8s.io",
        "apiextensions.k8s.io",
        "admissionregistration.k8s.io",
    )
)


def object_subject(obj: Mapping[str, Any]) -> str:
    """The subject of a Kubernetes object as the API returns it."""
    group = str(obj.get("apiVersion", "")).rpartition("/")[0]
    kind = str(obj.get("kind", "object")).lower()
    metadata = obj.get("metadata") or {}
    names = [n for n in (metadata.get("namespace"), metadata.get("name")) if n]
    return "/".join([kind if group in _OWN_GROUPS else f"{kind}.{group}", *names])
