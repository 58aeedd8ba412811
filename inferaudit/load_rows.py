"""Latencies out of request rows: which stage is judged, from which stamp each figure counts. Pure.

TTFT and E2E count from the scheduled time in an open loop and from the send stamp in a closed one, where the client's
own delay is reported apart. TPOT = (last token − first token) / (output tokens − 1).
"""

from __future__ import annotations

from inferaudit.facts.load import LoadResult, LoadStage
from inferaudit.records import ABSENT, RecordTable

JUDGED = "sustained"
CANCELLED = "cancelled"


def judged_stage(result: LoadResult) -> LoadStage | None:
    """The sustained stage, or the only measured one; None when it is not clear which counts."""
    measured = [stage for stage in result.stages if stage.measured]
    named = [stage for stage in measured if stage.name == JUDGED]
    return named[0] if named else measured[0] if len(measured) == 1 else None


def row_values(records: RecordTable, stage: LoadStage, metric: str) -> list[tuple[int, int]]:
    """(end, value) in ns of the stage's successful requests that have `metric` (ttft, e2e, tpot), ordered by end."""
    c = records.columns
    origin = c["scheduled_ns"] if stage.rate is not None else c["sent_ns"]
    points = []
    for i in records.stage_rows(stage.name) if stage.name in records.stages else ():
        if records.errors[c["error"][i]]:
            continue
        first, last, end, tokens = c["first_token_ns"][i], c["last_token_ns"][i], c["end_ns"][i], c["output_tokens"][i]
        if metric == "e2e":
            points.append((end, end - origin[i]))
        elif metric == "ttft" and first != ABSENT:
            points.append((end, first - origin[i]))
        elif metric == "tpot" and first != ABSENT and tokens > 1:
            points.append((end, (last - first) // (tokens - 1)))
    return sorted(points)


def stage_outcomes(records: RecordTable, stage: LoadStage) -> list[tuple[int, bool]]:
    """(end, failed) of the stage's finished requests, ordered by end; what we cancelled ourselves is neither."""
    c = records.columns
    rows = records.stage_rows(stage.name) if stage.name in records.stages else ()
    named = [(c["end_ns"][i], records.errors[c["error"][i]]) for i in rows]
    return sorted((end, bool(error)) for end, error in named if error != CANCELLED)
