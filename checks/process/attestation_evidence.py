from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed


@check(
    title="The evidence of attestations is there",
    severity=Severity.MEDIUM,
    needs=("process.attestations",),
    remediation=(
        "Put the document where `evidence:` says, relative to the policy, or point `evidence:` to where it is; and "
        "give it a heading for each section that the finding misses."
    ),
    references=("https://sre.google/sre-book/launch-checklist/",),
    tags=("layer:change",),
)
def attestation_evidence(snapshot: Snapshot) -> Iterator[Judgement]:
    """An attestation is as good as what it points to; a file that is gone or empty shows nothing.

    A document that lacks a section which its checklist row asks for does not show what it should. A ticket number or a
    link that is not followed is left to a person, and is no finding.
    """
    for a in dict.fromkeys(snapshot.fact("process.attestations")):
        subject, key = f"attestation/{a.item}", f"{a.owner}|{a.evidence}|{a.date}|{a.expires}"
        seen = Evidence("attestations.evidence", a.evidence, "something that shows it")
        detail = a.detail or "not verified"
        if a.lacks:
            wanted = Evidence("headings", list(a.headings or ()), list(a.lacks))
            text = f"{a.evidence} has no section on {', '.join(a.lacks)}"
            yield failed(subject, text, seen, wanted, key=key)
        elif a.verified is None:
            yield not_applicable(subject, f"{a.evidence}: {detail}; a person must look", seen, key=key)
        elif a.verified:
            yield passed(subject, f"{a.evidence}: {detail}", seen, key=key)
        else:
            yield failed(subject, f"{a.evidence}: {detail}", seen, key=key)
