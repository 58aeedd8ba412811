from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.governance import PRIORITIES, ROLLBACK, entry, field, slug


@check(
    title="Each operational priority says when a change is rolled back",
    severity=Severity.LOW,
    needs=("policy",),
    remediation=(
        "Add the figure, for example `priorities: {queueing_spikes: {rollback_criterion: queue above 50 for "
        "2 minutes}}`."
    ),
    references=("https://sre.google/workbook/canarying-releases/",),
    tags=("layer:change",),
)
def rollback_criteria(snapshot: Snapshot) -> Iterator[Judgement]:
    """In an incident nobody wants to be the one who takes the release back.

    A criterion agreed beforehand decides for them, within minutes instead of after a meeting.
    """
    section = snapshot.fact("policy").get("priorities") or {}
    if not section:
        yield unknown(None, "the policy names no priorities; write them under priorities:")
        return
    for name in PRIORITIES:
        fields = entry(section, name)
        criterion = field(fields, ROLLBACK)
        seen = Evidence(f"policy priorities.{name}.rollback_criterion", criterion, "a criterion")
        if criterion is None:
            yield failed(f"priority/{slug(name)}", f"nothing says when a change is rolled back for {name}", seen)
        else:
            yield passed(f"priority/{slug(name)}", f"rolled back when: {criterion}", seen)
