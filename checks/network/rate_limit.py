from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.engine_args import Engine, serving_engines
from inferaudit.entrypoints import rate_limits


@check(
    title="The rate of each caller is limited",
    severity=Severity.LOW,
    needs=("workload", "workload.containers", "service.trafficpolicies"),
    optional=("service.ingresses", "service.configmaps"),
    remediation="Add a rate limit at the gateway, by key or address; limit the engine's queue as well.",
    references=(
        "https://gateway.envoyproxy.io/docs/tasks/traffic/global-rate-limit/",
        "https://kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/annotations/#rate-limiting",
    ),
)
def rate_limit(snapshot: Snapshot) -> Iterator[Judgement]:
    """One caller with a loop takes every GPU from all the others.

    A limit of the engine's queue protects the engine, and none of the callers from each other; it counts as the
    least.
    """
    workload = snapshot.fact("workload")
    ingresses = snapshot.fact_or("service.ingresses", [])
    found = rate_limits(ingresses, snapshot.fact("service.trafficpolicies"))
    maps = snapshot.fact_or("service.configmaps", ())
    engines = serving_engines(snapshot.fact("workload.containers"), maps)
    queues = [e.settings["queue_limit"] for _, e in engines if "queue_limit" in e.settings]
    seen = Evidence("rate limits", found or [f"{q.source} = {q.value}" for q in queues], "at least one")
    if found:
        yield passed(workload.subject, f"limited by {found[0]}", seen)
    elif queues:
        yield passed(workload.subject, "the engine's queue is limited; callers are not told apart", seen)
    else:
        snapshot.require_read("service.ingresses", "service.configmaps")
        yield failed(workload.subject, "no rate limit is in view", seen, cause=_endless(engines))


def _endless(engines: Iterable[tuple[Mapping[str, Any], Engine]]) -> tuple[str, str] | None:
    """The finding that an engine's queue has no end: a limit there would be the least, and mend both."""
    for container, engine in engines:
        known = engine.profile.settings.get("queue_limit")
        bounded = engine.profile.overload.bounded or (known is not None and known.default.isdigit())
        if engine.known and not bounded:
            return "engine-queue-limit", container["subject"]
    return None
