from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.governance import age_days


@check(
    title="Attestations are recent",
    severity=Severity.LOW,
    needs=("process.attestations",),
    remediation=(
        "Look at the evidence again and set the attestation's `date:` to that day, with an `expires:` that suits it."
    ),
    references=("https://sre.google/sre-book/launch-checklist/",),
    tags=("layer:change",),
)
def attestation_stale(snapshot: Snapshot, *, max_age_days: int = 180) -> Iterator[Judgement]:
    """A rollback rehearsed two years ago was rehearsed with another model, another image and another team.

    Where an attestation names its own end, that end decides and not its age.
    """
    for a in dict.fromkeys(snapshot.fact("process.attestations")):
        if a.expires is not None:
            continue
        age = age_days(a.date, snapshot.collected_at)
        if age is not None and age < 0:
            continue  # dated ahead: how old it is cannot be said, and process-attestation-current says that it is
        seen = Evidence("attestations.date", a.date, f"within {max_age_days} days")
        subject, key = f"attestation/{a.item}", f"{a.owner}|{a.evidence}|{a.date}|{a.expires}"
        if age is None or age > max_age_days:
            yield failed(subject, f"the attestation of {a.owner} is from {a.date}", seen, key=key)
        else:
            yield passed(subject, f"the attestation of {a.owner} is {age} days old", seen, key=key)
