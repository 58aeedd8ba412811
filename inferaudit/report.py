"""The report: every section of ``inferaudit.report/v1`` from snapshot, policy, catalogue and findings. Pure.

Every key is always there; null = not measured. `render` gets exactly this document, whether it comes from the run or
from a file, so both give the same bytes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import msgspec

from inferaudit import snapshot as snapshots
from inferaudit.advice import advice_section
from inferaudit.catalog import Catalog
from inferaudit.checklist_rows import checklist_section, unattested
from inferaudit.cost import cost_section
from inferaudit.decisions import decisions_section, governance_section
from inferaudit.evaluate import Selection, evaluate
from inferaudit.inventory import gpus_held, inventory_section, models_found, target_section
from inferaudit.model import UNREAD, Fact, Finding, Outcome, Report, Snapshot, Verdict
from inferaudit.policy import Policy
from inferaudit.report_file import SCHEMA
from inferaudit.report_findings import findings_of_report
from inferaudit.scorecard import scorecard_section
from inferaudit.sla import benchmark_of
from inferaudit.sla_table import sla_section
from inferaudit.trend import Run, run_of, trends_section
from inferaudit.verdict import decide, reasons


def audit_report(catalog: Catalog, snapshot: Snapshot, policy: Policy, selection: Selection | None = None) -> Report:
    """Judge the snapshot and build its report; the same arguments give the same document on any machine and day."""
    benchmark = benchmark_of(snapshot, policy)
    target = target_section(snapshot)
    cost = _cost(snapshot, policy, target, benchmark)
    seen = _with_this_run(snapshot, policy, target, benchmark, cost)
    first = evaluate(catalog, seen, policy, selection)
    checklists = checklist_section(catalog.checklists.values(), first, snapshot)
    inventory = inventory_section(snapshot, first)
    sla = sla_section(snapshot, policy, first)
    models = None if inventory["models"] is None else len(inventory["models"])
    decisions = decisions_section(policy, benchmark, cost, sla)
    computed = {
        "scorecard": scorecard_section(first, catalog, checklists, models=models),
        "cost": cost,
        "decisions": decisions,
    }
    findings = findings_of_report(catalog, seen, policy, selection, first, computed)
    verdict = decide(findings)
    checklists = checklist_section(catalog.checklists.values(), findings, snapshot)
    required = unattested(checklists, policy.phase) if policy.gate.attestations == "required" else ()
    if required and verdict is Verdict.GO:
        verdict = Verdict.INCOMPLETE
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "verdict": verdict.value,
        "reasons": reasons(findings, verdict, policy, required),
        "scope": [word.value for word in policy.scope],
        "phase": policy.phase.value,
        "fail_on": policy.gate.fail_on.value,
        "interrupted": snapshot.interrupted,
        "collected_at": snapshot.collected_at,
        "duration_s": snapshot.duration_s,
        "tool_version": snapshot.tool_version,
        "service": policy.service.model_dump(mode="json"),
        "policy": policy.model_dump(mode="json", exclude_defaults=True),
        "digests": {
            "snapshot": snapshots.digest(snapshot),
            "policy": _digest(policy.model_dump(mode="json")),
            "catalog": catalog.digest,
        },
        "target": target,
        "coverage": _coverage(findings, snapshot, catalog),
        "summary": _summary(findings),
        "findings": [_finding(f, snapshot) for f in findings],
        "checklists": checklists,
        "sla": sla,
        "benchmark": benchmark,
        "scorecard": scorecard_section(first, catalog, checklists, models=models),
        "cost": cost,
        "inventory": inventory,
        "advice": advice_section(snapshot, policy, target, benchmark),
        "decisions": decisions,
        "governance": governance_section(policy, snapshot.collected_at),
    }
    return Report({**data, "trends": trends_section(_history(snapshot), run_of(data))})


def _cost(
    snapshot: Snapshot, policy: Policy, target: Mapping[str, Any], benchmark: Mapping[str, Any] | None
) -> dict[str, Any]:
    models = [target["model"]] if target["model"] else [model["id"] for model in models_found(snapshot) or ()]
    return cost_section(
        cost=policy.cost,
        gpus=policy.cost.gpus or gpus_held(snapshot, target),
        products=[gpu["product"] for gpu in target["gpus"]],
        models=models,
        benchmark=benchmark,
        collected_at=snapshot.collected_at,
        interruption_tolerant=policy.service.interruption_tolerant,
    )


def _history(snapshot: Snapshot) -> list[Run] | None:
    fact = snapshot.facts.get("process.history")
    return fact.value if fact and fact.error is None else None


def _with_this_run(
    snapshot: Snapshot, policy: Policy, target: Mapping[str, Any], benchmark: Any, cost: Mapping[str, Any]
) -> Snapshot:
    """The snapshot whose history ends with this run: a trend is told by the run that completes it, not by the next."""
    earlier = _history(snapshot)
    if earlier is None:
        return snapshot
    service = policy.service.model_dump(mode="json")
    known = {"collected_at": snapshot.collected_at, "target": target, "service": service}
    this = run_of({**known, "benchmark": benchmark, "cost": cost})
    return replace(snapshot, facts={**snapshot.facts, "process.history": Fact([*earlier, this])})


def _digest(value: Any) -> str:
    return f"sha256:{hashlib.sha256(msgspec.json.encode(value, order='deterministic')).hexdigest()}"


def _summary(findings: Sequence[Finding]) -> dict[str, int]:
    """Counts by outcome; what another finding explains is not counted, what is waived counts as waived alone."""
    own = [f for f in findings if f.cause is None]
    counts = Counter(f.outcome for f in own if f.waiver is None)
    return {**{o.value: counts[o] for o in Outcome}, "waived": sum(f.waiver is not None for f in own)}


def _coverage(findings: Sequence[Finding], snapshot: Snapshot, catalog: Catalog) -> dict[str, Any]:
    """How many checks could tell, how many could not, and every missing read that stood in their way."""
    told = {f.check for f in findings if f.outcome in (Outcome.PASS, Outcome.FAIL)}
    blind = {f.check for f in findings if f.outcome is Outcome.UNKNOWN}
    wanted = {n for c in blind if c in catalog.checks for n in (*catalog.checks[c].needs, *catalog.checks[c].optional)}
    unread: dict[str, dict[str, Any]] = {}
    for name, fact in sorted(snapshot.facts.items()):
        if fact.error is None or (fact.error.kind not in UNREAD and name not in wanted):
            continue
        entry = unread.setdefault(fact.error.key, {**asdict(fact.error), "kind": fact.error.kind.value, "facts": []})
        entry["facts"].append(name)
        if fact.error.reason not in entry["reason"]:
            entry["reason"] += f"; {fact.error.reason}"
    hard = {kind.value for kind in UNREAD}
    return {
        "examined": len(told),
        "unknown": len(blind),
        "denied": [entry for entry in unread.values() if entry["kind"] in hard],
        "not_given": [entry for entry in unread.values() if entry["kind"] not in hard],
    }


def _finding(finding: Finding, snapshot: Snapshot) -> dict[str, Any]:
    data = asdict(finding)
    data["evidence"] = [
        {"path": e.path, "observed": _ordered(e.observed), "expected": _ordered(e.expected)} for e in finding.evidence
    ]
    data["references"] = list(finding.references)
    data["location"] = finding.location or _location(finding.subject, snapshot)
    return data


def _ordered(value: Any) -> Any:
    """Plain JSON data with sorted keys: what CEL returns comes in no order."""
    return msgspec.to_builtins(value, order="deterministic")


def _location(subject: str | None, snapshot: Snapshot) -> str | None:
    """``file:line`` of the object a finding is about, where it came from a file; a container's is its workload's."""
    fact = snapshot.facts.get("manifests.locations")
    locations: Mapping[str, str] = fact.value if fact and fact.error is None else {}
    while subject:
        if subject in locations:
            return locations[subject]
        subject = subject.rpartition("/")[0]
    return None
