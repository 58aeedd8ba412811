from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.benchmark import judged_stage
from inferaudit.load_readings import server_of, stage_rows
from inferaudit.load_stages import endpoint_subject
from inferaudit.records import ABSENT


@check(
    title="The server's token counters agree with what the answers state",
    severity=Severity.MEDIUM,
    needs=("load.result", "load.records"),
    remediation="Trust neither for a bill before the difference is explained: speculative tokens, answers with n > 1, "
    "cached prompts, and gateways that rewrite usage are the usual causes.",
    references=("https://docs.vllm.ai/en/latest/design/metrics/",),
)
def tokens_agree(snapshot: Snapshot, *, max_gap: float = 0.01) -> Iterator[Judgement]:
    """Cost, capacity and chargeback are computed from token counters; callers count by the usage in their answers.

    A difference is a fault only where the server's own count of requests is ours: one foreign request has tokens too.
    """
    result, records = snapshot.fact("load.result"), snapshot.fact("load.records")
    stage, subject = judged_stage(result), endpoint_subject(result)
    server, rows = server_of(result, records, stage)
    ours = [records.columns["output_tokens"][i] for i in rows]
    if not rows or all(tokens in (ABSENT, 0) for tokens in ours):
        yield not_applicable(None, "no answer stated or streamed tokens")
        return
    reading = server.reading("generated_tokens")
    if reading is None or reading.total is None:
        yield unknown(subject, server.reason or "the server exports no counter of generated tokens")
        return
    if ABSENT in ours or stage is None or len(rows) < len(stage_rows(records, stage)) or stage.scheduled > len(rows):
        yield unknown(subject, "requests that failed or were given up have tokens in the server's counter alone")
        return
    total, stated = sum(ours), all(records.columns["stated"][i] == 1 for i in rows)
    gap = abs(reading.total - total) / max(total, 1)
    seen = Evidence(f"load.result.stages.server.{reading.metric}", reading.total, f"{total}, within {max_gap:.0%}")
    by = "the answers' usage says" if stated else "events counted in the streams are"
    said = f"{reading.metric} counted {reading.total:.0f} tokens, {by} {total}"
    if gap <= max_gap:
        yield passed(subject, said, seen)
    elif not stated:
        yield unknown(subject, f"{said}: an event may hold several tokens", seen)
    elif server.requests is None:
        yield unknown(subject, f"{said}; it does not count requests: the counter may hold others' requests", seen)
    elif server.requests != len(rows):
        counted = f"it counted {server.requests:.0f} requests and {len(rows)} were ours"
        yield unknown(subject, f"{said}; {counted}: the counter may hold others' requests", seen)
    else:
        yield failed(subject, said, seen)
