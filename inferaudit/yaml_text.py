"""YAML as plain data, by libyaml where it is there: ten times as fast as the loader in Python, which takes a third of
the time that the catalogue takes to load. Imported where YAML is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from inferaudit.errors import CatalogError

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(text: str) -> Any:
    """The one document in `text`, safely: no tag makes an object. ``yaml.YAMLError`` for what is none."""
    return yaml.load(text, Loader=_LOADER)  # noqa: S506  # a safe loader either way


def file_text(path: Path) -> str:
    """The text of a check or checklist; :class:`CatalogError` for what cannot be read or is no text."""
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CatalogError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise CatalogError(f"{path}: {error.strerror}") from error


def yaml_fault(origin: str, error: yaml.YAMLError) -> str:
    """One line of what is wrong with the YAML of `origin`, and where."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return f"{origin}: not valid YAML: {str(error).splitlines()[0]}"
    said = ", ".join(part for part in (error.context, error.problem) if part)
    return f"{origin}:{error.problem_mark.line + 1}: not valid YAML: {said}"


def place(origin: str, text: str, word: str) -> str:
    """`origin`, with the line on which `word` is a key or a value of `text` where it is one."""
    line = line_of_word(text, word)
    return origin if line is None else f"{origin}:{line}"


def line_of_word(text: str, word: str) -> int | None:
    """The 1-based line on which `word` is a key or a value of the YAML `text`; None where it is not."""
    try:
        nodes = [yaml.compose(text, yaml.SafeLoader)]
    except (ValueError, yaml.YAMLError, RecursionError):
        return None
    seen: set[int] = set()
    while nodes:
        node = nodes.pop(0)
        if isinstance(node, yaml.ScalarNode) and node.value == word:
            return int(node.start_mark.line) + 1
        if isinstance(node, yaml.CollectionNode) and id(node) not in seen:
            seen.add(id(node))
            pairs = isinstance(node, yaml.MappingNode)
            nodes[:0] = [n for pair in node.value for n in pair] if pairs else node.value
    return None
