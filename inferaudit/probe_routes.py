"""Which health route of a runtime a probe's path is. Pure, over the registry."""

from __future__ import annotations

import re

from inferaudit.runtime_registry import HealthRoute, Runtime

_OPENAI = frozenset({"openai-chat", "openai-completions", "openai-embeddings"})


def find_route(runtime: Runtime, path: str) -> HealthRoute | None:
    """The runtime's route that `path` is; ``{model}`` in a route matches one segment. None for an unknown path."""
    wanted = path.partition("?")[0].rstrip("/") or "/"
    for route in runtime.health:
        pattern = re.escape(route.route.rstrip("/") or "/").replace(re.escape("{model}"), r"[^/]+")
        if re.fullmatch(pattern, wanted):
            return route
    return None


def asks_model(runtime: Runtime, path: str) -> bool:
    """True for the list of served models of an engine that opens its port only when the model is loaded."""
    if not path.rstrip("/").endswith("/v1/models") or not _OPENAI & set(runtime.apis):
        return False
    return any(route.proves == "model" for route in runtime.health)


def own_liveness(runtime: Runtime) -> HealthRoute | None:
    """The route that speaks of the process alone, where the runtime has one that may be probed."""
    return next((r for r in runtime.health if r.role == "live" and r.proves in ("process", "proxy") and r.probe), None)
