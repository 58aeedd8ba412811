"""From findings to the verdict, and why: what a GO covers, what blocks, what was not seen."""

from __future__ import annotations

from collections.abc import Sequence

from inferaudit.model import Finding, Outcome, Scope, Verdict
from inferaudit.policy import Policy

_WORDS = (Scope.CLUSTER, Scope.GPU, Scope.ENDPOINT, Scope.LOAD, Scope.METRICS)


def scope_sentence(scope: Sequence[Scope]) -> str:
    """What the verdict covers and what it does not: the first sentence of every output."""
    covered = [word for word in scope if word is not Scope.PROCESS]
    spoken = [*(w for w in _WORDS if w in covered), *(w for w in covered if w not in _WORDS)]
    manifests = Scope.MANIFESTS in covered and Scope.CLUSTER not in covered
    missing = [w for w in _WORDS if w not in covered]
    left = ", ".join("cluster (live)" if manifests and w is Scope.CLUSTER else w for w in missing)
    rest = f"it does not cover {left}" if left else "no part is left out"
    return f"This verdict covers {', '.join(spoken) or Scope.PROCESS}; {rest}."


def decide(findings: Sequence[Finding]) -> Verdict:
    """A gating failure → NO_GO; else a gating unknown or review → INCOMPLETE; else GO."""
    gating = {f.outcome for f in findings if f.gates}
    if Outcome.FAIL in gating:
        return Verdict.NO_GO
    return Verdict.INCOMPLETE if gating else Verdict.GO


def reasons(
    findings: Sequence[Finding], verdict: Verdict, policy: Policy, required_rows: Sequence[str] = ()
) -> list[str]:
    """The scope sentence, then one line for everything that gates, worst first."""
    lines = [scope_sentence(policy.scope)]
    for finding in findings:
        if finding.gates:
            subject = f"{finding.subject}: " if finding.subject else ""
            lines.append(f"{finding.outcome} ({finding.severity}) {finding.check}: {subject}{finding.message}")
    lines += [
        f"review checklist row {row} has no valid attestation, and the policy requires them" for row in required_rows
    ]
    if verdict is Verdict.GO:
        lines.append(f"Nothing at {policy.gate.fail_on} or above failed, was unknown or awaits review.")
    return lines
