"""The checks that judge what a report computes from all other findings: scorecard, decisions, cost. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from inferaudit.catalog import Catalog
from inferaudit.evaluate import Selection, evaluate, finding_order
from inferaudit.facts.process import REPORT
from inferaudit.model import Fact, Finding, Snapshot
from inferaudit.policy import Policy


def findings_of_report(
    catalog: Catalog,
    snapshot: Snapshot,
    policy: Policy,
    selection: Selection | None,
    findings: Sequence[Finding],
    computed: Mapping[str, Any],
) -> tuple[Finding, ...]:
    """`findings` with those of the checks that judge what the report computed from them, in one order."""
    selection = selection or Selection(policy.select, policy.skip)
    asked = catalog.select(selection.select, selection.skip)
    ids = tuple(check.id for check in asked if REPORT in check.needs)
    if not ids:
        return tuple(findings)
    whole = replace(snapshot, facts={**snapshot.facts, REPORT: Fact(computed)})
    more = [f for f in evaluate(catalog, whole, policy, Selection(ids)) if f.check in ids]
    return tuple(sorted((*findings, *more), key=finding_order))
