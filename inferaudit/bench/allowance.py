"""What the limits still allow while load runs: tokens and time that could not be foreseen."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from inferaudit.bench.profiles import tokens_per_request
from inferaudit.plan import LoadPlan, StagePlan


@dataclass(slots=True)
class Allowance:
    """`tokens` have been spent since `began` (monotonic s)."""

    plan: LoadPlan
    tokens: int = 0
    began: float = field(default_factory=time.monotonic)

    def reached(self, stage: StagePlan | None = None) -> str:
        """The limit that leaves room for nothing more, or for not one request of `stage`; empty while there is some."""
        limits = self.plan.limits
        more = 0.0 if stage is None else tokens_per_request(self.plan, stage)
        if limits.tokens is not None and (self.tokens >= limits.tokens or self.tokens + more > limits.tokens):
            return "limits.tokens"
        if limits.duration_s is not None and time.monotonic() - self.began >= limits.duration_s:
            return "limits.duration"
        return ""

    def within(self, stage: StagePlan) -> StagePlan:
        """The stage with no more requests than limits.tokens has room for, each as long as it is meant to be."""
        limit = self.plan.limits.tokens
        if limit is None:
            return stage
        room = max(1, int((limit - self.tokens) / tokens_per_request(self.plan, stage)))
        return stage if stage.requests is not None and stage.requests <= room else replace(stage, requests=room)
