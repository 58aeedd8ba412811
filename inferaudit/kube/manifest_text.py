"""Manifests as text: YAML streams, JSON, ``List`` objects. Every object comes with the line that it starts on.

Hostile input is bounded: size, depth, and what aliases would expand to.
"""

from __future__ import annotations

import contextlib
import gc
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from inferaudit.errors import UsageError

Object = dict[str, Any]
MAX_BYTES = 1 << 30
_MAX_NODES = 20_000_000  # of one document, aliases expanded: a List of 100 000 pods has about 15 million
_ALIAS_FACTOR = 50  # how much more than it holds a document may expand to


class NoManifest(UsageError):  # noqa: N818  # a folder passes such files over; only a file named by the user is an error
    """A file that holds no Kubernetes object."""


@dataclass(frozen=True, slots=True)
class Located:
    """An object and where it stands: ``file:line``."""

    object: Object
    source: str


class _Loader(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc]
    """YAML as the API server's decoder reads it: dates are text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_manifests(text: str, name: str) -> list[Located]:
    """All objects of a text called `name`. :class:`UsageError` names file and line of what is wrong with it."""
    if len(text) > MAX_BYTES:
        raise UsageError(f"{name}: larger than {MAX_BYTES >> 20} MiB")
    start = text.lstrip("\ufeff \t\r\n")
    if start.startswith("<"):
        raise NoManifest(f"{name}: no Kubernetes manifest; it looks like HTML or XML")
    with _no_collection():
        documents = _json_documents(text, name) if start.startswith(("{", "[")) else None
        if documents is None:
            documents = list(_yaml_documents(text, name))
    found = [located for value, line in documents for located in _objects(value, line, name)]
    if not found:
        raise NoManifest(f"{name}: no Kubernetes manifest; nothing in it has apiVersion and kind")
    return found


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Without the cycle collector: millions of new nodes, none of them garbage, would have it run five times as long
    as the parser itself."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _objects(value: Any, line: int, name: str) -> Iterator[Located]:
    """The objects of one document. Documents without apiVersion and kind are no objects (Helm values, comments)."""
    if isinstance(value, tuple):  # an expanded List
        for item, item_line in value:
            yield from _objects(item, item_line, name)
    elif _is_list(value):  # a List within a List
        for item, _ in _with_kinds(value, [line] * len(value["items"])):
            yield from _objects(item, line, name)
    elif isinstance(value, dict) and value.get("kind") and value.get("apiVersion"):
        if not isinstance(value["kind"], str) or not isinstance(value["apiVersion"], str):
            raise UsageError(f"{name}:{line}: apiVersion and kind must be text")
        metadata = value.get("metadata")
        if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), (str, type(None))):
            if value["kind"] in ("Kustomization", "Component"):
                return
            raise UsageError(f"{name}:{line}: {value['kind']} has no metadata")
        yield Located(value, f"{name}:{line}")


def _is_list(value: Any) -> bool:
    return (
        isinstance(value, dict) and str(value.get("kind", "")).endswith("List") and isinstance(value.get("items"), list)
    )


def _json_documents(text: str, name: str) -> list[tuple[Any, int]] | None:
    """JSON documents, one or several in a row; None for text that is not JSON (YAML flow style starts alike)."""
    decoder, documents = json.JSONDecoder(), []
    at = _skip(text, 0)
    try:
        while at < len(text):
            value, end = decoder.raw_decode(text, at)
            line = text.count("\n", 0, at) + 1
            if _is_list(value):
                lines = _item_lines(text, at, len(value["items"]), line)
                documents.append((_with_kinds(value, lines), line))
            else:
                documents.append((value, line))
            at = _skip(text, end)
    except json.JSONDecodeError:
        return None
    except RecursionError:
        raise UsageError(f"{name}: nested too deeply") from None
    return documents


def _item_lines(text: str, at: int, count: int, line: int) -> list[int]:
    """The lines on which a List's items start; the List's own where they cannot be told."""
    found = re.compile(r'"items"\s*:\s*\[').search(text, at)
    if found is None or not count:
        return [line] * count
    decoder, lines, position = json.JSONDecoder(), [], _skip(text, found.end())
    counted, here = found.end(), line + text.count("\n", at, found.end())
    try:
        for _ in range(count):
            here += text.count("\n", counted, position)
            counted = position
            lines.append(here)
            _, end = decoder.raw_decode(text, position)
            position = _skip(text, end, ",")
    except json.JSONDecodeError:
        return [line] * count
    return lines


def _skip(text: str, at: int, also: str = "") -> int:
    while at < len(text) and text[at] in "\ufeff \t\r\n" + also:
        at += 1
    return at


def _with_kinds(value: Mapping[str, Any], lines: list[int]) -> tuple[tuple[Any, int], ...]:
    """Items with their lines. ``PodList`` items carry no kind of their own: the list's is theirs."""
    kind, version = str(value["kind"]).removesuffix("List"), value.get("apiVersion")
    items = []
    for item, line in zip(value["items"], lines, strict=True):
        given = {"apiVersion": version, "kind": kind, **item} if isinstance(item, dict) and kind else item
        items.append((given, line))
    return tuple(items)


def _yaml_documents(text: str, name: str) -> Iterator[tuple[Any, int]]:
    try:
        loader = _Loader(text)
    except yaml.YAMLError as error:
        raise _yaml_error(error, name, text) from None
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                continue
            _bound(node, name)
            value = _plain(loader.construct_document(node))
            line = node.start_mark.line + 1
            if _is_list(value):
                yield _with_kinds(value, _yaml_item_lines(node, len(value["items"]))), line
            else:
                yield value, line
    except yaml.YAMLError as error:
        raise _yaml_error(error, name, text) from None
    except RecursionError:
        raise UsageError(f"{name}: nested too deeply") from None
    except (ValueError, OverflowError) as error:  # such as !!int of text, or a date out of range
        raise UsageError(f"{name}: {error}") from None
    finally:
        loader.dispose()


def _yaml_item_lines(node: Any, count: int) -> list[int]:
    for key, value in node.value:
        if key.value == "items" and len(value.value) == count:
            return [item.start_mark.line + 1 for item in value.value]
    return [node.start_mark.line + 1] * count


def _yaml_error(error: yaml.YAMLError, name: str, text: str) -> UsageError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = str(getattr(error, "problem", None) or error).splitlines()[0]
    line = mark.line + 1 if mark is not None else 1
    hint = "; it looks like a Helm template, render it with `helm template` first" if "{{" in text else ""
    return UsageError(f"{name}:{line}: not valid YAML: {problem}{hint}")


def _bound(root: Any, name: str) -> None:
    """Refuse a document whose aliases are recursive or expand to far more than was written."""
    sizes: dict[int, int] = {}
    stack: list[tuple[Any, bool]] = [(root, False)]
    open_: set[int] = set()
    while stack:
        node, done = stack.pop()
        children = (
            [c for pair in node.value for c in pair]
            if isinstance(node, yaml.MappingNode)
            else (node.value if isinstance(node, yaml.SequenceNode) else [])
        )
        if done:
            sizes[id(node)] = 1 + sum(sizes[id(child)] for child in children)
            open_.discard(id(node))
            continue
        if id(node) in sizes:
            continue
        if id(node) in open_:
            raise UsageError(f"{name}:{node.start_mark.line + 1}: an alias contains itself")
        open_.add(id(node))
        stack.append((node, True))
        for child in children:
            if id(child) in open_:
                raise UsageError(f"{name}:{child.start_mark.line + 1}: an alias contains itself")
            if id(child) not in sizes:
                stack.append((child, False))
    total = sizes[id(root)]
    if total > _MAX_NODES or (total > 100_000 and total > _ALIAS_FACTOR * len(sizes)):
        raise UsageError(f"{name}:{root.start_mark.line + 1}: its aliases expand to {total} values")


def _plain(value: Any) -> Any:
    """YAML's values as JSON has them: keys are text, and so is what JSON lacks (binary, sets, infinities)."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else _text(key): _plain(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_plain(child) for child in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float) and value == value and abs(value) != float("inf"):
        return value
    return _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
