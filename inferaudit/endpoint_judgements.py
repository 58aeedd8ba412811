"""What several endpoint and metrics checks say alike: bad requests, metrics by meaning, public addresses. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from inferaudit.model import Evidence, Judgement, Outcome, Snapshot

BUSY = frozenset((429, 502, 503, 504))
"""Statuses of what stands in front of a service, or of a moment: no word about the request they answer."""


def asked(route: str) -> str:
    """A question to the server as it is shown: ``GET /route``, or the method of gRPC by its name."""
    return f"GET {route}" if route.startswith("/") else route


def judge_bad_request(snapshot: Snapshot, kind: str, wanted: tuple[int, ...], why: str) -> Iterator[Judgement]:
    """A bad request must get a client error out of `wanted`; a 500, a success or no answer is a fault, for `why`.

    A status of `BUSY` is no word about the request: unknown.
    """
    for probe in snapshot.fact("endpoint.active"):
        if probe.kind != kind:
            continue
        subject = snapshot.fact("endpoint.target").subject
        expected = " or ".join(str(code) for code in wanted)
        seen = Evidence(f"endpoint.active[{kind}].status", probe.status, expected)
        if probe.status is None:
            yield _say(Outcome.FAIL, subject, f"{probe.sent} got no answer: {probe.error}", seen)
        elif probe.status in (401, 403):
            yield _say(
                Outcome.UNKNOWN, subject, f"{probe.sent} was refused for want of credentials ({probe.status})", seen
            )
        elif probe.status in wanted:
            yield _say(Outcome.PASS, subject, f"{probe.sent} is answered with {probe.status}", seen)
        elif probe.status in BUSY:
            said = f"{probe.sent} got {probe.status}, which a busy server or gateway says to any request"
            yield _say(Outcome.UNKNOWN, subject, said, seen)
        else:
            yield _say(Outcome.FAIL, subject, f"{probe.sent} is answered with {probe.status}: {why}", seen)


def judge_concept(
    snapshot: Snapshot,
    concept: str,
    what: str,
    *,
    types: tuple[str, ...] = (),
    kinds: tuple[str, ...] = (),
    series: str = "",
) -> Iterator[Judgement]:
    """The endpoint's page must hold a metric of `concept`, of one of `types` where they are given.

    `kinds` limits the question to runtimes of those kinds; to the others it does not apply. `series` names the
    question to Prometheus that a gateway's metrics may answer as well.
    """
    subject, runtime = snapshot.fact("endpoint.target").subject, snapshot.fact("endpoint.runtime")
    if kinds and runtime.kind not in kinds:
        yield _say(Outcome.NOT_APPLICABLE, subject, f"{runtime.title} serves no {' or '.join(kinds)} model")
        return
    found = next((c for c in snapshot.fact("endpoint.concepts") if c.concept == concept), None)
    other = _answered(snapshot, series)
    if other is not None and (found is None or found.name is None or (types and found.type not in types)):
        seen = Evidence(f"prometheus.series[{series}].value", other.value, "a value")
        yield _say(Outcome.PASS, subject, f"Prometheus tells {what}, if not by the server's own metrics", seen)
        return
    if series and (found is None or found.name is None or (types and found.type not in types)):
        snapshot.require_read("prometheus.series")  # a gateway's metrics may be among them
    wanted = " or ".join(found.candidates) if found is not None else what
    if runtime.name == "unknown" and (found is None or found.name is None):
        seen = Evidence(f"endpoint.concepts[{concept}]", None, wanted)
        yield _say(
            Outcome.UNKNOWN, subject, f"the runtime is not known, and so is not under which name it counts {what}", seen
        )
    elif found is None:
        seen = Evidence(f"endpoint.concepts[{concept}]", None, what)
        yield _say(Outcome.FAIL, subject, f"{runtime.title} exports no metric of {what}", seen)
    elif found.name is None:
        seen = Evidence(f"endpoint.concepts[{concept}].name", None, wanted)
        yield _say(Outcome.FAIL, subject, f"the metrics page has no {wanted}: {what} cannot be seen", seen)
    elif types and found.type not in types:
        seen = Evidence(f"endpoint.concepts[{concept}].type", found.type, " or ".join(types))
        yield _say(Outcome.FAIL, subject, f"{found.name} is a {found.type}: {what} has no percentiles that way", seen)
    else:
        seen = Evidence(f"endpoint.concepts[{concept}].name", found.name, wanted)
        yield _say(Outcome.PASS, subject, f"{found.name} ({found.type}) tells {what}", seen)


def _answered(snapshot: Snapshot, series: str) -> Any:
    """The answer of Prometheus to the question `series`, None where there is none."""
    if not series or snapshot.error("prometheus.series") is not None:
        return None
    return next((s for s in snapshot.fact("prometheus.series") if s.name == series and s.value is not None), None)


def is_public(addresses: list[str]) -> bool | None:
    """True when an address can be reached from the internet; None when there is none."""
    if not addresses:
        return None
    return any(ipaddress.ip_address(address.partition("%")[0]).is_global for address in addresses)


def open_routes(snapshot: Snapshot, kind: str) -> list[Any]:
    """The routes of `kind` as they answer without credentials."""
    return [route for route in snapshot.fact("endpoint.auth").routes if route.kind == kind]


def _say(outcome: Outcome, subject: str, message: str, *evidence: Evidence) -> Judgement:
    return Judgement(outcome, subject, message, evidence)
