from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.governance import OWNER, PLAYBOOK, RISKS, entry, missing, slug, words

_FIELDS = {"owner": OWNER, "playbook": PLAYBOOK}


@check(
    title="Known risks have an owner and a playbook",
    severity=Severity.LOW,
    needs=("policy",),
    remediation=(
        "Write each risk under `risks:`, for example `risks: {bad_batching: {owner: ann, playbook: "
        "docs/batching.md, last_review: 2026-01-31}}`."
    ),
    references=("https://sre.google/sre-book/managing-incidents/",),
    tags=("layer:change",),
)
def risks(snapshot: Snapshot) -> Iterator[Judgement]:
    """Bad batching, short quotas, memory fragmentation and misread capacity are how inference services fall over.

    Each is met again under pressure; what was written down beforehand is what gets done.
    """
    section = snapshot.fact("policy").get("risks") or {}
    if not section:
        yield unknown(None, "the policy names no risks; write them under risks:")
        return
    own = [name for name in section if words(name) not in {words(risk) for risk in RISKS}]
    for name in (*RISKS, *own):
        subject, fields = f"risk/{slug(name)}", entry(section, name)
        lacks = missing(fields, _FIELDS)
        seen = Evidence(f"policy risks.{name}", fields, "owner and playbook")
        if fields is None:
            yield failed(subject, f"{name} is not among the risks", seen)
        elif lacks:
            yield failed(subject, f"{name} has no {' and no '.join(lacks)}", seen)
        else:
            yield passed(subject, f"{name} has an owner and a playbook", seen)
