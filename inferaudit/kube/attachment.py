"""What a policy of a gateway or a mesh is attached to: the objects it names, or the pods it selects. Pure.

Source: https://gateway-api.sigs.k8s.io/geps/gep-713/ (targetRef, targetRefs), Envoy Gateway's and kgateway's
``targetSelectors``, and https://istio.io/latest/docs/reference/config/type/workload-selector/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from inferaudit.kube.view import namespace_of


@dataclass(frozen=True, slots=True)
class Target:
    """An object that a policy names, or, with an empty `name`, those of a kind that a LabelSelector chooses."""

    kind: str
    namespace: str
    name: str
    selector: Mapping[str, Any] | None = None


def targets_of(policy: Mapping[str, Any]) -> Iterator[Target]:
    """What a policy says that it is attached to; nothing for one that names nothing."""
    spec, home = policy.get("spec") or {}, namespace_of(policy)
    single = spec.get("targetRef")
    for ref in (*([single] if single else ()), *(spec.get("targetRefs") or ())):
        yield Target(str(ref.get("kind")), str(ref.get("namespace") or home), str(ref.get("name") or ""))
    for chosen in spec.get("targetSelectors") or ():
        terms = {key: chosen[key] for key in ("matchLabels", "matchExpressions") if chosen.get(key)}
        yield Target(str(chosen.get("kind")), home, "", terms)


def pod_labels_of(policy: Mapping[str, Any]) -> Mapping[str, Any]:
    """The labels of the pods that an Istio policy is for; empty for one of the whole namespace."""
    spec = policy.get("spec") or {}
    chosen = (spec.get("selector") or {}).get("matchLabels") or (spec.get("workloadSelector") or {}).get("labels")
    return chosen or {}
