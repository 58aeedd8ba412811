"""Whose metrics an expression reads: a rule copied from another runtime waits for what nobody exports. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from functools import cache

from inferaudit.alert_rules import metric_names
from inferaudit.engine_args import Engine
from inferaudit.runtime_registry import Runtime, runtimes

# Names that no gateway and no client library shares with a runtime.
_OWN = re.compile(
    r"(?:ray_)?(?:vllm|sglang|llamacpp|trtllm)[:_]|tgi_|te_|nv_(?:inference|gpu)|ts_|bentoml_|:?tensorflow[:_]"
)
_LIKE, _LONGER = 0.9, 3  # of the letters in common, and at most as many more or less: a slip of the pen
_SUFFIX = re.compile(r"_(?:bucket|sum|count|total|created)$")
# These run other engines inside themselves, and export what those export.
_HOSTS = frozenset(("kserve", "ray-serve", "bentoml", "triton", "mlserver", "nim", "custom"))


def owned_metrics(expr: str) -> dict[str, list[str]]:
    """The metrics in `expr` that only model servers export, each with the names of the runtimes, hosts last."""
    read = {name: _owners().get(_family(name)) for name in sorted(metric_names(expr)) if _OWN.match(name)}
    return {name: list(owners) for name, owners in read.items() if owners}


def exports_known(engines: Collection[Engine]) -> bool:
    """Can it be told what they export? Not of one that is not recognised, nor of one that hosts others."""
    return bool(engines) and all(engine.known and engine.profile.name not in _HOSTS for engine in engines)


def foreign_metrics(expr: str, engines: Collection[Engine]) -> dict[str, list[str]]:
    """Those of :func:`owned_metrics` that none of `engines` exports; ask :func:`exports_known` of them first."""
    served = {engine.profile.name for engine in engines}
    return {name: owners for name, owners in owned_metrics(expr).items() if not served.intersection(owners)}


def misspelt_metrics(expr: str, engines: Iterable[Engine], recorded: Collection[str] = ()) -> dict[str, str]:
    """Metrics in `expr` that no runtime is known to export, each with the name of one of `engines` that is meant.

    One that is like no other may be of a version that nobody here has seen. `recorded` are those that rules write.
    """
    own = {_family(name): name for engine in engines for name in _exports(engine.profile)}
    found = {}
    for name in sorted(metric_names(expr) - {*recorded}):
        family = _family(name)
        if not _OWN.match(name) or name.count(":") > 1 or family in _known():
            continue
        near = (each for each in get_close_matches(family, own, 3, _LIKE) if abs(len(each) - len(family)) <= _LONGER)
        if meant := next(near, None):
            found[name] = own[meant]
    return found


def _exports(runtime: Runtime) -> list[str]:
    return [*(metric.name for names in runtime.metrics.values() for metric in names), *runtime.other_metrics]


@cache
def _known() -> frozenset[str]:
    return frozenset(_family(name) for runtime in runtimes().values() for name in _exports(runtime))


@cache
def _owners() -> dict[str, tuple[str, ...]]:
    owners: dict[str, set[str]] = {}
    for runtime in runtimes().values():
        for names in runtime.metrics.values():
            for metric in names:
                owners.setdefault(_family(metric.name), set()).add(runtime.name)
    return {name: tuple(sorted(of, key=lambda each: (each in _HOSTS, each))) for name, of in owners.items()}


def _family(name: str) -> str:
    """Without what a histogram's series add; adapters for autoscalers write ``_`` for a colon."""
    return _SUFFIX.sub("", name).replace(":", "_")
