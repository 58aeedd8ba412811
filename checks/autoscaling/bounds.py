from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.engine_args import serving_engines
from inferaudit.kube.quantity import gpu_quantities
from inferaudit.kube.types import Workload
from inferaudit.placement import placeable, ready, usable_nodes
from inferaudit.subjects import object_subject

_KNATIVE = "autoscaling.knative.dev/"
_CLASS = "serving.kserve.io/autoscalerClass"


@dataclass(frozen=True)
class _Told:
    """What is told of scaling: by whom, the predictor's fields, Knative's annotations less their prefix."""

    subject: str
    predictor: Mapping[str, Any]
    knative: Mapping[str, str]
    kserve: bool


@check(
    title="KServe's and Knative's bounds of scaling make sense",
    severity=Severity.MEDIUM,
    needs=("workload", "workload.containers"),
    optional=("service.rollouts", "service.configmaps", "cluster.nodes"),
    remediation=(
        "Set `minReplicas` and `maxReplicas` of the predictor to what the GPUs allow, leave `containerConcurrency` "
        "above what the engine batches, and `scaleTarget` below it."
    ),
    references=(
        "https://kserve.github.io/website/docs/model-serving/predictive-inference/autoscaling/knative-autoscaler",
        "https://knative.dev/docs/serving/autoscaling/concurrency/",
        "https://knative.dev/docs/serving/autoscaling/scale-bounds/",
    ),
)
def bounds(snapshot: Snapshot) -> Iterator[Judgement]:
    """Knative scales on requests in flight, and without a maximum as far as they go: into pods that wait for GPUs.

    Where one request at a time is let in, an engine that batches has nothing to batch: each further user takes a GPU. A
    target above that limit is never reached.
    """
    workload = snapshot.fact("workload")
    kserve = _inference_service(snapshot, workload)
    notes = {**_notes(workload.object), **_notes(workload.template), **_notes(kserve or {})}
    knative = {name.removeprefix(_KNATIVE): value for name, value in notes.items() if name.startswith(_KNATIVE)}
    if kserve is None and not knative:
        snapshot.require_read("service.rollouts")
        none = Evidence("kind, metadata.annotations", workload.kind, f"an InferenceService, or {_KNATIVE}*")
        yield not_applicable(workload.subject, "neither KServe nor Knative scales it", none)
        return
    told = _Told(
        object_subject(kserve) if kserve else workload.subject,
        ((kserve or {}).get("spec") or {}).get("predictor") or {},
        knative,
        kserve is not None,
    )
    if notes.get(_CLASS) not in ("none", "external"):
        yield _size(snapshot, workload, told)
    yield from _load(snapshot, workload, told)


def _inference_service(snapshot: Snapshot, workload: Workload) -> Mapping[str, Any] | None:
    """The InferenceService that is the workload, or that made it."""
    if workload.kind == "InferenceService":
        return workload.object
    above = snapshot.fact_or("service.rollouts", ())
    return next((obj for obj in above if obj.get("kind") == "InferenceService"), None)


def _size(snapshot: Snapshot, workload: Workload, told: _Told) -> Judgement:
    predictor, knative = told.predictor, told.knative
    least = _number(predictor.get("minReplicas"), knative.get("min-scale"), knative.get("minScale"))
    most = _number(predictor.get("maxReplicas"), knative.get("max-scale"), knative.get("maxScale"))
    least = 1 if least is None and told.kserve else least or 0
    seen = Evidence("minReplicas, maxReplicas", [least, most], "a minimum, and a maximum that there are GPUs for")
    if not most:
        text = "states no maximum: Knative then adds pods without end, and KServe's Standard mode none"
        return failed(told.subject, text, seen, key="size")
    if most < least:
        return failed(told.subject, f"its minimum of {least} is above its maximum of {most}", seen, key="size")
    if not workload.gpus_per_pod:
        return passed(told.subject, f"between {least} and {most} replicas", seen, key="size")
    snapshot.require_read("cluster.nodes")
    if snapshot.error("cluster.nodes") is not None:
        text = f"between {least} and {most} replicas; the GPUs for them are not in view"
        return unknown(told.subject, text, seen, key="size")
    nodes = [node for node in usable_nodes(workload, snapshot.fact("cluster.nodes")) if ready(node)]
    room = {n.name: sum(gpu_quantities(n.allocatable).get(r, 0) for r in workload.gpu_resources) for n in nodes}
    fits = placeable(room, workload.gpus_per_pod)
    have = Evidence("GPUs of the nodes", room, f"{most} × {workload.gpus_per_pod}")
    if fits < least:
        return failed(told.subject, f"{fits} pods fit the nodes and {least} are its minimum", have, key="size")
    if fits < most:
        text = f"{most} replicas are its maximum and {fits} pods fit the nodes"
        return failed(told.subject, text, have, key="size")
    return passed(told.subject, f"between {least} and {most} replicas, for which there are GPUs", have, key="size")


def _load(snapshot: Snapshot, workload: Workload, told: _Told) -> Iterator[Judgement]:
    predictor, knative = told.predictor, told.knative
    at_once = _number(predictor.get("containerConcurrency"))
    target = _number(predictor.get("scaleTarget"), knative.get("target"))
    metric = str(predictor.get("scaleMetric") or knative.get("metric") or "concurrency")
    maps = snapshot.fact_or("service.configmaps", ())
    engines = [engine for _, engine in serving_engines(snapshot.fact("workload.containers"), maps) if engine.known]
    batching = next((e.title for e in engines if e.profile.batching in ("continuous", "dynamic")), None)
    limits = {"containerConcurrency": at_once, "target": target, "metric": metric}
    seen = Evidence("containerConcurrency, scaleTarget, scaleMetric", limits, "a target below the limit, on requests")
    if at_once == 1 and batching:
        text = f"lets one request into a pod at a time: {batching} has nothing to batch"
        yield failed(told.subject, text, seen, key="load")
    elif metric in ("cpu", "memory") and workload.uses_gpu:
        yield failed(told.subject, f"scales a GPU workload on {metric}", seen, key="load")
    elif at_once and target and metric == "concurrency" and target > at_once:
        text = f"its target of {target} requests a pod is above the {at_once} that are let in: it has no effect"
        yield failed(told.subject, text, seen, key="load")
    else:
        said = f"at a target of {target}" if target else "at the cluster's default target"
        yield passed(told.subject, f"scales on {metric} {said}", seen, key="load")


def _notes(obj: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in ((obj.get("metadata") or {}).get("annotations") or {}).items()}


def _number(*given: Any) -> int | None:
    """The first that is a whole number, as a field or as the text of an annotation."""
    for each in given:
        if isinstance(each, int) and not isinstance(each, bool):
            return each
        if isinstance(each, str) and each.strip().isdigit():
            return int(each)
    return None
