"""What can be verified of the evidence that people give: does the file exist, and is it something.

Links are not followed: the audit sends nothing to addresses that the policy merely mentions.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from inferaudit.facts.process import AttestationFact
from inferaudit.model import Fact
from inferaudit.policy import AttestationSection


def collect_attestations(attestations: Iterable[AttestationSection], base: Path) -> dict[str, Fact]:
    """The fact ``process.attestations``; files are looked up beside the policy, in `base`."""
    return {"process.attestations": Fact([_verify(attestation, base) for attestation in attestations])}


def _verify(attestation: AttestationSection, base: Path) -> AttestationFact:
    evidence = attestation.evidence
    verified: bool | None = None
    if evidence.startswith(("http://", "https://")):
        detail = "a link; not followed"
    elif "/" in evidence or evidence.endswith((".md", ".pdf", ".txt", ".html", ".yaml", ".json")):
        path = base / evidence
        try:
            verified = path.stat().st_size > 0
            detail = "the file exists" if verified else "the file is empty"
        except OSError:
            verified, detail = False, "no such file"
    else:
        detail = "a reference that no tool can verify"
    return AttestationFact(
        item=attestation.item,
        evidence=evidence,
        owner=attestation.owner,
        date=attestation.date,
        expires=attestation.expires,
        verified=verified,
        detail=detail,
    )
