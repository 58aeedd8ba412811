"""What a piece of advice is made of, and the facts that several pieces look at. Pure; a missing fact is None."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from inferaudit.engine_args import Engine, serving_engines
from inferaudit.model import Snapshot
from inferaudit.policy import Policy

Status = Literal["keep", "change", "unknown"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A number (or a word) behind a piece of advice: what it is, its unit, and where it was seen."""

    name: str
    value: Any
    unit: str | None
    source: str


@dataclass(frozen=True, slots=True)
class Advice:
    """``keep`` what is there, ``change`` it, or ``unknown`` while `missing` names what would tell."""

    id: str
    title: str
    status: Status
    advice: str
    basis: tuple[Figure, ...] = ()
    missing: str | None = None

    def row(self) -> dict[str, Any]:
        """As it stands in the report."""
        return {**asdict(self), "basis": [asdict(figure) for figure in self.basis]}


@dataclass(frozen=True, slots=True)
class Case:
    """All that advice may look at: the snapshot, and the report's own sections made from it."""

    snapshot: Snapshot
    policy: Policy
    target: Mapping[str, Any]
    benchmark: Mapping[str, Any]

    def fact(self, name: str) -> Any:
        """A fact's value; None when it is missing."""
        found = self.snapshot.facts.get(name)
        return found.value if found and found.error is None else None

    def engines(self) -> list[tuple[Mapping[str, Any], Engine]]:
        """The serving containers with what they run."""
        return list(serving_engines(self.fact("workload.containers") or (), self.fact("service.configmaps") or ()))

    def stages(self) -> list[Mapping[str, Any]]:
        """The measured stages of the load."""
        return [stage for stage in self.benchmark.get("stages") or () if stage.get("measured", True)]

    def in_flight(self) -> float | None:
        """Requests in flight on average in the judged stage; without one, the most of any stage."""
        if (judged := stage_in_flight(self.benchmark)) is not None:
            return judged
        return max((n for stage in self.stages() if (n := stage_in_flight(stage)) is not None), default=None)

    def percentile(self, metric: str, name: str) -> float | None:
        """A percentile of the judged stage, in ms."""
        value = (self.benchmark.get(metric) or {}).get(name)
        return None if value is None else float(value)

    def model(self) -> str | None:
        """The model asked for, else the only one that is listed."""
        if self.target.get("model"):
            return str(self.target["model"])
        models: list[Any] = self.fact("endpoint.models") or []
        return models[0].root or models[0].id if len(models) == 1 else None


def stage_in_flight(stage: Mapping[str, Any]) -> float | None:
    """Requests in flight on average: as counted, else by Little's law (rate × mean latency)."""
    if stage.get("in_flight") is not None:
        return float(stage["in_flight"])
    rate, mean = stage.get("request_rate"), (stage.get("latency_ms") or {}).get("mean")
    return rate * mean / 1000 if rate is not None and mean is not None else None


def unknown(id: str, title: str, why: str, missing: str, basis: Sequence[Figure] = ()) -> Advice:
    """No advice, and what it would take."""
    return Advice(id, title, "unknown", why, tuple(basis), missing)
