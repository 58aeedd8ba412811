"""The core types: what is audited, what was seen, what was judged. Standard library only.

Everything here is a frozen value. Data does not know policy: severities are overridden, findings waived and gates
applied in :mod:`inferaudit.evaluate`, never here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from inferaudit.errors import MissingFactError


class Outcome(StrEnum):
    """What a check says of one subject. A warning is a ``fail`` below the gate."""

    PASS = "pass"  # noqa: S105  # an outcome, not a password
    FAIL = "fail"
    UNKNOWN = "unknown"
    REVIEW = "review"
    NOT_APPLICABLE = "not_applicable"


class Severity(StrEnum):
    """How bad a ``fail`` is, worst first."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def rank(self) -> int:
        """0 for critical, 3 for low."""
        return list(Severity).index(self)

    def at_least(self, other: Severity) -> bool:
        """True when this severity is as bad as `other` or worse."""
        return self.rank <= other.rank


class Verdict(StrEnum):
    """May it go live?"""

    GO = "GO"
    NO_GO = "NO_GO"
    INCOMPLETE = "INCOMPLETE"


class Phase(StrEnum):
    """When a check is due, in the order in which a service meets them."""

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"

    def due_in(self, phase: Phase) -> bool:
        """True when a check of this phase is due in an audit of `phase`."""
        order = list(Phase)
        return order.index(self) <= order.index(phase)


class Scope(StrEnum):
    """The parts of a service an audit covers. ``manifests`` is ``cluster`` less all that needs live facts."""

    CLUSTER = "cluster"
    GPU = "gpu"
    ENDPOINT = "endpoint"
    LOAD = "load"
    METRICS = "metrics"
    PROCESS = "process"
    MANIFESTS = "manifests"


DEFAULT_SCOPE = (Scope.CLUSTER, Scope.GPU, Scope.ENDPOINT, Scope.LOAD, Scope.METRICS)


class FactErrorKind(StrEnum):
    """Why a fact has no value."""

    DENIED = "denied"  # the other side said no: RBAC, 401, 403, NVML "no permission"
    FAILED = "failed"  # asked and not answered: time-out, unreachable, malformed, lost
    NO_TARGET = "no_target"  # nothing was given to look at; the remedy names the flag
    NOT_ASKED = "not_asked"  # evidence that is gathered only when asked for (--active, --golden); never gates
    OUT_OF_VIEW = "out_of_view"  # what was given cannot show it (a manifest shows no pod status)
    INTERRUPTED = "interrupted"  # stopped by Ctrl-C or SIGTERM before it was read


UNREAD = (FactErrorKind.DENIED, FactErrorKind.FAILED, FactErrorKind.INTERRUPTED)  # it is there to be read, and was not


@dataclass(frozen=True, slots=True)
class FactError:
    """Why a fact was not collected.

    `source` names what failed once for many facts (``kubernetes API https://…``), so that one cause gives one finding.
    """

    kind: FactErrorKind
    reason: str
    source: str = ""
    verb: str = ""
    resource: str = ""
    namespace: str = ""
    remedy: str = ""

    @property
    def key(self) -> str:
        """What makes two errors the same cause: never the wording."""
        what = (self.verb, self.resource, self.namespace) if self.resource else (self.source or self.reason,)
        return "|".join((self.kind.value, *what))


@dataclass(frozen=True, slots=True)
class Fact:
    """A collected value, or the reason why there is none."""

    value: Any = None
    error: FactError | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """What is audited. Empty string = not given."""

    context: str = ""
    namespace: str = ""
    workload: str = ""
    url: str = ""
    api: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that was seen, at one time. Checks read it through :meth:`fact`, so that absence cannot be overlooked."""

    collected_at: str
    target: Target
    facts: Mapping[str, Fact]
    policy: Mapping[str, Any] = field(default_factory=dict)
    duration_s: float | None = None
    interrupted: bool = False
    schema_version: int = 1
    tool_version: str = ""

    def fact(self, name: str) -> Any:
        """The value of a fact; raises :class:`MissingFactError` with the collector's reason when there is none."""
        fact = self.facts.get(name)
        if fact is None:
            raise MissingFactError(name, "was not collected")
        if fact.error is not None:
            raise MissingFactError(name, fact.error.reason)
        return fact.value

    def fact_or(self, name: str, default: Any) -> Any:
        """The value of a fact that only adds to what is known, or `default` where it has none."""
        return default if self.error(name) is not None else self.fact(name)

    def error(self, name: str) -> FactError | None:
        """Why `name` is missing, or None when it has a value. For evidence and for "either suffices" checks."""
        fact = self.facts.get(name)
        if fact is None:
            return FactError(FactErrorKind.OUT_OF_VIEW, "was not collected", source=f"fact {name}")
        return fact.error

    def unread(self, name: str) -> FactError | None:
        """Why a fact that could be had was not read (refused, failed, interrupted); None otherwise."""
        error = self.error(name)
        return error if error is not None and error.kind in UNREAD else None

    def require_read(self, *names: str) -> None:
        """Raise :class:`MissingFactError` where one of these facts could be had and was not read.

        For the branch of a check that answers by what is absent: what nobody may read may hold it.
        """
        for name in names:
            if self.unread(name) is not None:
                self.fact(name)


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request, raw. Times are integer nanoseconds on the run's clock, None where it did not come to that.

    `scheduled_ns` is when it was due (open loop) or when its slot became free (closed loop); `sent_ns` is stamped just
    before the first byte was sent; `token_ns` are the arrivals of the events that carry content.
    """

    index: int
    stage: str
    scheduled_ns: int
    sent_ns: int | None = None
    first_byte_ns: int | None = None
    token_ns: tuple[int, ...] = ()
    end_ns: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    status: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where it was seen, what was there, what should have been."""

    path: str
    observed: Any
    expected: Any = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a check yields for one subject.

    `key` tells several judgements of one check about one subject apart (a port, a field); it never holds an observed
    value. `cause` is ``(check id, subject)`` of the finding that explains this one.
    """

    outcome: Outcome
    subject: str | None
    message: str
    evidence: tuple[Evidence, ...] = ()
    key: str = ""
    cause: tuple[str, str | None] | None = None


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter of a check: a keyword-only argument of its judge, or an entry under ``params:``."""

    name: str
    type: str
    default: Any


Judge = Callable[..., Iterable[Judgement]]


@dataclass(frozen=True, slots=True)
class Check:
    """One question to the snapshot. Docs, SARIF rule, JUnit name, checklist row and RBAC rule derive from it."""

    id: str
    title: str
    group: str
    severity: Severity
    needs: tuple[str, ...]
    rationale: str
    remediation: str
    judge: Judge
    phase: Phase = Phase.BEFORE
    active: bool = False
    optional: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    params: tuple[Param, ...] = ()
    enabled: bool = True
    origin: str = ""

    def __call__(self, snapshot: Snapshot, **params: Any) -> Iterator[Judgement]:
        """Judge; the evaluator alone calls this with the policy's parameters."""
        yield from self.judge(snapshot, **params)


@dataclass(frozen=True, slots=True)
class Waiver:
    """A failure accepted by a named person for a stated reason until a date (ISO ``YYYY-MM-DD``)."""

    check: str
    owner: str
    reason: str
    expires: str
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A judgement with its check, effective severity, fingerprint, waiver and cause, as the evaluator stamped them."""

    check: str
    title: str
    group: str
    severity: Severity
    outcome: Outcome
    subject: str | None
    message: str
    evidence: tuple[Evidence, ...]
    remediation: str
    references: tuple[str, ...]
    waiver: Waiver | None
    cause: str | None
    fingerprint: str
    phase: Phase
    due: bool
    gates: bool
    location: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What a renderer gets: `data` is exactly the published JSON (``inferaudit.report/v1``).

    Kept as the parsed document, so that ``render REPORT`` and ``run`` go through the very same code.
    """

    data: Mapping[str, Any]

    @property
    def verdict(self) -> Verdict:
        """May it go live?"""
        return Verdict(self.data["verdict"])
