from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.governance import REVIEWED, age_days, field, slug


@check(
    title="Risks were reviewed lately",
    severity=Severity.LOW,
    needs=("policy",),
    remediation=(
        "Go through the risks before the release and set `last_review:` of each to that day, for example "
        "`last_review: 2026-01-31`."
    ),
    references=("https://sre.google/sre-book/managing-incidents/",),
    tags=("layer:change",),
)
def risk_review(snapshot: Snapshot, *, max_age_days: int = 90) -> Iterator[Judgement]:
    """A list of risks that nobody opens describes the service of last year.

    Load, model and cluster have changed since; the review is what ties the list to this release.
    """
    section = snapshot.fact("policy").get("risks") or {}
    if not section:
        yield unknown(None, "the policy names no risks; write them under risks:")
        return
    for name, fields in section.items():
        subject, date = f"risk/{slug(name)}", field(fields, REVIEWED)
        age = age_days(date, snapshot.collected_at)
        seen = Evidence(f"policy risks.{name}.last_review", date, f"within {max_age_days} days")
        if date is None:
            yield failed(subject, f"{name} was never reviewed", seen)
        elif age is None:
            yield failed(subject, f"the last review of {name} is not a date", seen)
        elif age < 0:
            yield failed(subject, f"the last review of {name} lies ahead", seen)
        elif age > max_age_days:
            yield failed(subject, f"{name} was reviewed {age} days ago", seen)
        else:
            yield passed(subject, f"{name} was reviewed {age} days ago", seen)
