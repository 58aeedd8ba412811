"""Facts about earlier audits of the same service."""

from __future__ import annotations

from inferaudit.facts.spec import FactSpec
from inferaudit.model import Scope
from inferaudit.trend import Run

FACTS = (
    FactSpec(
        "process.history",
        Scope.PROCESS,
        list[Run],
        "key figures of earlier runs of the same service, and of this one",
        flag="--store",
    ),
)
