"""Which workload is audited: the one that was named, or the only one that looks like inference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from inferaudit.errors import UsageError
from inferaudit.kube import kinds as k
from inferaudit.kube.images import is_inference_image
from inferaudit.kube.kinds import Kind
from inferaudit.kube.quantity import gpu_quantities
from inferaudit.kube.types import Neighbour, Workload
from inferaudit.kube.view import Object, metadata, name_of, namespace_of
from inferaudit.kube.workloads import ClaimCounts, normalise, owners_of, pod_template, worker_templates

LOOKED_FOR = (
    "Deployments, StatefulSets, DaemonSets, LeaderWorkerSets, Rollouts, InferenceServices, RayServices and bare Pods "
    "that request a GPU, use a DRA claim or run the image of a known inference runtime"
)


class SeveralWorkloads(UsageError):  # noqa: N818  # a situation that the command line asks about, before it is an error
    """More than one workload could be meant; `choices` are ``namespace`` and ``kind/name`` of each."""

    def __init__(self, message: str, choices: Sequence[tuple[str, str]]) -> None:
        listing = "".join(f"\n  --workload {name} -n {namespace}" for namespace, name in choices)
        super().__init__(f"{message}; name one:{listing}")
        self.choices = list(choices)


def parse_name(text: str) -> tuple[Kind | None, str]:
    """Kind and name of ``--workload deployment/chat``; the kind is None for a bare name."""
    before, slash, name = text.rpartition("/")
    if not slash:
        return None, text
    kind = k.workload_kind(before)
    if kind is None or not name:
        known = ", ".join(sorted({each.name.lower() for each in k.WORKLOAD_KINDS}))
        raise UsageError(f"--workload {text}: expected KIND/NAME, with a kind among {known}")
    return kind, name


def choose(candidates: Sequence[Object], workload: str, namespace: str, where: str) -> Object:
    """The object to audit among all `candidates` of workload kinds.

    `where` names the place for messages (``the manifests``, ``context prod``). :class:`SeveralWorkloads` when it is not
    clear, :class:`UsageError` when there is none.
    """
    place = f"{where}, namespace {namespace}" if namespace else where
    shown = [obj for obj in candidates if not namespace or namespace_of(obj) == namespace]
    if workload:
        kind, name = parse_name(workload)
        found = [o for o in shown if name_of(o) == name and (kind is None or k.kind_of(o) == kind)]
        found = _most_specific(found) if kind is None else found
        if not found:
            others = sorted({label(obj) for obj in inference_workloads(shown)})
            hint = f"; inference workloads there: {', '.join(others[:20])}" if others else ""
            raise UsageError(f"no {workload} in {place}{hint}")
    else:
        found = inference_workloads(shown)
        if not found:
            raise UsageError(f"no inference workload in {place}; looked for {LOOKED_FOR}. Name it with --workload")
    if len(found) > 1:
        what = f"several workloads are called {workload}" if workload else "several inference workloads"
        raise SeveralWorkloads(f"{what} in {place}", sorted((namespace_of(o), label(o)) for o in found))
    return _owned_workload(found[0], shown)


def _most_specific(found: list[Object]) -> list[Object]:
    """Of objects with one name (InferenceService and its Deployment, Rollout and Pod) those that nothing owns."""
    return [obj for obj in found if not owners_of(obj)] or found


def _owned_workload(obj: Object, candidates: Iterable[Object]) -> Object:
    """An InferenceService stands for the Deployment that it made, where that is in view."""
    if k.kind_of(obj) != k.INFERENCE_SERVICE:
        return obj
    for other in candidates:
        if namespace_of(other) == namespace_of(obj) and k.kind_of(other) == k.DEPLOYMENT:
            labels = (pod_template(other).get("metadata") or {}).get("labels") or {}
            part = labels.get("component") or "predictor"
            if labels.get("serving.kserve.io/inferenceservice") == name_of(obj) and part == "predictor":
                return other
    return obj


def label(obj: Mapping[str, Any]) -> str:
    """``deployment/chat``: what a user types after ``--workload``."""
    return f"{str(obj.get('kind', '')).lower()}/{name_of(obj)}"


def inference_workloads(objects: Iterable[Object]) -> list[Object]:
    """The objects that look like inference, less those that another of them controls."""
    found = [obj for obj in objects if is_inference(obj)]
    ours = {(namespace_of(obj), obj.get("kind"), name_of(obj)) for obj in found}
    return [
        obj
        for obj in found
        if not any((namespace_of(obj), owner.kind, owner.name) in ours for owner in owners_of(obj))
        and not (obj.get("kind") == "Pod" and owners_of(obj))
        and not _made_by_service(obj, ours)
    ]


def _made_by_service(obj: Object, ours: set[tuple[str, Any, str]]) -> bool:
    """KServe's Deployment carries the InferenceService's name as a label even where it has no owner reference."""
    service = (metadata(obj).get("labels") or {}).get("serving.kserve.io/inferenceservice")
    return obj.get("kind") != "InferenceService" and (namespace_of(obj), "InferenceService", service) in ours


def is_inference(obj: Mapping[str, Any]) -> bool:
    """True for a workload that asks for a GPU or runs a known runtime; platform DaemonSets do neither."""
    kind = k.kind_of(obj)
    if kind in (k.INFERENCE_SERVICE, k.RAY_SERVICE):
        return True
    if kind not in k.WORKLOAD_KINDS:
        return False
    for template in (pod_template(obj), *worker_templates(obj)):
        spec = template.get("spec") or {}
        if spec.get("resourceClaims"):
            return True
        for container in spec.get("containers") or ():
            resources = container.get("resources") or {}
            if gpu_quantities(resources.get("limits")) or gpu_quantities(resources.get("requests")):
                return True
            if is_inference_image(str(container.get("image", ""))):
                return True
    return False


def neighbours(objects: Iterable[Object], chosen: Workload, claims: ClaimCounts) -> list[Neighbour]:
    """The other inference workloads of the chosen one's namespace."""
    found = []
    for obj in inference_workloads(o for o in objects if namespace_of(o) == chosen.namespace):
        other = normalise(obj, claims)
        if other.subject == chosen.subject or any(o.name == other.name and o.kind == other.kind for o in chosen.owners):
            continue
        containers = (other.template.get("spec") or {}).get("containers") or ()
        status = obj.get("status") or {}
        ready = status.get("readyReplicas", status.get("numberReady", 0 if "replicas" in status else None))
        found.append(
            Neighbour(
                kind=other.kind,
                namespace=other.namespace,
                name=other.name,
                subject=other.subject,
                replicas=other.replicas,
                ready=ready if isinstance(ready, int) else None,
                gpus_per_pod=other.gpus_per_pod,
                images=[str(c.get("image", "")) for c in containers],
                labels=dict(metadata(obj).get("labels") or {}),
            )
        )
    return found


def check_shape(obj: Mapping[str, Any], where: str) -> None:
    """Raise :class:`UsageError` where a workload is not built as the API would have it."""
    for template in _templates(obj):
        spec = template.get("spec")
        lists = ("containers", "initContainers", "volumes", "imagePullSecrets", "tolerations", "resourceClaims")
        if not isinstance(spec, Mapping) or any(not _is_list(spec.get(name)) for name in lists):
            raise UsageError(f"{where}: {label(obj)} is not a valid {obj.get('kind')}: its pod template is malformed")
        for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
            parts = ("env", "envFrom", "ports", "volumeMounts")
            resources = container.get("resources") or {}
            if (
                not isinstance(resources, Mapping)
                or not all(isinstance(resources.get(part) or {}, Mapping) for part in ("requests", "limits"))
                or not isinstance(container.get("image", ""), (str, type(None)))
                or not all(_is_list(container.get(part)) for part in parts)
            ):
                raise UsageError(f"{where}: {label(obj)}: container {container.get('name')} is malformed")
            for port in container.get("ports") or ():
                if not isinstance(port.get("containerPort", 0), (int, type(None))):
                    said = f"containerPort {port['containerPort']!r} is no number"
                    raise UsageError(f"{where}: {label(obj)}: container {container.get('name')}: {said}")


def _templates(obj: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    try:
        return [pod_template(obj), *worker_templates(obj)]
    except (AttributeError, TypeError, ValueError):
        return [{}]


def _is_list(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(item, Mapping) for item in value))
