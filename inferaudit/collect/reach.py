"""Where the workload can be reached in its cluster now: its Service, its port and its ready pods. Read-only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from inferaudit.collect.kube_client import IN_CLUSTER, connect
from inferaudit.collect.kubernetes import collect_kubernetes
from inferaudit.model import FactError, FactErrorKind
from inferaudit.plan import KubernetesPlan
from inferaudit.pod_state import is_ready, pod_name, serves
from inferaudit.serving_address import Address, serving_address

_NEEDS = ("workload", "workload.containers", "workload.pods", "service.services", "service.configmaps")
_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The workload with its way in. `ready` are its ready pods that serve (whole objects, by name).

    `kubernetes` names the workload and, outside a cluster, the context it was seen in: what is agreed to about one
    cluster is not done in another, should the kubeconfig change meanwhile.
    """

    kubernetes: KubernetesPlan
    subject: str
    namespace: str
    replicas: int | None
    ready: tuple[Mapping[str, Any], ...]
    address: Address | FactError

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the ready pods."""
        return tuple(pod_name(pod) for pod in self.ready)


def look_around(plan: KubernetesPlan, *, rpc: bool = False) -> Surroundings | FactError:
    """The workload's surroundings, or why they cannot be seen. `rpc`: the way for gRPC is sought.

    :class:`UsageError` where it is not clear which workload is meant. ConfigMaps that may not be read only cost the
    port that a server's configuration file names.
    """
    facts = collect_kubernetes(replace(plan, needs=frozenset(_NEEDS)))
    for name in _NEEDS[:4]:
        if (error := facts[name].error) is not None:
            return error
    workload, configmaps = facts["workload"].value, facts["service.configmaps"]
    found = serving_address(
        facts["workload.containers"].value,
        facts["service.services"].value,
        configmaps.value or () if configmaps.error is None else (),
        rpc=rpc,
    )
    if isinstance(found, str):
        reason = f"{workload.subject} cannot be reached: {found}"
        address: Address | FactError = FactError(
            FactErrorKind.FAILED, reason, f"the way to {workload.subject}", remedy="give --url URL, or mend the Service"
        )
    else:
        address = found
    ready = sorted((pod for pod in facts["workload.pods"].value if is_ready(pod) and serves(pod)), key=pod_name)
    seen_in = connect(plan).context
    context = "" if seen_in == IN_CLUSTER and not plan.context else seen_in
    named = replace(plan, context=context, namespace=workload.namespace, workload=plan.workload or _label(workload))
    return Surroundings(named, workload.subject, workload.namespace, workload.replicas, tuple(ready), address)


def no_ready_pod(around: Surroundings) -> FactError:
    """Nothing serves, so nothing can be asked."""
    reason = f"no pod of {around.subject} is ready: there is nothing to reach"
    return FactError(
        FactErrorKind.FAILED, reason, f"the way to {around.subject}", remedy=f"kubectl get pods -n {around.namespace}"
    )


def in_cluster(plan: KubernetesPlan, environ: Mapping[str, str] | None = None, token: Path = _TOKEN) -> bool:
    """Whether this process runs in a pod of the audited cluster: it has a pod's account, and was given no other."""
    environ = os.environ if environ is None else environ
    given = plan.kubeconfig or plan.context or environ.get("KUBECONFIG")
    return not given and bool(environ.get("KUBERNETES_SERVICE_HOST")) and token.is_file()


def _label(workload: Any) -> str:
    return f"{workload.kind.lower()}/{workload.name}"
