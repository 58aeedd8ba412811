"""The scorecard: four layers, scored 0 to 1 by their findings, and the service scored by its worst layer.

Min and not mean, as the ML Test Score does (Breck et al., 2017): a strong layer does not make up for a weak one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inferaudit.catalog import Catalog
from inferaudit.model import Finding, Outcome, Severity

LAYERS: Mapping[str, str] = {
    "outcome": "User outcome quality",
    "reliability": "System reliability",
    "economics": "Economic efficiency",
    "change": "Change management",
}

# Where a check says nothing itself (a tag such as ``layer:economics``), its group decides.
_GROUP_LAYERS: Mapping[str, str] = {
    "sla": "outcome",
    "load": "outcome",
    "endpoint": "outcome",
    "golden": "outcome",
    "cost": "economics",
    "capacity": "economics",
    "rollout": "change",
    "process": "change",
}
_WEIGHTS = {Severity.CRITICAL: 8, Severity.HIGH: 4, Severity.MEDIUM: 2, Severity.LOW: 1}


def layer_of(check_id: str, group: str, tags: Sequence[str]) -> str:
    """The layer a check counts in: its ``layer:`` tag, else its group's, else reliability."""
    tagged = next((t.removeprefix("layer:") for t in tags if t.startswith("layer:")), None)
    return tagged or _GROUP_LAYERS.get(group, "reliability")


def scorecard_section(findings: Sequence[Finding], catalog: Catalog) -> dict[str, Any]:
    """Each layer's share of passes, weighted by severity, over what could be told; null where nothing could.

    `score` is the worst layer's, and null while any layer is unmeasured: no average hides an empty layer.
    """
    layers: dict[str, Any] = {}
    for layer, title in LAYERS.items():
        told = [
            f
            for f in findings
            if f.check in catalog.checks
            and layer_of(f.check, f.group, catalog.checks[f.check].tags) == layer
            and f.outcome in (Outcome.PASS, Outcome.FAIL, Outcome.UNKNOWN)
            and f.due
        ]
        total = sum(_WEIGHTS[f.severity] for f in told)
        passed = sum(_WEIGHTS[f.severity] for f in told if f.outcome is Outcome.PASS)
        seen = any(f.outcome is not Outcome.UNKNOWN for f in told)
        counts = {o.value: sum(f.outcome is o for f in told) for o in (Outcome.PASS, Outcome.FAIL, Outcome.UNKNOWN)}
        layers[layer] = {"title": title, "score": passed / total if total and seen else None, **counts}
    scores = [layer["score"] for layer in layers.values()]
    known = [s for s in scores if s is not None]
    return {
        "layers": layers,
        "score": min(known) if len(known) == len(scores) else None,
        "maturity": None,
        "missing": [name for name, layer in layers.items() if layer["score"] is None],
        "formula": "layer = Σ weight of passes ÷ Σ weight of passes, failures and unknowns; score = the worst layer",
    }
