from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.governance import COMPONENTS, OWNER, VERSION, entry, missing, slug

_FIELDS = {"version": VERSION, "owner": OWNER}


@check(
    title="Runtime, autoscaling, batching and capacity are versioned and owned",
    severity=Severity.LOW,
    needs=("policy",),
    remediation=(
        "Write all four under `components:`, for example `components: {runtime: {version: vllm 0.11.0, "
        "owner: team-serving}}`."
    ),
    references=("https://sre.google/sre-book/release-engineering/",),
    tags=("layer:change",),
)
def components(snapshot: Snapshot) -> Iterator[Judgement]:
    """The four parts are interfaces: when one changes without a version or an owner, nobody can say what broke.

    Latency that moved overnight is then searched for in the model, where it is not.
    """
    section = snapshot.fact("policy").get("components") or {}
    if not section:
        yield unknown(None, "the policy names no components; write them under components:")
        return
    for name in COMPONENTS:
        subject, fields = f"component/{slug(name)}", entry(section, name)
        lacks = missing(fields, _FIELDS)
        seen = Evidence(f"policy components.{name}", fields, "version and owner")
        if fields is None:
            yield failed(subject, f"{name} is not recorded", seen)
        elif lacks:
            yield failed(subject, f"{name} has no {' and no '.join(lacks)}", seen)
        else:
            yield passed(subject, f"{name} is pinned and owned", seen)
