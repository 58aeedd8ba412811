"""Facts about people and history: the policy as a fact, attestations as verified, stored runs."""

from __future__ import annotations

from typing import Any

import msgspec

from inferaudit.facts.spec import FactSpec
from inferaudit.model import Scope

REPORT = "process.report"  # computed from findings, so that checks of it are judged last


class AttestationFact(msgspec.Struct, frozen=True, kw_only=True):
    """An attestation with what could be verified of its evidence. Dates are ISO ``YYYY-MM-DD``.

    `verified` is None where nothing could be verified (a ticket number), with the reason in `detail`. `headings` are
    those of the document, None where none could be read; `lacks` names the sections that its checklist row asks for and
    no heading speaks of: the evaluator fills it in.
    """

    item: str
    evidence: str
    owner: str
    date: str
    expires: str | None = None
    verified: bool | None = None
    detail: str = ""
    headings: tuple[str, ...] | None = None
    lacks: tuple[str, ...] = ()


FACTS = (
    FactSpec("policy", Scope.PROCESS, dict[str, Any], "the effective policy: service, SLOs, governance", flag="-f"),
    FactSpec(
        "process.attestations",
        Scope.PROCESS,
        list[AttestationFact],
        "attestations and what could be verified of them",
        flag="-f",
    ),
    FactSpec(
        REPORT,
        Scope.PROCESS,
        dict[str, Any],
        "what the report computes from all other findings: scorecard, cost, decisions",
    ),
    FactSpec(
        "process.baseline", Scope.PROCESS, list[str], "fingerprints that failed in an earlier report", flag="--baseline"
    ),
)
