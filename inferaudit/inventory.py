"""What was found: the target as resolved, and the inventory of endpoints, runtimes, models and monitoring gaps."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from inferaudit.model import Finding, Outcome, Snapshot

_OBSERVABILITY_GROUPS = ("observability", "metrics")


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
        "gpus": _gpus(snapshot),
    }


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
                products[product][node.name] += int(node.labels.get("nvidia.com/gpu.count") or 1)
    return [
        {"product": product, "count": sum(nodes.values()), "nodes": sorted(nodes)}
        for product, nodes in sorted(products.items())
    ]


def inventory_section(snapshot: Snapshot, findings: Sequence[Finding]) -> dict[str, Any]:
    """The report's ``inventory``; a null list was not looked at, an empty one was."""
    runtime = _value(snapshot, "endpoint.runtime")
    models = _value(snapshot, "endpoint.models")
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
        "models": None if models is None else [{"id": model.id} for model in models],
        "feature_stores": None,
        "monitoring_gaps": gaps if looked else None,
    }
