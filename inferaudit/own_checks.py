"""The audit's findings about itself: what it could not read, what nobody examined, void waivers and attestations.

They have no file under ``checks/``, since they judge findings and not facts; :mod:`inferaudit.evaluate` makes them.
"""

from __future__ import annotations

from inferaudit.model import Check, Severity


def _own_check(check_id: str, title: str, severity: Severity, rationale: str, remediation: str) -> Check:
    return Check(
        id=check_id,
        title=title,
        group="audit",
        severity=severity,
        needs=(),
        rationale=rationale,
        remediation=remediation,
        judge=lambda _: (),
        origin="inferaudit/own_checks.py",
    )


COLLECTION = _own_check(
    "audit-collection",
    "Everything the checks need could be read",
    Severity.CRITICAL,
    "A read that was denied or failed hides whatever it would have shown; a verdict without it would be a guess.",
    "Give the audit what the finding names: a target, a permission (`inferaudit generate rbac` prints them), or a part "
    "that answers; then run again.",
)
SCOPE = _own_check(
    "audit-scope",
    "Every part in scope was examined",
    Severity.CRITICAL,
    "An audit is of the whole service unless it is narrowed on purpose; a part nobody looked at is not a good part.",
    "Give the target that the finding names, or narrow the audit on purpose with --scope.",
)
WAIVER = _own_check(
    "audit-waiver",
    "Waivers are current and used",
    Severity.MEDIUM,
    "A waiver is a debt with a date. One that has expired covers nothing any more; one that matches nothing hides the "
    "next fault.",
    "Renew the waiver with a new date and reason, or remove it from the policy.",
)
ATTESTATION = _own_check(
    "audit-attestation",
    "Attestations are needed, and agree with what was seen",
    Severity.MEDIUM,
    "A person's word that a check contradicts is wrong, or was true of an earlier version; one that settles nothing is "
    "never looked at again, and ages unseen.",
    "Mend what the check saw and attest it anew, or remove the attestation.",
)
OWN_CHECKS = (COLLECTION, SCOPE, WAIVER, ATTESTATION)
