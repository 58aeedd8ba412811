"""The server's metrics page, read right before and right after each stage of load."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from inferaudit.bench.endpoint import resolve
from inferaudit.bench.fetch import get_page
from inferaudit.bench.protocols import protocol
from inferaudit.errors import CollectError
from inferaudit.exposition import MetricFamily, parse_exposition
from inferaudit.facts.load import ServerReading, ServerWindow
from inferaudit.plan import LoadPlan
from inferaudit.runtime_registry import Runtime, runtimes
from inferaudit.server_window import profile_of_page, window_readings

_SETTLE_S = 2.0  # servers count a request a moment after its last byte
_BETWEEN_S = 0.25


@dataclass(frozen=True, slots=True)
class Page:
    """One reading; `reason` says why there is none. `at_ns` is when it was asked for, on the load's clock."""

    at_ns: int
    families: Sequence[MetricFamily] = ()
    reason: str = ""


@dataclass(slots=True)
class Scraper:
    """Reads one page and tells what was counted between two readings."""

    plan: LoadPlan
    stream: bool
    known: list[Runtime] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.known = [runtimes()[name] for name in self.plan.runtimes if name in runtimes()]

    def page(self) -> Page:
        """The page as it is now."""
        at = time.time_ns()
        try:
            content_type, text = get_page(self.plan, self.plan.metrics_url)
            return Page(at, parse_exposition(text, content_type))
        except CollectError as error:
            return Page(at, reason=str(error))

    def window(self, before: Page, answered: int) -> ServerWindow:
        """What was counted since `before`; read again for a moment until the `answered` requests are in."""
        deadline = time.monotonic()
        tries = 0
        while True:
            after = self.page()
            tries += 1
            window = self._window(before, after, tries)
            if tries == 1:
                deadline += max(_SETTLE_S, 1.5 * max((p.metrics_delay_s for p in self.known), default=0.0))
            counted = next((_requests(r) for r in window.readings if r.concept == "requests"), None)
            if counted is None or counted >= answered or time.monotonic() > deadline:
                return window
            time.sleep(_BETWEEN_S)

    def _window(self, before: Page, after: Page, tries: int) -> ServerWindow:
        reason = before.reason or after.reason
        readings: list[ServerReading] = []
        if not reason:
            self.known = self.known or profile_of_page(after.families)
            readings, reason = window_readings(
                before.families, after.families, self.known, model=self.plan.model, route=self._route()
            )
        return ServerWindow(
            url=self.plan.metrics_url,
            runtimes=tuple(profile.name for profile in self.known),
            before_ns=before.at_ns,
            after_ns=after.at_ns,
            tries=tries,
            readings=tuple(readings),
            reason=reason,
        )

    def _route(self) -> str:
        """The path that the load goes to, as servers write it in labels."""
        api = protocol(self.plan.api)
        if api.name == "custom":
            return urlsplit(resolve(self.plan.url, self.plan.api, self.plan.auth).path).path or "/"
        return api.target("", self.plan.model, self.stream)


def _requests(reading: ServerReading) -> float | None:
    return reading.total if reading.count is None else reading.count
