"""Who may do what: the bindings of the service's account, those that let others at the service, and their roles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from inferaudit.kube import kinds as k
from inferaudit.kube.kinds import Kind
from inferaudit.kube.related import Surroundings
from inferaudit.kube.view import Object, metadata, namespace_of

_GROUPS_OF_ALL = ("system:serviceaccounts", "system:authenticated")
_STRANGERS = ("system:unauthenticated", "system:anonymous")


def bindings(around: Surroundings) -> list[Object]:
    """RoleBindings and ClusterRoleBindings that name the ServiceAccount or all accounts, less the API's own."""
    return [
        binding
        for binding in around.gather((k.ROLE_BINDING, around.namespace), (k.CLUSTER_ROLE_BINDING, None))
        if (metadata(binding).get("labels") or {}).get("kubernetes.io/bootstrapping") != "rbac-defaults"
        and any(_is_us(around, subject, binding) for subject in binding.get("subjects") or ())
    ]


def _is_us(around: Surroundings, subject: Mapping[str, Any], binding: Object) -> bool:
    if subject.get("kind") == "ServiceAccount":
        namespace = subject.get("namespace") or namespace_of(binding)
        return subject.get("name") == around.service_account_name and namespace == around.namespace
    groups = (*_GROUPS_OF_ALL, f"system:serviceaccounts:{around.namespace}")
    return subject.get("kind") == "Group" and subject.get("name") in groups


def access(around: Surroundings) -> list[Object]:
    """RoleBindings of the namespace, and the ClusterRoleBindings that name everybody, less the API's own.

    Everybody are also those whom nobody knows, and the account of every pod of the namespace that names none.
    """
    everybody = {*_GROUPS_OF_ALL, *_STRANGERS, f"system:serviceaccounts:{around.namespace}"}
    return [
        binding
        for binding in around.gather((k.ROLE_BINDING, around.namespace), (k.CLUSTER_ROLE_BINDING, None))
        if (metadata(binding).get("labels") or {}).get("kubernetes.io/bootstrapping") != "rbac-defaults"
        and (
            binding.get("kind") == k.ROLE_BINDING.name
            or any(
                subject.get("name") in everybody or _is_default(subject, around.namespace)
                for subject in binding.get("subjects") or ()
            )
        )
    ]


def roles(around: Surroundings) -> list[Object]:
    """Those bindings with their roles."""
    return with_roles(around, bindings(around))


def with_roles(around: Surroundings, bound: Iterable[Object]) -> list[Object]:
    """Bindings, each followed by the role that it grants, where that exists."""
    found: list[Object] = []
    for binding in bound:
        found.append(binding)
        kind, name = role_of(binding)
        role = around.view.get(kind, namespace_of(binding), name)
        if role is not None:
            found.append(role)
    return found


def role_of(binding: Mapping[str, Any]) -> tuple[Kind, str]:
    """The Role or ClusterRole that a binding grants."""
    ref = binding.get("roleRef") or {}
    return (k.CLUSTER_ROLE if ref.get("kind") == "ClusterRole" else k.ROLE), str(ref.get("name") or "")


def _is_default(subject: Mapping[str, Any], namespace: str) -> bool:
    named = (subject.get("kind"), subject.get("namespace"), subject.get("name"))
    return named == ("ServiceAccount", namespace, "default")
