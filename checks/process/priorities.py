from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.governance import OWNER, PRIORITIES, TEST, entry, missing, slug

_FIELDS = {"owner": OWNER, "test": TEST}


@check(
    title="The four operational priorities have an owner and a light test",
    severity=Severity.LOW,
    needs=("policy",),
    remediation=(
        "Write all four under `priorities:`, for example `priorities: {cold_starts: {owner: team-serving, "
        "test: restart one replica}}`."
    ),
    references=("https://sre.google/sre-book/managing-load/",),
    tags=("layer:change",),
)
def priorities(snapshot: Snapshot) -> Iterator[Judgement]:
    """Queueing spikes, idle GPUs, cold starts and throughput collapse come back with every release.

    What nobody owns and nothing tests is found again by the users.
    """
    section = snapshot.fact("policy").get("priorities") or {}
    if not section:
        yield unknown(None, "the policy names no priorities; write them under priorities:")
        return
    for name in PRIORITIES:
        subject, fields = f"priority/{slug(name)}", entry(section, name)
        lacks = missing(fields, _FIELDS)
        seen = Evidence(f"policy priorities.{name}", fields, "owner and test")
        if fields is None:
            yield failed(subject, f"{name} is nobody's priority", seen)
        elif lacks:
            yield failed(subject, f"{name} has no {' and no '.join(lacks)}", seen)
        else:
            yield passed(subject, f"{name} is owned and tested", seen)
