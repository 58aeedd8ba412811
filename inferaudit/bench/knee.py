"""The knee: the highest rate at which the objectives hold (without objectives: at which the service keeps up)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from inferaudit.facts.load import Knee, KneeProbe, LoadStage
from inferaudit.records import ABSENT, RecordTable
from inferaudit.slo import Objective
from inferaudit.sustained import Answer, sustained

MAX_PROBES = 12
_CLOSE = 1.1  # stop when what holds and what breaks lie within a tenth
_UNMEASURED = "was not measured"
_NOTHING_DUE = "no request was due in its time"
_FEWEST = 3  # arrivals that a probe must have: fewer say nothing about a rate

Probe = Callable[[float, int], tuple[LoadStage, RecordTable]]


def search(
    probe: Probe, objectives: Sequence[Objective], *, start: float, highest: float | None, stopped: Callable[[], bool]
) -> Knee:
    """Grow by half until it breaks, then halve the gap; `probe` runs one open-loop stage at a rate.

    Where none holds the rate is halved, but no further than its stage has arrivals to judge by.
    """
    holds, breaks = None, None
    rate = start if highest is None else min(start, highest)
    probes: list[KneeProbe] = []
    while len(probes) < MAX_PROBES and not stopped():
        stage, table = probe(rate, len(probes) + 1)
        if stopped():  # in the middle of it, perhaps
            break
        verdict = judge(stage, table, rate, objectives)
        probes.append(verdict)
        if verdict.holds:
            holds = rate
        elif verdict.reason != _NOTHING_DUE:
            breaks = rate
        if verdict.reason == _NOTHING_DUE or verdict.reason.endswith(_UNMEASURED):  # at no rate will it be
            break
        if holds is None:
            rate /= 2
            if stage.duration_s is not None and rate * stage.duration_s < _FEWEST:
                break
        elif breaks is None:
            if highest is not None and rate >= highest:
                break
            rate = rate * 1.5 if highest is None else min(rate * 1.5, highest)
        elif breaks / holds <= _CLOSE:
            break
        else:
            rate = (holds * breaks) ** 0.5
    names = ", ".join(o.dimension for o in objectives if o.mean or o.percentile is not None or o.metric == "error_rate")
    criterion = f"{names} hold" if names else "no backlog builds up, errors at most 1 %"
    return Knee(rate=holds, broken_at=breaks, criterion=criterion, probes=tuple(probes))


def judge(stage: LoadStage, table: RecordTable, rate: float, objectives: Sequence[Objective]) -> KneeProbe:
    """Does this probe hold? Point figures decide, for a search needs a direction."""
    columns = table.columns
    failed = sum(1 for e in columns["error"] if table.errors[e] not in ("", "cancelled"))
    bearable = min((o.target for o in objectives if o.metric == "error_rate"), default=0.01)
    good = [i for i, e in enumerate(columns["error"]) if not e]
    if not columns["error"]:
        return KneeProbe(rate=rate, holds=False, reason=_NOTHING_DUE)
    if not good:
        return KneeProbe(rate=rate, holds=False, reason="nothing succeeded")
    span = (max(columns["end_ns"][i] for i in good) - min(columns["scheduled_ns"])) / 1e9
    achieved = len(good) / span if span > 0 else None
    came = sustained([Answer(columns["scheduled_ns"][i], columns["end_ns"][i], 1.0) for i in good], open_loop=True)
    if failed > bearable * len(columns["error"]):
        return KneeProbe(rate=rate, holds=False, achieved=achieved, reason=f"{failed} requests failed")
    if came is not None and not came.kept_up:
        return KneeProbe(rate=rate, holds=False, achieved=achieved, reason="it did not keep up with the arrivals")
    reasons = [reason for o in objectives if (reason := _breach(o, table, good))]
    return KneeProbe(rate=rate, holds=not reasons, achieved=achieved, reason=", ".join(reasons))


def _breach(objective: Objective, table: RecordTable, good: list[int]) -> str:
    """Why this objective does not hold; empty where it does. A figure that nobody measured holds nothing."""
    if objective.percentile is None and not objective.mean:
        return ""
    value = _figure_ns(objective.metric, objective.percentile, table, good)
    if value is None:
        return f"{objective.dimension} {_UNMEASURED}"
    return f"{objective.dimension} broken" if value > objective.target * 1e6 else ""


def _figure_ns(metric: str, p: float | None, table: RecordTable, good: list[int]) -> float | None:
    """The p-th percentile, or the mean where p is None."""
    from inferaudit.latency import percentile, summarise_table, table_percentile

    columns = table.columns
    first, last, tokens = columns["first_token_ns"], columns["last_token_ns"], columns["output_tokens"]
    if metric == "itl":
        gaps = table.itl_us.get(table.stages[0], ())
        value = summarise_table(gaps).mean if p is None else table_percentile(gaps, p)
        return None if value is None else value * 1000
    if metric == "tpot":
        values = [(last[i] - first[i]) // (tokens[i] - 1) for i in good if first[i] != ABSENT and tokens[i] > 1]
    else:
        ends = first if metric == "ttft" else columns["end_ns"]
        values = [ends[i] - columns["scheduled_ns"][i] for i in good if ends[i] != ABSENT]
    if p is None:
        return sum(values) / len(values) if values else None
    return percentile(sorted(values), p)
