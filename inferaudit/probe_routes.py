"""Which health route of a runtime a probe's path is. Pure, over the registry."""

from __future__ import annotations

import re

from inferaudit.engine_args import Engine, flag_value
from inferaudit.runtime_registry import HealthRoute, Runtime, runtimes

_OPENAI = frozenset({"openai-chat", "openai-completions", "openai-embeddings"})

# Servers whose routes are all their own, and names that servers of one's own mostly have. SageMaker's is in many.
_CLOSED = frozenset({"vllm", "sglang", "tgi", "tei", "triton", "llamacpp", "tf-serving"})
_COMMON = frozenset(
    ["/healthz", "/readyz", "/livez", "/ready", "/live", "/readiness", "/liveness", "/health/ready", "/health/live"]
)
_SAGEMAKER = "/ping"


def find_route(runtime: Runtime, path: str) -> HealthRoute | None:
    """The runtime's route that `path` is; ``{model}`` in a route matches one segment. None for an unknown path."""
    wanted = path.partition("?")[0].rstrip("/") or "/"
    for route in runtime.health:
        pattern = re.escape(route.route.rstrip("/") or "/").replace(re.escape("{model}"), r"[^/]+")
        if re.fullmatch(pattern, wanted):
            return route
    return None


def foreign_route(engine: Engine, path: str) -> str | None:
    """Whose route a path is that the engine has not: another runtime's title, or the words for a common name.

    None where the engine has it, where nobody knows it, and for frameworks, which serve whatever one writes in them.
    """
    wanted = path.partition("?")[0].rstrip("/")
    if not engine.known or engine.profile.name not in _CLOSED or find_route(engine.profile, path):
        return None
    if wanted in _COMMON:
        return "many other servers"
    others = (each for each in runtimes().values() if each.name in _CLOSED and find_route(each, path))
    return next((f"{other.title}" for other in others if wanted != _SAGEMAKER), None)


def grpc_answer(engine: Engine) -> tuple[str, str] | None:
    """What a ``grpc`` probe on a recognised runtime comes to: (what it proves, why); None where that is not known.

    It asks grpc.health.v1. A server that does not serve it answers UNIMPLEMENTED, and the probe fails: ``never``.
    """
    known = engine.profile.grpc_health if engine.known else None
    if known is None:
        return None
    if known.served == "never":
        return "never", f"{engine.title} does not serve grpc.health.v1"
    if known.served == "flag" and flag_value(engine, known.flag) in (None, "false"):
        if not engine.visible:
            return None
        return "never", f"{engine.title} serves grpc.health.v1 only with {known.flag}"
    return known.proves, f"{engine.title} serves grpc.health.v1"


def asks_model(runtime: Runtime, path: str) -> bool:
    """True for the list of served models of an engine that opens its port only when the model is loaded."""
    if not path.rstrip("/").endswith("/v1/models") or not _OPENAI & set(runtime.apis):
        return False
    return any(route.proves == "model" for route in runtime.health)


def own_liveness(runtime: Runtime) -> HealthRoute | None:
    """The route that speaks of the process alone, where the runtime has one that may be probed."""
    return next((r for r in runtime.health if r.role == "live" and r.proves in ("process", "proxy") and r.probe), None)
