"""Everything a check file may import.

A check is a generator of judgements over a snapshot::

    @check(title=…, severity=Severity.HIGH, needs=("nvml.gpus",), remediation=…)
    def gpu_ecc_uncorrected(snapshot: Snapshot, *, max_errors: int = 0) -> Iterator[Judgement]:
        \"\"\"The rationale: why this matters to the person about to launch.\"\"\"

Keyword-only arguments are its parameters (name, type, default). A missing fact raises inside ``snapshot.fact`` and the
evaluator answers ``unknown``: authors write no error handling. No yield = ``not_applicable``. The path gives the id.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from inferaudit.errors import CatalogError
from inferaudit.model import (
    Check,
    Evidence,
    Fact,
    FactError,
    FactErrorKind,
    Judge,
    Judgement,
    Outcome,
    Param,
    Phase,
    Severity,
    Snapshot,
)

__all__ = [
    "Check",
    "Evidence",
    "Fact",
    "FactError",
    "FactErrorKind",
    "Judgement",
    "Outcome",
    "Phase",
    "Severity",
    "Snapshot",
    "check",
    "failed",
    "not_applicable",
    "passed",
    "review",
    "unknown",
]


def check(
    *,
    title: str,
    severity: Severity,
    needs: tuple[str, ...],
    remediation: str,
    phase: Phase = Phase.BEFORE,
    active: bool = False,
    optional: tuple[str, ...] = (),
    references: tuple[str, ...] = (),
    tags: tuple[str, ...] = (),
    enabled: bool = True,
) -> Callable[[Judge], Check]:
    """Make a function a :class:`Check`.

    `needs` are the facts it cannot do without; `optional` are those it reads where they exist (``snapshot.error(name)``
    tells). Reading a fact that is in neither is a bug that the evaluator names. `enabled` False = off unless selected.
    """

    def wrap(judge: Judge) -> Check:
        rationale = inspect.cleandoc(judge.__doc__ or "")
        if not rationale:
            raise CatalogError(f"{judge.__name__} has no docstring; it is the check's rationale")
        return Check(
            id="",
            title=title,
            group="",
            severity=severity,
            needs=needs,
            rationale=rationale,
            remediation=remediation,
            judge=judge,
            phase=phase,
            active=active,
            optional=optional,
            references=references,
            tags=tags,
            params=_params(judge),
            enabled=enabled,
        )

    return wrap


def _params(judge: Judge) -> tuple[Param, ...]:
    arguments = inspect.signature(judge).parameters.values()
    keyword_only = [a for a in arguments if a.kind is inspect.Parameter.KEYWORD_ONLY]
    return tuple(Param(a.name, _type_name(a.annotation), a.default) for a in keyword_only)


def _type_name(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))


def _judgement(outcome: Outcome, doc: str) -> Callable[..., Judgement]:
    def make(
        subject: str | None,
        message: str,
        *evidence: Evidence,
        key: str = "",
        cause: tuple[str, str | None] | None = None,
    ) -> Judgement:
        return Judgement(outcome, subject, message, evidence, key, cause)

    make.__doc__ = doc
    return make


passed = _judgement(Outcome.PASS, "It was looked at and it is right; say what was seen.")
failed = _judgement(Outcome.FAIL, "It was looked at and it is wrong.")
unknown = _judgement(Outcome.UNKNOWN, "It could not be told, for the reason given.")
review = _judgement(Outcome.REVIEW, "No outside look can tell; a person must.")
not_applicable = _judgement(Outcome.NOT_APPLICABLE, "The question has no meaning here; say what was looked for.")
