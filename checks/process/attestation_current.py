from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.governance import age_days


@check(
    title="Attestations are in force",
    severity=Severity.MEDIUM,
    needs=("process.attestations",),
    remediation=(
        "Look at the evidence again and give the attestation a new `date:` and `expires:`, or remove it from "
        "the policy."
    ),
    references=("https://sre.google/sre-book/launch-checklist/",),
    tags=("layer:change",),
)
def attestation_current(snapshot: Snapshot) -> Iterator[Judgement]:
    """An attestation is a person's word for a time. Past its date it settles no checklist row any more.

    One that is dated ahead, or that ends before it begins, was never in force.
    """
    today = snapshot.collected_at[:10]
    for a in dict.fromkeys(snapshot.fact("process.attestations")):
        subject, key = f"attestation/{a.item}", f"{a.owner}|{a.evidence}|{a.date}|{a.expires}"
        seen = Evidence("attestations.expires", a.expires, f">= {today}")
        left = None if a.expires is None else age_days(a.expires, today)
        if a.date > today:
            dated = Evidence("attestations.date", a.date, f"<= {today}")
            yield failed(subject, f"the attestation of {a.owner} is dated ahead", dated, key=key)
        elif a.expires is not None and a.expires < a.date:
            yield failed(subject, f"the attestation of {a.owner} ends before it begins", seen, key=key)
        elif left is not None and left > 0:
            text = f"the attestation of {a.owner} expired {left} day{'s' * (left != 1)} ago"
            yield failed(subject, text, seen, key=key)
        else:
            yield passed(subject, f"the attestation of {a.owner} is in force", seen, key=key)
