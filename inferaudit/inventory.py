"""What was found: the target as resolved, and the inventory of endpoints, runtimes, models, feature stores and gaps."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from inferaudit.engine_args import Engine, engine_of, serving_engines
from inferaudit.model import Finding, Outcome, Snapshot
from inferaudit.units import whole_number

_OBSERVABILITY_GROUPS = ("observability", "metrics")
_FORMATS = (  # what a model's name or path says of its format; the first that is found counts
    ("gguf", r"\.gguf\b|\bgguf\b"),
    ("onnx", r"\.onnx\b|\bonnx\b"),
    ("tensorrt engine", r"\.engine\b|\.plan\b"),
    ("safetensors", r"\.safetensors\b"),
    ("torch", r"\.mar\b|\.pt\b|\.pth\b"),
    ("tensorflow", r"saved_?model"),
)
_FEATURE_STORES = ("feast", "tecton", "hopsworks", "featureform", "chronon")


def _value(snapshot: Snapshot, name: str) -> Any:
    """A fact's value, or None: the inventory shows what is known and judges nothing."""
    fact = snapshot.facts.get(name)
    return fact.value if fact and fact.error is None else None


def target_section(snapshot: Snapshot) -> dict[str, Any]:
    """The report's ``target``: as given, with the runtime and the GPUs as found."""
    runtime = _value(snapshot, "endpoint.runtime")
    return {
        **{key: value or None for key, value in asdict(snapshot.target).items()},
        "runtime": None
        if runtime is None
        else {
            "name": runtime.name,
            "version": runtime.version,
            "confidence": runtime.confidence,
            "evidence": list(runtime.evidence),
        },
        "reach": _reach(snapshot),
        "gpus": _gpus(snapshot),
    }


def _reach(snapshot: Snapshot) -> dict[str, Any] | None:
    """How the endpoint was reached; None where it was not."""
    reach = _value(snapshot, "endpoint.reach")
    if reach is None:
        return None
    keys = ("how", "service", "service_port", "pod", "pod_port", "reconnects", "note")
    return {key: getattr(reach, key) for key in keys}


def _gpus(snapshot: Snapshot) -> list[dict[str, Any]]:
    """GPU products with their count and nodes: as NVML tells, else as the node labels of the serving pods do."""
    gpus = _value(snapshot, "nvml.gpus")
    products: dict[str, Counter[str]] = defaultdict(Counter)
    if gpus:
        for gpu in gpus:
            products[gpu.product or "unknown"][gpu.node] += 1
    else:
        serving = {((pod.get("spec") or {}).get("nodeName")) for pod in _value(snapshot, "workload.pods") or ()}
        for node in _value(snapshot, "cluster.nodes") or ():
            product = node.labels.get("nvidia.com/gpu.product")
            if product and node.name in serving:
                products[product][node.name] += whole_number(node.labels.get("nvidia.com/gpu.count", "")) or 1
    return [
        {"product": product, "count": sum(nodes.values()), "nodes": sorted(nodes)}
        for product, nodes in sorted(products.items())
    ]


def gpus_held(snapshot: Snapshot, target: Mapping[str, Any]) -> int | None:
    """How many GPUs the service holds: what its workload asks for, else what was seen; None when neither is known."""
    workload = _value(snapshot, "workload")
    if workload is not None and workload.gpus_per_pod and workload.replicas:
        return int(workload.gpus_per_pod * workload.pods_per_replica * workload.replicas)
    return sum(gpu["count"] for gpu in target["gpus"]) or None


def inventory_section(snapshot: Snapshot, findings: Sequence[Finding]) -> dict[str, Any]:
    """The report's ``inventory``; a null list was not looked at, an empty one was."""
    runtime = _value(snapshot, "endpoint.runtime")
    gaps = [
        {"check": f.check, "subject": f.subject, "message": f.message}
        for f in findings
        if f.outcome is Outcome.FAIL and f.group in _OBSERVABILITY_GROUPS
    ]
    looked = any(f.outcome in (Outcome.PASS, Outcome.FAIL) and f.group in _OBSERVABILITY_GROUPS for f in findings)
    return {
        "endpoints": [{"url": snapshot.target.url, "api": snapshot.target.api or None}]
        if snapshot.target.url
        else None,
        "runtimes": None if runtime is None else [{"name": runtime.name, "version": runtime.version}],
        "models": models_found(snapshot),
        "feature_stores": _feature_stores(snapshot),
        "monitoring_gaps": gaps if looked else None,
    }


def models_found(snapshot: Snapshot) -> list[dict[str, Any]] | None:
    """The models as the endpoint lists them, else as the containers name them; None where neither was seen."""
    containers, maps = _value(snapshot, "workload.containers"), _value(snapshot, "service.configmaps") or ()
    engines = [engine for _, engine in serving_engines(containers or (), maps)]
    listed = _value(snapshot, "endpoint.models")
    if listed is None:
        named = [(engine.value("model"), engine) for engine in engines]
        found = [_model(name, name, engine) for name, engine in named if name]
        return found if found or containers is not None else None
    one = engines[0] if len(engines) == 1 else None
    return [_model(m.id, m.root or m.id, one, m.facts) for m in listed]


def _model(id: str, source: str, engine: Engine | None, said: Mapping[str, Any] | None = None) -> dict[str, str | None]:
    """A model with what the server says of it, else the engine's settings, else its name; null = not stated."""
    told, said = engine.value if engine else _nothing, said or {}
    path = f"{source} {told('model') or ''}"
    guessed = next((name for name, pattern in _FORMATS if re.search(pattern, path, re.IGNORECASE)), None)
    stated = {
        "format": said.get("format") or guessed,
        "precision": said.get("dtype") or told("precision"),
        "quantisation": said.get("quantization") or said.get("quantization_level") or told("quantization"),
        "revision": said.get("revision") or told("revision"),
    }
    return {"id": id, **{key: str(value) if value else None for key, value in stated.items()}}


def _nothing(concept: str) -> None:
    """What an engine that is not known was told."""


def _feature_stores(snapshot: Snapshot) -> list[dict[str, Any]] | None:
    """Feature stores that a container's image, command or environment names; None where no container was seen."""
    containers = _value(snapshot, "workload.containers")
    if containers is None:
        return None
    maps = _value(snapshot, "service.configmaps") or ()
    found: dict[str, Any] = {}
    for container in containers:
        engine = engine_of(container, maps)
        text = " ".join((str(container.get("image") or ""), *engine.words, *engine.env)).lower()
        for name in _FEATURE_STORES:
            if re.search(rf"(?<![a-z]){name}(?![a-z])", text):
                found.setdefault(name, str(container.get("subject") or container.get("name")))
    return [{"name": name, "subject": subject} for name, subject in sorted(found.items())]
