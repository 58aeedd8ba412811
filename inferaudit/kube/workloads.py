"""Workloads of every kind, brought to one shape: pod template, containers with their roles, GPUs, replicas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from inferaudit.kube import kinds as k
from inferaudit.kube.images import is_inference_image, is_sidecar_image
from inferaudit.kube.quantity import gpu_quantities
from inferaudit.kube.types import Owner, Workload
from inferaudit.subjects import object_subject

Object = dict[str, Any]
ClaimCounts = Mapping[str, int]  # devices that a ResourceClaim or ResourceClaimTemplate of that name asks for

_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
_SERVER_NAMES = frozenset({"kserve-container", "server", "vllm", "triton", "inference", "model", "ray-head", "tgi"})

_RAY_HEALTH = ["bash", "-c", "wget -q -O- http://localhost:52365/api/local_raylet_healthz | grep success"]


def normalise(obj: Object, claims: ClaimCounts | None = None, source: str | None = None) -> Workload:
    """The workload behind an API object of a workload kind. `claims` are the devices behind DRA claims, by name."""
    template = pod_template(obj)
    gpus = pod_gpus(template.get("spec") or {}, claims or {})
    metadata = obj.get("metadata") or {}
    size = 1
    if obj.get("kind") == k.LEADER_WORKER_SET.name:
        size = int(((obj.get("spec") or {}).get("leaderWorkerTemplate") or {}).get("size") or 1)
    return Workload(
        kind=str(obj.get("kind", "")),
        group=k.group_of(str(obj.get("apiVersion", ""))),
        namespace=str(metadata.get("namespace") or ""),
        name=str(metadata.get("name") or ""),
        subject=object_subject(obj),
        replicas=replicas(obj),
        object=obj,
        template=template,
        uses_gpu=bool(gpus) or any(pod_gpus(t.get("spec") or {}, claims or {}) for t in worker_templates(obj)),
        gpus_per_pod=sum(gpus.values()),
        gpu_resources=gpus,
        pods_per_replica=size,
        owners=owners_of(obj),
        source=source,
    )


def owners_of(obj: Mapping[str, Any]) -> list[Owner]:
    """The controllers named in ``ownerReferences``."""
    references = (obj.get("metadata") or {}).get("ownerReferences") or ()
    return [
        Owner(kind=str(r.get("kind", "")), name=str(r.get("name", "")), group=k.group_of(str(r.get("apiVersion", ""))))
        for r in references
        if isinstance(r, Mapping)
    ]


def replicas(obj: Mapping[str, Any]) -> int | None:
    """The replicas an object asks for, 1 where the API defaults it so; None for kinds without that number."""
    kind, spec = obj.get("kind"), obj.get("spec") or {}
    if kind in (k.DEPLOYMENT.name, k.STATEFUL_SET.name, k.ROLLOUT.name, k.LEADER_WORKER_SET.name):
        count = spec.get("replicas")
        return count if isinstance(count, int) else 1
    if kind == k.INFERENCE_SERVICE.name:
        count = (spec.get("predictor") or {}).get("minReplicas")
        return count if isinstance(count, int) else 1
    if kind == k.RAY_SERVICE.name:
        return _ray_replicas(spec.get("rayClusterConfig") or {})
    return 1 if kind == k.POD.name else None


def pod_template(obj: Mapping[str, Any]) -> Object:
    """The template of the pods that serve: the leader of a LeaderWorkerSet, the predictor, of a RayService the workers
    with the GPUs, else the head."""
    kind, spec = obj.get("kind"), obj.get("spec") or {}
    if kind == k.POD.name:
        return {"metadata": obj.get("metadata") or {}, "spec": spec}
    if kind == k.LEADER_WORKER_SET.name:
        both = spec.get("leaderWorkerTemplate") or {}
        return dict(both.get("leaderTemplate") or both.get("workerTemplate") or {})
    if kind == k.RAY_SERVICE.name:
        return _ray_templates(spec.get("rayClusterConfig") or {})[0]
    if kind == k.INFERENCE_SERVICE.name:
        return _predictor_template(obj)
    return dict(spec.get("template") or {})


def worker_templates(obj: Mapping[str, Any]) -> list[Object]:
    """Templates of pods that take part without serving: LeaderWorkerSet workers, Ray's head and other groups."""
    spec = obj.get("spec") or {}
    if obj.get("kind") == k.LEADER_WORKER_SET.name:
        both = spec.get("leaderWorkerTemplate") or {}
        return [dict(both["workerTemplate"])] if both.get("leaderTemplate") and both.get("workerTemplate") else []
    if obj.get("kind") == k.RAY_SERVICE.name:
        return _ray_templates(spec.get("rayClusterConfig") or {})[1:]
    return []


def _part_names(obj: Mapping[str, Any]) -> list[str]:
    """What the templates of :func:`worker_templates` are called: ``worker``, Ray's ``head`` or its group's name."""
    if obj.get("kind") == k.LEADER_WORKER_SET.name:
        return ["worker"]
    groups = (
        _ray_groups((obj.get("spec") or {}).get("rayClusterConfig") or {}) if obj.get("kind") == "RayService" else []
    )
    return [str(group.get("groupName") or "head") for group in groups[1:]]


def _ray_groups(cluster: Mapping[str, Any]) -> list[Object]:
    """The groups of a Ray cluster, the serving one first: a head without GPUs leaves the models to its workers."""
    head = cluster.get("headGroupSpec") or {}
    groups = [head, *(group for group in cluster.get("workerGroupSpecs") or () if group.get("template"))]
    return sorted(groups, key=lambda group: not pod_gpus((group.get("template") or {}).get("spec") or {}, {}))


def _ray_templates(cluster: Mapping[str, Any]) -> list[Object]:
    return [_as_kuberay_completes(dict(group.get("template") or {})) for group in _ray_groups(cluster)]


def _ray_replicas(cluster: Mapping[str, Any]) -> int:
    """The pods of the serving group, of which an autoscaler keeps the least; one of the head."""
    group = _ray_groups(cluster)[0]
    counts = [group.get("minReplicas")] if cluster.get("enableInTreeAutoscaling") else []
    counts += [group.get("replicas"), group.get("minReplicas")]
    return next((count for count in counts if isinstance(count, int)), 1)


def _as_kuberay_completes(template: Object) -> Object:
    """KubeRay gives the first container the probes that it lacks (ray-operator/controllers/ray/common/pod.go)."""
    spec = template.get("spec") or {}
    first, *others = [*(spec.get("containers") or ())] or [None]
    if not isinstance(first, dict):
        return template
    probes = {
        "readinessProbe": {
            "exec": {"command": _RAY_HEALTH},
            "periodSeconds": 5,
            "timeoutSeconds": 2,
            "failureThreshold": 10,
        },
        "livenessProbe": {
            "exec": {"command": _RAY_HEALTH},
            "periodSeconds": 5,
            "timeoutSeconds": 2,
            "failureThreshold": 120,
        },
    }
    return {**template, "spec": {**spec, "containers": [{**probes, **first}, *others]}}


def _predictor_template(obj: Mapping[str, Any]) -> Object:
    """A KServe predictor as the pod template it becomes; ``model`` becomes the container ``kserve-container``."""
    predictor = dict((obj.get("spec") or {}).get("predictor") or {})
    model = predictor.pop("model", None)
    containers = [dict(each) for each in predictor.get("containers") or ()]
    if isinstance(model, Mapping):
        own = {field: value for field, value in model.items() if field not in ("modelFormat", "runtime")}
        containers.insert(0, {"name": "kserve-container", **own})
    metadata = obj.get("metadata") or {}
    labels = {
        **(metadata.get("labels") or {}),
        **(predictor.pop("labels", None) or {}),
        "serving.kserve.io/inferenceservice": metadata.get("name", ""),
    }
    annotations = {**(metadata.get("annotations") or {}), **(predictor.pop("annotations", None) or {})}
    return {"metadata": {"labels": labels, "annotations": annotations}, "spec": {**predictor, "containers": containers}}


def template_labels(template: Mapping[str, Any]) -> dict[str, str]:
    """The labels that the workload's pods carry."""
    return dict((template.get("metadata") or {}).get("labels") or {})


def pod_selector(obj: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The LabelSelector behind which the workload's pods are found; None where its kind has none (a bare Pod)."""
    name = (obj.get("metadata") or {}).get("name")
    if obj.get("kind") == k.LEADER_WORKER_SET.name:
        return {"matchLabels": {"leaderworkerset.sigs.k8s.io/name": name}}
    if obj.get("kind") == k.INFERENCE_SERVICE.name:
        return {"matchLabels": {"serving.kserve.io/inferenceservice": name}}
    selector = (obj.get("spec") or {}).get("selector")
    return selector if isinstance(selector, Mapping) else None


def container_gpus(container: Mapping[str, Any], pod_spec: Mapping[str, Any], claims: ClaimCounts) -> dict[str, int]:
    """GPUs of one container by resource name. A DRA claim counts its devices, or 1 where the claim is not in view."""
    resources = container.get("resources") or {}
    counts = {**gpu_quantities(resources.get("requests")), **gpu_quantities(resources.get("limits"))}
    behind = {each.get("name"): each for each in pod_spec.get("resourceClaims") or () if isinstance(each, Mapping)}
    for used in resources.get("claims") or ():
        claim = behind.get(used.get("name")) or {}
        name = claim.get("resourceClaimTemplateName") or claim.get("resourceClaimName") or ""
        devices = claims.get(name, 1)
        if devices:
            counts["resource.k8s.io"] = counts.get("resource.k8s.io", 0) + devices
    return counts


def pod_gpus(pod_spec: Mapping[str, Any], claims: ClaimCounts) -> dict[str, int]:
    """GPUs of a pod: the sum over containers and native side-cars, or the greatest init container if that is more."""
    total: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container, role in _with_roles(pod_spec):
        for name, count in container_gpus(container, pod_spec, claims).items():
            if role == "init":
                peak[name] = max(peak.get(name, 0), count)
            else:
                total[name] = total.get(name, 0) + count
    return {name: max(total.get(name, 0), peak.get(name, 0)) for name in {**total, **peak}}


def claim_devices(objects: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """GPUs behind ResourceClaims and ResourceClaimTemplates by name. v1 nests requests under ``exactly``, v1beta1 not.

    ``allocationMode: All`` counts as 1, the least it can be; a device class that is no accelerator counts 0.
    """
    counts: dict[str, int] = {}
    for obj in objects:
        try:
            counts[str((obj.get("metadata") or {}).get("name"))] = _devices(obj.get("spec") or {})
        except (AttributeError, TypeError, ValueError, IndexError):
            continue  # malformed: it then counts as one that is not in view
    return counts


def _devices(spec: Mapping[str, Any]) -> int:
    total = 0
    for request in ((spec.get("spec") or spec).get("devices") or {}).get("requests") or ():
        first = (request.get("firstAvailable") or [{}])[0]
        exact = request.get("exactly") or first or request
        device_class = str(exact.get("deviceClassName") or request.get("deviceClassName") or "")
        if any(word in device_class for word in ("gpu", "mig", "tpu", "neuron", "npu")):
            total += int(exact.get("count") or 1)
    return total


def containers_of(workload: Workload, claims: ClaimCounts | None = None) -> list[Object]:
    """The containers as facts: the API's own fields plus `subject`, `role`, `serving` and `gpus`.

    One of another template that has the name of one before it is told apart by its part: ``…/chat/server@worker``.
    """
    found: list[Object] = []
    templates = [workload.template, *worker_templates(workload.object)]
    taken: set[str] = set()
    for number, (template, part) in enumerate(zip(templates, ["", *_part_names(workload.object)], strict=False)):
        spec = template.get("spec") or {}
        serving = _serving_names(template) if number == 0 else frozenset()
        for container, role in _with_roles(spec):
            name = str(container.get("name", ""))
            shown = name if name not in taken else f"{name}@{part}"
            taken.add(shown)
            is_server = role != "init" and name in serving
            found.append(
                {
                    **container,
                    "subject": f"{workload.subject}/{shown}",
                    "role": "server" if is_server else role,
                    "serving": is_server,
                    "gpus": sum(container_gpus(container, spec, claims or {}).values()),
                }
            )
    return found


def _with_roles(pod_spec: Mapping[str, Any]) -> list[tuple[Object, str]]:
    """Containers with `init` or `sidecar`; an init container that restarts ``Always`` is a native side-car."""
    inits = [c for c in pod_spec.get("initContainers") or () if isinstance(c, dict)]
    apps = [c for c in pod_spec.get("containers") or () if isinstance(c, dict)]
    return [(c, "sidecar") for c in apps] + [
        (c, "sidecar" if c.get("restartPolicy") == "Always" else "init") for c in inits
    ]


def _serving_names(template: Mapping[str, Any]) -> frozenset[str]:
    """Which containers serve. In this order: the only one, those with GPUs, a known runtime's image, a telling name,
    the annotated default, the first that is no known side-car."""
    spec = template.get("spec") or {}
    apps = [c for c in spec.get("containers") or () if isinstance(c, dict)]
    names = [str(c.get("name", "")) for c in apps]
    if len(apps) <= 1:
        return frozenset(names)
    main = [c for c in apps if not is_sidecar_image(str(c.get("image", "")))] or apps
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    for chosen in (
        [c for c in main if container_gpus(c, spec, {})],
        [c for c in main if is_inference_image(str(c.get("image", "")))],
        [c for c in main if c.get("name") in _SERVER_NAMES],
        [c for c in main if c.get("name") == annotations.get(_DEFAULT_CONTAINER)],
    ):
        if chosen:
            return frozenset(str(c.get("name", "")) for c in chosen)
    return frozenset({str(main[0].get("name", ""))})
