"""Golden requests of two reports compared: whose answers held before and do not now, request by request. Pure.

What is compared is what `endpoint-golden` leaves as evidence; a request is told by its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

CHECK, PATH = "endpoint-golden", "endpoint.golden[].passed"
MOST_NAMES = 300
"""More golden requests than this are not kept by name."""


class GoldenDiff(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the golden requests that both reports sent.

    `lost` held before and do not now, `won` the other way round; `unanswered` held before and got no answer now. The
    scores are shares of all that were answered. `outcome`: one lost makes it worse.
    """

    outcome: Literal["worse", "better", "same", "unknown"]
    reason: str
    old_score: float | None = None
    new_score: float | None = None
    compared: int = 0
    lost: tuple[str, ...] = ()
    won: tuple[str, ...] = ()
    unanswered: tuple[str, ...] = ()


class _Answers(msgspec.Struct, frozen=True):
    """The evidence of one report; names are absent where they were too many."""

    requests: int = 0
    right: tuple[str, ...] | None = None
    wrong: tuple[str, ...] | None = None
    unanswered: tuple[str, ...] | None = None

    @property
    def score(self) -> float | None:
        told = (self.right or ()), (self.wrong or ())
        return len(told[0]) / (len(told[0]) + len(told[1])) if any(told) else None


def answers_of(results: Iterable[Any]) -> dict[str, Any]:
    """The evidence of golden results: how many, and by name which held, did not hold and were not answered."""
    results = list(results)
    shown: dict[str, Any] = {"requests": len(results)}
    if len(results) <= MOST_NAMES:
        for key, passed in (("right", True), ("wrong", False), ("unanswered", None)):
            shown[key] = [r.name for r in results if r.passed is passed]
    return shown


def compare_golden(old: Iterable[Mapping[str, Any]], new: Iterable[Mapping[str, Any]]) -> GoldenDiff | None:
    """Compare the evidence of both `endpoint-golden` findings; None where neither report has any.

    msgspec's ValidationError for evidence of another form.
    """
    before, after = _answers(old), _answers(new)
    if before is None and after is None:
        return None
    if before is None or after is None:
        which = "old" if before is None else "new"
        return GoldenDiff(outcome="unknown", reason=f"no golden request was sent in the {which} report")
    if before.right is None or after.right is None:
        return GoldenDiff(outcome="unknown", reason=f"more than {MOST_NAMES} golden requests are not kept by name")
    held, failed = set(before.right), set(before.wrong or ())
    now, not_now, silent = set(after.right), set(after.wrong or ()), set(after.unanswered or ())
    common = (held | failed | set(before.unanswered or ())) & (now | not_now | silent)
    lost, won, gone = sorted(held & not_now), sorted(failed & now), sorted(held & silent)
    reason = f"{len(common)} golden requests are in both"
    if len(common) < max(before.requests, after.requests):
        reason += f" (of {before.requests} and {after.requests})"
    outcome: Literal["worse", "better", "same", "unknown"] = "same"
    if lost:
        outcome = "worse"
    elif gone or not common:
        outcome = "unknown"
    elif won:
        outcome = "better"
    return GoldenDiff(
        outcome=outcome,
        reason=reason,
        old_score=before.score,
        new_score=after.score,
        compared=len(common),
        lost=tuple(lost),
        won=tuple(won),
        unanswered=tuple(gone),
    )


def _answers(evidence: Iterable[Mapping[str, Any]]) -> _Answers | None:
    found = next((each.get("observed") for each in evidence if each.get("path") == PATH), None)
    return None if found is None else msgspec.convert(found, _Answers)
