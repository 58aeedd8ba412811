"""From the facts that checks need to the permissions behind them: least privilege, printed as manifests.

What lies in the service's namespace goes into a Role, what has no namespace or is looked for in all of them into a
ClusterRole. Secrets have a Role of their own, by name where the names are known; what only a flag asks for has one
each, which grants nothing until it is bound.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import yaml

from inferaudit.errors import UsageError
from inferaudit.facts import Rbac, fact_specs
from inferaudit.kube.types import ApiResource
from inferaudit.model import Check

NAME = "inferaudit"
_API = "rbac.authorization.k8s.io"
_SECRETS = ("", "secrets")
# What a flag asks for. Logs are read where they may be; the others take a connection to the pods, or a pod itself.
# A port-forward over websockets is authorised as `get`, by newer servers as `create` as well.
OPTIONAL: dict[str, tuple[Rbac, ...]] = {
    "logs": (Rbac("get", "pods/log", optional=True),),
    "port-forward": (
        Rbac("create", "pods/portforward", optional=True),
        Rbac("get", "pods/portforward", optional=True),
    ),
    "proxy": (Rbac("get", "pods/proxy", optional=True),),
    "chaos": (Rbac("delete", "pods", optional=True),),
}

Object = dict[str, Any]


def needed_permissions(checks: Iterable[Check]) -> frozenset[Rbac]:
    """Every permission behind a needed or optional fact of the checks."""
    specs = fact_specs()
    return frozenset(rule for c in checks for name in (*c.needs, *c.optional) for rule in specs[name].rbac)


def rbac_manifests(
    checks: Iterable[Check],
    *,
    namespace: str,
    service_account: str,
    secrets: Sequence[str] | None = None,
    served: Iterable[ApiResource] | None = None,
    optional: Collection[str] = (),
) -> str:
    """ServiceAccount, Roles, ClusterRole and bindings as YAML; `namespace` is the service's.

    `service_account` is a name, or ``namespace/name`` where it lives elsewhere. `secrets` are the names of those that
    the service refers to; None = not known, and the rule names none. `served` are the resources of the cluster; rules
    for others are left out, None keeps all. `optional` are the keys of :data:`OPTIONAL` that are bound as well;
    :class:`UsageError` for an unknown one.
    """
    if unknown := sorted(set(optional) - set(OPTIONAL)):
        raise UsageError(f"--with {unknown[0]}: there are {', '.join(OPTIONAL)}")
    home, _, account = service_account.rpartition("/")
    subject = {"kind": "ServiceAccount", "name": account, "namespace": home or namespace}
    rules = _present(needed_permissions(checks), served)
    everywhere = {rule for rule in rules if not rule.namespaced}
    covered = {(rule.verb, rule.resource, rule.group) for rule in everywhere if not rule.names}
    here = {
        rule
        for rule in rules
        if rule.namespaced and not rule.optional and (rule.verb, rule.resource, rule.group) not in covered
    }
    secret = {rule for rule in here if (rule.group, rule.resource) == _SECRETS}
    documents: list[Object] = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": subject["namespace"]}}
    ]
    documents += _role(NAME, namespace, _grouped(here - secret), subject)
    if secret and secrets != []:
        # `get` by name, never `list`: a list could be asked for the data of all.
        names = {"resourceNames": sorted(set(secrets))} if secrets else {}
        documents += _role(f"{NAME}-secrets", namespace, [{**rule, **names} for rule in _grouped(secret)], subject)
    for key, given in OPTIONAL.items():
        role = _role(f"{NAME}-{key}", namespace, _grouped(given), subject)
        documents += role if key in optional else role[:1]
    documents += _role(NAME, "", _grouped(everywhere), subject)
    return yaml.safe_dump_all(documents, sort_keys=False)


def _present(rules: frozenset[Rbac], served: Iterable[ApiResource] | None) -> frozenset[Rbac]:
    if served is None:
        return rules
    known = {(each.group, each.resource) for each in served}
    return frozenset(rule for rule in rules if (rule.group, rule.resource.partition("/")[0]) in known)


def _role(name: str, namespace: str, rules: list[Object], subject: Object) -> list[Object]:
    """A Role (a ClusterRole without a namespace) and its binding; nothing where there are no rules."""
    if not rules:
        return []
    kind = "Role" if namespace else "ClusterRole"
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    head = {"apiVersion": f"{_API}/v1"}
    binding = {"roleRef": {"apiGroup": _API, "kind": kind, "name": name}, "subjects": [subject]}
    # Copies, so that YAML writes each object out and no anchors.
    return [
        {**head, "kind": kind, "metadata": metadata, "rules": rules},
        {**head, "kind": f"{kind}Binding", "metadata": dict(metadata), **binding, "subjects": [dict(subject)]},
    ]


def _grouped(rules: Iterable[Rbac]) -> list[Object]:
    """Rules of one API group with the same verbs together, in a stable order."""
    verbs: dict[tuple[str, str, tuple[str, ...]], set[str]] = defaultdict(set)
    for rule in rules:
        verbs[(rule.group, rule.resource, rule.names)].add(rule.verb)
    resources: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[str]] = defaultdict(list)
    for (group, resource, only), said in sorted(verbs.items()):
        resources[(group, tuple(sorted(said)), only)].append(resource)
    return [
        {"apiGroups": [group], "resources": names, **({"resourceNames": list(only)} if only else {}), "verbs": [*said]}
        for (group, said, only), names in resources.items()
    ]
