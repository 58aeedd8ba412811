from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.governance import DUE, OWNER, WORK, age_days, entry, field, slug


@check(
    title="Optimisation, pipeline and testing have an owner and a date",
    severity=Severity.LOW,
    needs=("policy",),
    remediation=(
        "Write the three under `priorities:`, for example `priorities: {testing: {owner: ann, due: 2026-01-31}}`."
    ),
    references=("https://sre.google/sre-book/launch-checklist/",),
    tags=("layer:change",),
)
def owners(snapshot: Snapshot) -> Iterator[Judgement]:
    """Work that belongs to everybody is done by nobody, and work without a date is done after the launch.

    A date that has passed is either done, and then it says so (`done: true`), or late.
    """
    section = snapshot.fact("policy").get("priorities") or {}
    known = {name: entry(section, name) for name in WORK}
    if not any(known.values()):
        yield unknown(None, f"the policy names no owner and date of {', '.join(WORK)}; write them under priorities:")
        return
    for name, fields in known.items():
        subject, owner, due = f"priority/{slug(name)}", field(fields, OWNER), field(fields, DUE)
        age, done = age_days(due, snapshot.collected_at), field(fields, ("done",)) is True
        seen = Evidence(
            f"policy priorities.{name}", {"owner": owner, "due": due}, "an owner, and a date that is not past"
        )
        if owner is None or due is None:
            lacks = " and no ".join(word for word, value in (("owner", owner), ("date", due)) if value is None)
            yield failed(subject, f"{name} has no {lacks}", seen)
        elif age is None:
            yield failed(subject, f"the date of {name} is not a date", seen)
        elif age > 0 and not done:
            yield failed(subject, f"{name} was due {age} days ago", seen)
        else:
            yield passed(subject, f"{name} belongs to {owner}", seen)
