from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.governance import STAGE_FIELDS, missing, slug


@check(
    title="Each stage has a contract",
    severity=Severity.LOW,
    needs=("policy",),
    remediation=(
        "Give each entry of `stages:` its inputs, outputs, thresholds, owner, failure, fallback, human and "
        "quality, for example `fallback: cached answer`."
    ),
    references=("https://sre.google/workbook/data-processing/",),
    tags=("layer:change",),
)
def stages(snapshot: Snapshot) -> Iterator[Judgement]:
    """Between two stages stands an assumption. Written down it is a contract; unwritten it is the next incident.

    Who owns a stage, what failure looks like there, and when a person steps in are settled before it fails.
    """
    section = snapshot.fact("policy").get("stages") or {}
    if not section:
        yield unknown(None, "the policy describes no stages; write them under stages:")
        return
    for name, fields in section.items():
        lacks = missing(fields, STAGE_FIELDS)
        seen = Evidence(f"policy stages.{name}", sorted(fields), ", ".join(STAGE_FIELDS))
        if lacks:
            yield failed(f"stage/{slug(name)}", f"the contract of {name} does not say: {', '.join(lacks)}", seen)
        else:
            yield passed(f"stage/{slug(name)}", f"the contract of {name} is complete", seen)
