"""What changed in the measured performance between two reports, and how sure that is. Pure.

Percentiles are compared by a bootstrap over the exact count tables that a report carries, error rates by Newcombe's
interval, rates by Welch's interval over batch means. A change counts when its whole interval lies beyond the tolerance.
The intervals of one stage hold together with 95 % confidence (Bonferroni): a dozen figures would else be a dozen
chances of a false alarm. Without count tables nothing is concluded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

import msgspec

from inferaudit.latency import CONFIDENCE, CountTable, required_samples, table_percentile
from inferaudit.stats import (
    Difference,
    change,
    mean_difference,
    percentile_difference,
    proportion_difference,
    rank_test,
)

TOLERANCE = 0.05
_PERCENTILES = (50, 95, 99)
_TABLES = {"ttft": "ttft_table_us", "itl": "itl_table_us", "e2e": "latency_table_us"}
_RATES = {"request_rate": "rate", "token_rate": "token_rate"}
_FALSIFIED = {"ttft": "ttft_ms", "itl": "itl_ms", "e2e": "latency_ms"}
_BATCHES = 10
_SAME_PROMPTS = 0.1  # mean prompt lengths further apart than this share are another test

Verdict = Literal["worse", "better", "same", "undecided"]


class Tokens(msgspec.Struct, frozen=True):
    """Tokens of a stage, None where they are not known."""

    input: int | None = None
    output: int | None = None


class Requests(msgspec.Struct, frozen=True):
    """Requests of a stage by what became of them."""

    ok: int | None = None
    failed: int | None = None


class Client(msgspec.Struct, frozen=True):
    """What the client's own limits falsified (names of the report's figures)."""

    falsifies: tuple[str, ...] = ()


class Stage(msgspec.Struct, frozen=True):
    """The part of a report's stage that is compared; tables are [[µs, count], …]."""

    name: str
    measured: bool = True
    arrival: str | None = None
    rate: float | None = None
    concurrency: int | None = None
    requests: Requests | None = None
    tokens: Tokens | None = None
    client: Client | None = None
    latency_table_us: list[tuple[int, int]] | None = None
    ttft_table_us: list[tuple[int, int]] | None = None
    itl_table_us: list[tuple[int, int]] | None = None


class Slice(msgspec.Struct, frozen=True):
    """One slice of the run's timeline; rates per second."""

    rate: float | None = None
    token_rate: float | None = None
    stage: str | None = None


class Series(msgspec.Struct, frozen=True):
    """The part of a report's series that is compared."""

    timeline: tuple[Slice, ...] = ()


class Benchmark(msgspec.Struct, frozen=True):
    """The part of a report's benchmark that is compared."""

    judged_stage: str | None = None
    stages: tuple[Stage, ...] = ()
    series: Series = Series()


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of one stage before and after. `low` to `high` holds the change with `confidence`, in `unit`.

    `superiority` is the chance that a value after is above one before: 0.5 when they are alike.
    """

    stage: str
    metric: str
    unit: str
    before: float | None
    after: float | None
    low: float | None = None
    high: float | None = None
    samples: tuple[int, int] = (0, 0)
    confidence: float = CONFIDENCE
    superiority: float | None = None
    change: Verdict = "undecided"
    reason: str = ""


class Performance(msgspec.Struct, frozen=True, kw_only=True):
    """All figures, and what they say together; `outcome` is unknown when nothing could be decided."""

    outcome: Literal["worse", "better", "same", "unknown"]
    reason: str
    tolerance: float
    changes: tuple[Measured, ...] = ()
    not_compared: tuple[str, ...] = ()


def compare_performance(
    old: dict[str, Any] | None, new: dict[str, Any] | None, *, tolerance: float = TOLERANCE, seed: int = 0
) -> Performance:
    """Compare two reports' ``benchmark`` sections, stage by stage; `tolerance` is a share of the figure before.

    msgspec.ValidationError when a section is not one.
    """
    missing = [which for which, section in (("old", old), ("new", new)) if not section]
    if missing:
        why = f"no load was measured in the {' and the '.join(missing)} report"
        return Performance(outcome="unknown", reason=why, tolerance=tolerance)
    before, after = (msgspec.convert(section, Benchmark) for section in (old, new))
    theirs = {stage.name: stage for stage in after.stages if stage.measured}
    changes: list[Measured] = []
    skipped: list[str] = []
    for stage in before.stages:
        if not stage.measured:
            continue
        other = theirs.pop(stage.name, None)
        why = "the new report has no such stage" if other is None else _not_the_same(stage, other)
        if other is None or why:
            skipped.append(f"{stage.name}: {why}")
            continue
        ask = _Ask(stage.name, tolerance, _confidence(stage, other, before, after), seed)
        changes += _latencies(stage, other, ask)
        changes += _errors(stage, other, ask)
        changes += _rates(before, after, ask)
    skipped += [f"{name}: the old report has no such stage" for name in theirs]
    judged = [c for c in changes if before.judged_stage == after.judged_stage == c.stage]
    outcome, reason = _together(judged or changes)
    return Performance(
        outcome=outcome, reason=reason, tolerance=tolerance, changes=tuple(changes), not_compared=tuple(skipped)
    )


def _not_the_same(old: Stage, new: Stage) -> str:
    """Why two stages of one name are not the same test, or nothing."""
    for what in ("concurrency", "rate", "arrival"):
        a, b = getattr(old, what), getattr(new, what)
        if a != b:
            return f"another load ({what} {a} before, {b} after)"
    if not old.latency_table_us or not new.latency_table_us:
        return "no count tables to compare"
    lengths = [_prompt_length(stage) for stage in (old, new)]
    if None not in lengths and abs(lengths[1] - lengths[0]) > _SAME_PROMPTS * lengths[0]:  # type: ignore[operator]
        return f"other prompts ({lengths[0]:.0f} tokens before, {lengths[1]:.0f} after)"
    return ""


def _prompt_length(stage: Stage) -> float | None:
    if stage.tokens is None or stage.requests is None or not stage.tokens.input or not stage.requests.ok:
        return None
    return stage.tokens.input / stage.requests.ok


@dataclass(frozen=True)
class _Ask:
    """What is asked of each figure of one stage."""

    stage: str
    tolerance: float
    confidence: float
    seed: int


def _confidence(old: Stage, new: Stage, before: Benchmark, after: Benchmark) -> float:
    """What to ask of each figure, so that all of the stage hold together with 95 %."""
    figures = sum(len(_PERCENTILES) for name in _TABLES.values() if getattr(old, name) and getattr(new, name))
    figures += 1  # the error rate
    figures += sum(bool(_slices(before, old.name, rate) and _slices(after, old.name, rate)) for rate in _RATES.values())
    return 1 - (1 - CONFIDENCE) / figures


def _latencies(old: Stage, new: Stage, ask: _Ask) -> Iterator[Measured]:
    limited = {name for stage in (old, new) if stage.client for name in stage.client.falsifies}
    for metric, attribute in _TABLES.items():
        before: CountTable = getattr(old, attribute) or ()
        after: CountTable = getattr(new, attribute) or ()
        if not before and not after:
            continue
        counts = sum(n for _, n in before), sum(n for _, n in after)
        ranks = rank_test(before, after)
        # The gaps of one answer, and of those beside it, are long together: they say no more than the answers do.
        answers = [s.requests.ok if metric == "itl" and s.requests else None for s in (old, new)]
        independent = (
            counts[0] if answers[0] is None else answers[0],
            counts[1] if answers[1] is None else answers[1],
        )
        for p in _PERCENTILES:
            difference, reason = None, ""
            if _FALSIFIED[metric] in limited:
                reason = "the client was the limit"
            elif all(counts):
                difference = percentile_difference(
                    before, after, p, seed=ask.seed, confidence=ask.confidence, independent=independent
                )
            if difference is None and not reason:
                what = "answers" if metric == "itl" else "samples"
                reason = f"needs {required_samples(p, ask.confidence)} {what} on both sides"
            yield _measured(
                ask, f"{metric}_p{p}", "ms", difference, counts, reason, scale=1e-3,
                known=(table_percentile(before, p), table_percentile(after, p)),
                superiority=ranks.superiority if ranks else None,
            )  # fmt: skip


def _errors(old: Stage, new: Stage, ask: _Ask) -> Iterator[Measured]:
    sides = [(s.requests.failed, s.requests.ok) if s.requests else (None, None) for s in (old, new)]
    tallies = [(failed, failed + ok) for failed, ok in sides if failed is not None and ok is not None]
    if len(tallies) == 2:
        difference = proportion_difference(tallies[0], tallies[1], ask.confidence)
        counts = tallies[0][1], tallies[1][1]
        yield _measured(ask, "error_rate", "ratio", difference, counts, "" if difference else "no requests")


def _rates(old: Benchmark, new: Benchmark, ask: _Ask) -> Iterator[Measured]:
    for metric, attribute in _RATES.items():
        sides = [_slices(section, ask.stage, attribute) for section in (old, new)]
        if not any(side and any(side) for side in sides):
            continue
        batches = [_batch_means(side) for side in sides]
        difference = mean_difference(batches[0], batches[1], ask.confidence) if all(batches) else None
        reason = "" if difference else f"needs {2 * _BATCHES} slices of the timeline on both sides"
        known = tuple(fmean(side) if side else None for side in sides)
        counts, unit = (len(sides[0]), len(sides[1])), "tokens/s" if attribute == "token_rate" else "1/s"
        yield _measured(ask, metric, unit, difference, counts, reason, known=(known[0], known[1]), more_is_better=True)


def _slices(section: Benchmark, stage: str, attribute: str) -> list[float]:
    """A stage's slices less the first and the last, which it shares with its neighbours."""
    values = [getattr(s, attribute) for s in section.series.timeline if s.stage == stage]
    return [v for v in values[1:-1] if v is not None]


def _batch_means(values: Sequence[float]) -> list[float]:
    """Means of ten batches: neighbouring slices resemble each other, batches hardly do. Empty for too few slices."""
    size = len(values) // _BATCHES
    return [fmean(values[i * size : (i + 1) * size]) for i in range(_BATCHES)] if size >= 2 else []


def _measured(
    ask: _Ask, metric: str, unit: str, difference: Difference | None, samples: tuple[int, int], reason: str, *,
    scale: float = 1.0, known: tuple[float | None, float | None] = (None, None),
    superiority: float | None = None, more_is_better: bool = False,
) -> Measured:  # fmt: skip
    if difference is None:
        before, after = (None if value is None else value * scale for value in known)
        return Measured(
            stage=ask.stage, metric=metric, unit=unit, before=before, after=after, samples=samples, reason=reason,
            superiority=superiority, confidence=ask.confidence,
        )  # fmt: skip
    found = change(difference, ask.tolerance)
    words: dict[str, Verdict] = {"higher": "better" if more_is_better else "worse",
                                 "lower": "worse" if more_is_better else "better", "same": "same"}  # fmt: skip
    return Measured(
        stage=ask.stage,
        metric=metric,
        unit=unit,
        before=difference.before * scale,
        after=difference.after * scale,
        low=difference.low * scale,
        high=difference.high * scale,
        samples=samples,
        confidence=ask.confidence,
        superiority=superiority,
        change=words.get(found, "undecided"),
        reason="" if found != "undecided" else "the interval lies on both sides of the tolerance",
    )


def _together(
    changes: Sequence[Measured],
) -> tuple[Literal["worse", "better", "same", "unknown"], str]:
    by = {verdict: [f"{c.stage}/{c.metric}" for c in changes if c.change == verdict] for verdict in
          ("worse", "better", "same", "undecided")}  # fmt: skip
    if by["worse"]:
        return "worse", f"worse: {', '.join(by['worse'])}"
    if by["better"]:
        return "better", f"better: {', '.join(by['better'])}"
    if by["same"]:
        more = f"; {len(by['undecided'])} undecided" if by["undecided"] else ""
        return "same", f"{len(by['same'])} figures changed by no more than the tolerance{more}"
    return (
        "unknown",
        "too few samples to decide" if changes else "no stage of one report is comparable with the other's",
    )
