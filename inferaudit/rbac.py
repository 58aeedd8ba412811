"""From the facts that checks need to the permissions behind them: least privilege, printed as manifests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import yaml

from inferaudit.facts import Rbac, fact_specs
from inferaudit.model import Check


def needed_permissions(checks: Iterable[Check]) -> frozenset[Rbac]:
    """Every permission behind a needed or optional fact of the checks."""
    specs = fact_specs()
    return frozenset(rule for c in checks for name in (*c.needs, *c.optional) for rule in specs[name].rbac)


def rbac_manifests(checks: Iterable[Check], *, namespace: str, service_account: str) -> str:
    """A Role for the service's namespace, a ClusterRole for what has none, and their bindings, as YAML."""
    rules = needed_permissions(checks)
    subject = {"kind": "ServiceAccount", "name": service_account, "namespace": namespace}
    documents: list[dict[str, Any]] = [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": service_account, "namespace": namespace},
        }
    ]
    for kind, scoped in (("Role", True), ("ClusterRole", False)):
        chosen = [rule for rule in rules if rule.namespaced is scoped and not rule.optional]
        if not chosen:
            continue
        metadata = {"name": "inferaudit", **({"namespace": namespace} if scoped else {})}
        documents.append(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": kind,
                "metadata": metadata,
                "rules": _grouped(chosen),
            }
        )
        documents.append(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": f"{kind}Binding",
                "metadata": metadata,
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "inferaudit"},
                "subjects": [subject],
            }
        )
    return yaml.safe_dump_all(documents, sort_keys=False)


def _grouped(rules: Iterable[Rbac]) -> list[dict[str, Any]]:
    """Rules of one API group with the same verbs together, in a stable order."""
    verbs: dict[tuple[str, str], set[str]] = defaultdict(set)
    for rule in rules:
        verbs[(rule.group, rule.resource)].add(rule.verb)
    resources: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for (group, resource), said in sorted(verbs.items()):
        resources[(group, tuple(sorted(said)))].append(resource)
    return [
        {"apiGroups": [group], "resources": names, "verbs": list(said)} for (group, said), names in resources.items()
    ]
