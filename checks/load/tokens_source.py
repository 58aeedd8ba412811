from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.benchmark import judged_stage
from inferaudit.load_readings import answered
from inferaudit.load_stages import endpoint_subject
from inferaudit.records import ABSENT


@check(
    title="Token counts are the server's own",
    severity=Severity.LOW,
    needs=("load.result", "load.records"),
    remediation="Let the server state usage in streams (`stream_options: {include_usage: true}` must be honoured): "
    "counted events are not tokens, and cost, quotas and TPOT build on the count.",
    references=("https://platform.openai.com/docs/api-reference/chat/create",),
    tags=("layer:outcome",),
)
def tokens_source(snapshot: Snapshot) -> Iterator[Judgement]:
    """An event may carry several tokens or half a character; only the server knows how many tokens it made.

    Where it does not say, tokens/s and TPOT of this report rest on counted events and may be wrong by a multiple.
    """
    result, records = snapshot.fact("load.result"), snapshot.fact("load.records")
    stage, subject = judged_stage(result), endpoint_subject(result)
    rows = answered(records, stage) if stage else []
    if not rows:
        yield unknown(subject, "no answer of a stage that stands for the whole", Evidence("load.records", 0, "answers"))
        return
    counted = [i for i in rows if records.columns["output_tokens"][i] != ABSENT]
    if not counted:
        yield not_applicable(None, "the answers have no output tokens")
        return
    stated = sum(records.columns["stated"][i] == 1 for i in counted)
    seen = Evidence("load.records.stated", f"{stated} of {len(counted)}", "all")
    if stated == len(counted):
        yield passed(subject, f"the server stated the tokens of all {stated} answers", seen)
    else:
        yield failed(
            subject, f"the tokens of {len(counted) - stated} of {len(counted)} answers were counted from events", seen
        )
