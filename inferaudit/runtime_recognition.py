"""Which runtime is it? Pure: from HTTP answers, or from a container's image, command and arguments.

It prefers ``unknown`` to a guess: below :data:`SURE` nothing is named, and two runtimes that are equally
likely are none.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import msgspec

from inferaudit.runtime_registry import HttpSignal, Runtime, VersionSource, runtimes

SURE = 0.6
"""Confidence from which a runtime is named."""
_LEAD = 0.15  # two products closer than this are a tie, hence unknown
MAX_PROBES = 8


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What ``GET path`` answered. Header names in lower case; `body` may be cut."""

    path: str
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""


class Recognition(msgspec.Struct, frozen=True, kw_only=True):
    """The runtime behind an endpoint or in a container.

    `name` is a runtime's name or ``unknown``; `confidence` 0 to 1; `profile` names the file whose knowledge applies
    (the runtime itself, else a generic one, else ``custom``); `engine` is what a wrapper such as NIM hides.
    """

    name: str
    confidence: float
    evidence: list[str]
    version: str | None = None
    engine: str | None = None
    profile: str = "custom"


def recognise(answers: Iterable[HttpAnswer]) -> Recognition:
    """The runtime that gave these answers."""
    by_path = {answer.path: answer for answer in answers}
    found = {name: _http_score(entry, by_path) for name, entry in runtimes().items()}
    chosen = _choose({name: score for name, score in found.items() if score[0] > 0})
    if chosen.name == "unknown":
        return chosen
    return msgspec.structs.replace(chosen, version=_version(runtimes()[chosen.name], by_path))


def next_probe(answers: Sequence[HttpAnswer], budget: int = MAX_PROBES) -> str | None:
    """The path to GET next, or None when the runtime and its version are known or `budget` is spent.

    What would tell most runtimes apart comes first; once one leads, its own routes come first.
    """
    asked = {answer.path for answer in answers}
    if len(asked) >= budget:
        return None
    so_far = recognise(answers)
    if so_far.name != "unknown":
        entry = runtimes()[so_far.name]
        wanted = [source.get for source in entry.recognise.version if so_far.version is None]
        if so_far.confidence < 0.9:
            wanted += [signal.get for signal in entry.recognise.http]
        wanted += _wrapper_routes(so_far.name)
    else:
        uses = Counter(path for entry in runtimes().values() for path in {s.get for s in entry.recognise.http})
        wanted = [path for path, _ in sorted(uses.items(), key=lambda item: (-item[1], item[0]))]
    return next((path for path in wanted if path != "*" and path not in asked), None)


def recognise_container(
    image: str, command: Sequence[str] = (), args: Sequence[str] = (), env: Iterable[str] = ()
) -> Recognition:
    """The runtime in a container, from its image, command line and the names of its environment variables."""
    return _in_container(image, " ".join((*command, *args)), frozenset(env))


@lru_cache(256)  # fifty checks ask the same of the one or two containers that serve
def _in_container(image: str, line: str, names: frozenset[str]) -> Recognition:
    found = {}
    for name, entry in runtimes().items():
        evidence, doubt = [], 1.0
        for pattern in entry.recognise.commands:
            if hit := re.search(pattern, line):
                evidence.append(f"command {hit[0]!r}")
                doubt *= 0.1
                break
        for pattern in entry.recognise.images:
            if re.search(pattern, _repository(image)):
                evidence.append(f"image {_repository(image)!r}")
                doubt *= 0.1
                break
        for pattern in entry.recognise.env:
            if hits := sorted(n for n in names if re.search(pattern, n)):
                evidence.append(f"environment {hits[0]}")
                doubt *= 0.6
                break
        if evidence:
            found[name] = (1 - doubt, evidence)
    chosen = _choose(found)
    if chosen.name == "unknown" or not (version := _tag_version(image)):
        return chosen
    by_image = any(re.search(p, _repository(image)) for p in runtimes()[chosen.name].recognise.images)
    return msgspec.structs.replace(chosen, version=version if by_image else None)


def _choose(found: Mapping[str, tuple[float, list[str]]]) -> Recognition:
    """The best of the scores; a wrapper beats the engine it hides."""
    products = {n: s for n, s in found.items() if not runtimes()[n].generic}
    generic = sorted(((s[0], n) for n, s in found.items() if runtimes()[n].generic), reverse=True)
    profile = generic[0][1] if generic else "custom"
    ranked = sorted(products.items(), key=lambda item: (-item[1][0], item[0]))
    sure = [(name, score) for name, score in ranked if score[0] >= SURE]
    wrapper = next((n for n, _ in sure if any(m in runtimes()[n].recognise.wraps for m, _ in sure if m != n)), None)
    name = wrapper or (sure[0][0] if sure else None)
    if name is None:
        best = ranked[0][1] if ranked else (0.0, [])
        evidence = best[1] or [e for _, n in generic for e in found[n][1]]
        return Recognition(name="unknown", confidence=round(best[0], 3), evidence=evidence, profile=profile)
    wraps = runtimes()[name].recognise.wraps
    rivals = [(n, s) for n, s in sure if n != name and n not in wraps and name not in runtimes()[n].recognise.wraps]
    if rivals and products[name][0] - rivals[0][1][0] < _LEAD:
        both = [*products[name][1], *rivals[0][1][1]]
        return Recognition(name="unknown", confidence=round(products[name][0], 3), evidence=both, profile=profile)
    engine = next((n for n, _ in sure if n in wraps), None)
    evidence = [*products[name][1], *(products[engine][1] if engine else [])]
    confidence = round(products[name][0], 3)
    return Recognition(name=name, confidence=confidence, evidence=evidence, engine=engine, profile=name)


def _http_score(entry: Runtime, by_path: Mapping[str, HttpAnswer]) -> tuple[float, list[str]]:
    doubt, evidence = 1.0, []
    for signal in entry.recognise.http:
        asked = by_path.values() if signal.get == "*" else [a for a in (by_path.get(signal.get),) if a]
        hit = next((answer for answer in asked if _holds(signal, answer)), None)
        if hit is not None:
            doubt *= 1 - signal.weight
            evidence.append(f"GET {hit.path}: {signal.says}")
    return 1 - doubt, evidence


def _holds(signal: HttpSignal, answer: HttpAnswer) -> bool:
    if signal.status is not None and answer.status != signal.status:
        return False
    if signal.status is None and not signal.header and not signal.text and answer.status != 200:
        return False
    if signal.header and not (
        signal.header in answer.headers and re.search(signal.matches, answer.headers[signal.header])
    ):
        return False
    if signal.text and not re.search(signal.text, answer.body):
        return False
    if not signal.json:
        return True
    values = [str(v) for v in json_values(answer.body, signal.json) if v is not None]
    if signal.equals is not None:
        return signal.equals in values
    return any(re.search(signal.matches, v) for v in values) if signal.matches else bool(values)


def _wrapper_routes(engine: str) -> list[str]:
    """The first route of each product that may hide `engine`: NIM answers as vLLM until asked for its own."""
    wrappers = [entry for entry in runtimes().values() if engine in entry.recognise.wraps]
    routes = [next((s.get for s in entry.recognise.http if s.get != "*"), "*") for entry in wrappers]
    return sorted(set(routes) - {"*"})


def _version(entry: Runtime, by_path: Mapping[str, HttpAnswer]) -> str | None:
    for source in entry.recognise.version:
        answer = by_path.get(source.get)
        if answer is not None and (version := _stated(source, answer)):
            return version[:64]
    return None


def _stated(source: VersionSource, answer: HttpAnswer) -> str | None:
    if source.json:
        values = [v for v in json_values(answer.body, source.json) if isinstance(v, str) and v]
        text = values[0] if values else ""
    else:
        text = answer.headers.get(source.header, "") if source.header else answer.body
    if not source.pattern:
        return text or None
    hit = re.search(source.pattern, text)
    return hit[1] if hit else None


def json_values(text: str, path: str) -> list[Any]:
    """The values at a dotted `path` in a JSON text (``*`` steps into every item); [] where there are none."""
    try:
        values = [json.loads(text)]
    except (ValueError, RecursionError):
        return []
    for step in path.split(".") if path != "$" else []:
        values = [inner for value in values for inner in _step(value, step)]
    return values


def _step(value: Any, step: str) -> list[Any]:
    if step == "*":
        return list(value) if isinstance(value, list) else []
    return [value[step]] if isinstance(value, dict) and step in value else []


def _repository(image: str) -> str:
    """An image reference without tag and digest."""
    name = image.partition("@")[0]
    head, slash, tail = name.rpartition("/")
    return head + slash + tail.partition(":")[0]


def _tag_version(image: str) -> str | None:
    """The version in an image's tag (``v0.11.0``, ``24.08-py3``), None for ``latest`` and the like."""
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    hit = re.match(r"v?(\d+(?:\.\d+)+(?:[.-]?(?:rc|post|dev|a|b)\d+)?)", tag)
    return hit[1] if hit else None
