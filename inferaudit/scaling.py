"""Autoscalers in one shape, whether HorizontalPodAutoscaler or KEDA ScaledObject. Pure.

Defaults: https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/ and
https://keda.sh/docs/latest/reference/scaledobject-spec/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from inferaudit.subjects import object_subject
from inferaudit.units import whole_number

_HPA_DOWN_S = 300
_KEDA_MAX = 100
_WEAK_TRIGGERS = frozenset({"cpu", "memory"})
_CPU_QUERY = re.compile(r"container_cpu_usage|node_cpu|container_memory_(?:usage|working_set)")


@dataclass(frozen=True, slots=True)
class Scaler:
    """An autoscaler. `signals` are what it scales on: ``cpu``, ``memory``, or a metric's name or query.

    `down_s` is how long a lower need must last before pods are removed. `owned` marks the HPA that KEDA makes.
    """

    subject: str
    kind: str
    minimum: int
    maximum: int
    signals: tuple[str, ...]
    down_s: int
    idle: int | None
    owned: bool
    object: Mapping[str, Any]

    @property
    def weak(self) -> bool:
        """True when it scales on CPU or memory alone."""
        return bool(self.signals) and all(s in _WEAK_TRIGGERS or _CPU_QUERY.search(s) for s in self.signals)


def scalers_of(objects: Iterable[Mapping[str, Any]]) -> list[Scaler]:
    """The autoscalers among `objects`, less the HPAs that KEDA made for a ScaledObject that is there too."""
    found = [_hpa(o) if o.get("kind") == "HorizontalPodAutoscaler" else _keda(o) for o in objects]
    keda = any(scaler.kind == "ScaledObject" for scaler in found)
    return [scaler for scaler in found if not (keda and scaler.owned)]


def _hpa(obj: Mapping[str, Any]) -> Scaler:
    spec = obj.get("spec") or {}
    signals = [_hpa_signal(metric) for metric in spec.get("metrics") or ()]
    if spec.get("targetCPUUtilizationPercentage"):  # autoscaling/v1
        signals.append("cpu")
    down = ((spec.get("behavior") or {}).get("scaleDown") or {}).get("stabilizationWindowSeconds")
    owners = (obj.get("metadata") or {}).get("ownerReferences") or ()
    return Scaler(
        object_subject(obj),
        "HorizontalPodAutoscaler",
        _whole(spec.get("minReplicas"), 1),
        _whole(spec.get("maxReplicas"), 1),
        tuple(signals) or ("cpu",),
        _whole(down, _HPA_DOWN_S),
        None,
        any(owner.get("kind") == "ScaledObject" for owner in owners),
        obj,
    )


def _hpa_signal(metric: Mapping[str, Any]) -> str:
    kind = str(metric.get("type") or "")
    part = metric.get(kind[:1].lower() + kind[1:]) or {}
    return str(part.get("name") or (part.get("metric") or {}).get("name") or kind)


def _keda(obj: Mapping[str, Any]) -> Scaler:
    spec = obj.get("spec") or {}
    triggers = spec.get("triggers") or ()
    behavior = ((spec.get("advanced") or {}).get("horizontalPodAutoscalerConfig") or {}).get("behavior") or {}
    down = (behavior.get("scaleDown") or {}).get("stabilizationWindowSeconds")
    signals = (
        str((t.get("metadata") or {}).get("query") or (t.get("metadata") or {}).get("metricName") or t.get("type"))
        if t.get("type") not in _WEAK_TRIGGERS
        else str(t.get("type"))
        for t in triggers
    )
    idle = spec.get("idleReplicaCount")
    return Scaler(
        object_subject(obj),
        "ScaledObject",
        _whole(spec.get("minReplicaCount"), 0),
        _whole(spec.get("maxReplicaCount"), _KEDA_MAX),
        tuple(signals),
        _whole(down, _HPA_DOWN_S),
        idle if isinstance(idle, int) else None,
        False,
        obj,
    )


def _whole(value: Any, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def pod_count(value: Any, replicas: int, *, up: bool) -> int:
    """A count or a percentage of `replicas`, rounded up or down as the API does for its field."""
    text = str(value)
    number = whole_number(text.removesuffix("%")) or 0
    if not text.endswith("%"):
        return number
    share = number * replicas
    return -(-share // 100) if up else share // 100


def fenceposts(rolling: Mapping[str, Any], replicas: int) -> tuple[int, int]:
    """How many pods a Deployment's update may start beside the old ones, and how many of those may be gone.

    Where rounding leaves neither, one pod may be gone, or no update could begin; never more than there are:
    ResolveFenceposts and MaxUnavailable in k8s.io/kubernetes/pkg/controller/deployment/util.
    """
    surge = pod_count(_given(rolling, "maxSurge"), replicas, up=True)
    unavailable = pod_count(_given(rolling, "maxUnavailable"), replicas, up=False)
    return surge, min(unavailable if surge or unavailable else 1, replicas)


def neither_fencepost(rolling: Mapping[str, Any]) -> bool:
    """True where both fields are nothing as they are written, which the API server refuses."""
    return not any(pod_count(_given(rolling, name), 100, up=True) for name in ("maxSurge", "maxUnavailable"))


def _given(rolling: Mapping[str, Any], name: str) -> Any:
    return "25%" if rolling.get(name) is None else rolling[name]
