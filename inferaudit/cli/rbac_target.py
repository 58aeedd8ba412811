"""What a cluster or manifests tell `generate rbac`: names of the Secrets the service refers to, and what is served."""

from __future__ import annotations

from collections.abc import Sequence

from inferaudit.errors import UsageError
from inferaudit.facts.kubernetes import ApiResource
from inferaudit.model import Fact
from inferaudit.plan import KubernetesPlan, ManifestsPlan

Target = tuple[list[str] | None, list[ApiResource] | None]


def from_cluster(context: str, kubeconfig: str, namespace: str, workload: str) -> Target:
    """Secret names and served resources; :class:`UsageError` where the cluster does not answer."""
    from inferaudit.collect.kubernetes import collect_kubernetes

    needs = frozenset({"workload", "service.secrets", "service.gateways", "service.ingresses", "cluster.crds"})
    plan = KubernetesPlan(context=context, kubeconfig=kubeconfig, namespace=namespace, workload=workload, needs=needs)
    facts = collect_kubernetes(plan)
    for name in ("cluster.crds", "service.secrets"):
        if error := facts[name].error:
            raise UsageError(f"rules cannot be fitted to the cluster: {error.reason}; leave out --context")
    return _names(facts["service.secrets"]), list(facts["cluster.crds"].value)


def from_manifests(paths: Sequence[str], namespace: str, workload: str) -> Target:
    """Secret names that the manifests refer to; what a cluster serves is not known from them."""
    from inferaudit.collect.manifests import collect_manifests

    facts = collect_manifests(ManifestsPlan(tuple(paths), namespace, workload))
    return _names(facts["service.secrets"]), None


def _names(secrets: Fact) -> list[str] | None:
    return None if secrets.error else [secret.name for secret in secrets.value]
