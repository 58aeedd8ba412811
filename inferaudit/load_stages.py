"""The roles of load stages, by their names in the built-in profiles: what a check looks for in a load test. Pure.

A profile of your own takes part by using these names. A stage that was not run is no fault: the question was not asked.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from inferaudit.facts.load import LoadResult, LoadStage

COLD = "cold"
SUSTAINED = "sustained"
BURST = "burst"
OVERLOAD = "overload"
MIXED = "mixed"
REPEAT = "repeat"
SOAK = "soak"
STEP_PREFIX = "step-"
KNEE_PREFIX = "knee-"
# Stages whose requests are like each other's, so that their rates can be compared.
_ALIKE = (SUSTAINED, SOAK, BURST)


def stage_named(result: LoadResult, name: str) -> LoadStage | None:
    """The stage of this name in which something was due; None when it was not run."""
    return next((stage for stage in result.stages if stage.name == name and stage.scheduled), None)


def step_stages(result: LoadResult) -> list[LoadStage]:
    """The closed-loop steps, by concurrency."""
    steps = [s for s in result.stages if s.name.startswith(STEP_PREFIX) and s.concurrency and s.scheduled]
    return sorted(steps, key=lambda stage: stage.concurrency or 0)


def alike_stages(result: LoadResult) -> list[LoadStage]:
    """Stages below overload that ask the same kind of requests: steps, sustained, soak, burst and the knee's probes."""
    return [
        stage
        for stage in result.stages
        if stage.scheduled and (stage.name in _ALIKE or stage.name.startswith((STEP_PREFIX, KNEE_PREFIX)))
    ]


def knee_stage(result: LoadResult) -> LoadStage | None:
    """The probe at the knee, the highest rate that held; the one that broke where none held.

    None where the knee was not searched for, or nothing broke: then the load never came to it.
    """
    knee = result.knee
    if knee is None or knee.broken_at is None:
        return None
    rate = knee.rate if knee.rate is not None else knee.broken_at
    probes = [s for s in result.stages if s.name.startswith(KNEE_PREFIX) and s.rate == rate and s.scheduled]
    return probes[-1] if probes else None


def steady_stage(result: LoadResult) -> LoadStage | None:
    """What other stages are held against: the sustained stage."""
    return stage_named(result, SUSTAINED)


def not_run(name: str) -> str:
    """Why a question about a stage has no meaning here."""
    return f"no {name} stage was run; the load profile full runs it"


def endpoint_subject(result: LoadResult) -> str:
    """How findings name what the load was sent to: ``endpoint/host:port``."""
    parts = urlsplit(result.url if "://" in result.url else f"http://{result.url}")
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"endpoint/[{host}]:{port}" if ":" in host else f"endpoint/{host}:{port}"


def sent_to_loopback(result: LoadResult) -> bool:
    """Did the load go to this very machine, by a loopback address, ``localhost`` or a Unix socket?"""
    if result.url.startswith("unix:"):
        return True
    host = urlsplit(result.url if "://" in result.url else f"http://{result.url}").hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
