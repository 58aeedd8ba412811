"""The benchmark as a collector: a load plan in, the facts `load.result` and `load.records` out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from inferaudit.bench.runner import Progress, run_load
from inferaudit.bench.sampling import Sampler
from inferaudit.errors import CollectError
from inferaudit.model import Fact, FactError, FactErrorKind
from inferaudit.plan import LoadPlan

FACT_NAMES = ("load.result", "load.records")


def collect_load(
    plan: LoadPlan,
    *,
    progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
    samplers: Sequence[Sampler] = (),
) -> dict[str, Fact]:
    """Run the load and give its facts; what failed becomes their error. A plan that cannot be run is a UsageError."""
    try:
        outcome = run_load(plan, progress=progress, stop=stop, samplers=samplers)
    except CollectError as error:
        return _failed(FactErrorKind.FAILED, str(error), plan)
    if not len(outcome.records):
        interrupted = outcome.result.interrupted
        kind = FactErrorKind.INTERRUPTED if interrupted else FactErrorKind.FAILED
        return _failed(kind, "interrupted before a request was answered" if interrupted else "nothing was sent", plan)
    return {"load.result": Fact(outcome.result), "load.records": Fact(outcome.records)}


def _failed(kind: FactErrorKind, reason: str, plan: LoadPlan) -> dict[str, Fact]:
    error = FactError(kind, f"load: {reason}", source=f"load on {plan.url}")
    return {name: Fact(error=error) for name in FACT_NAMES}
