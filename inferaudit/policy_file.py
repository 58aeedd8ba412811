"""YAML files that people write, read into a pydantic model: every fault is one line with file, line and field."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from inferaudit.errors import PolicyError
from inferaudit.yaml_text import line_of_word

_MAX_BYTES = 1 << 20
_MOST_FAULTS = 10  # told at once: a template that nobody filled in has dozens
_LONGEST_INPUT = 40
_MOST_VALUES = 100_000  # with every alias written out: a file of some lines can stand for more than memory holds
_WORDS = {
    "model_type": "a mapping is wanted, for example {key: value}",
    "dict_type": "a mapping is wanted, for example {key: value}",
    "tuple_type": "a list is wanted, for example [a, b]",
    "list_type": "a list is wanted, for example [a, b]",
    "string_type": "text is wanted, in quotes where YAML would read something else",
    "string_too_short": "empty: write what is meant, or delete the entry",
    "too_short": "empty: write what is meant, or delete the entry",
    "int_parsing": "a whole number is wanted",
    "int_from_float": "a whole number is wanted",
    "int_type": "a whole number is wanted",
    "float_parsing": "a number is wanted",
    "float_type": "a number is wanted",
    "finite_number": "a number is wanted",
}

Location = tuple[int | str, ...]
Model = TypeVar("Model", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """A day that the calendar does not have stays text, so that the field it stands in is named."""

    def construct_yaml_timestamp(self, node: Any) -> Any:
        try:
            return super().construct_yaml_timestamp(node)
        except ValueError:
            return node.value


_Loader.add_constructor("tag:yaml.org,2002:timestamp", _Loader.construct_yaml_timestamp)


def read_model(path: Path, model: type[Model], what: str, advice: str = "") -> Model:
    """`path` as `model`; :class:`PolicyError` has a line for each fault, at most ten. `what` names the kind of file."""
    text = _text(path, what, advice)
    try:
        root = yaml.compose(text, yaml.SafeLoader)
        data = yaml.load(text, _Loader)  # noqa: S506  # a safe loader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise PolicyError(f"{path}:{line}: not valid YAML: {said}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise PolicyError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from error
    if data is None:
        return model()
    if not isinstance(data, dict):
        raise PolicyError(f"{path}:1: a {what} is a mapping of keys such as {', '.join(list(model.model_fields)[:3])}")
    if _size(root, {}) > _MOST_VALUES:
        raise PolicyError(f"{path}: its aliases make more than {_MOST_VALUES:,} values, or one holds itself")
    faults = list(_twice(root, "", set()))
    try:
        read = model.model_validate(data)
    except ValidationError as error:
        faults += _faults(root, error, model)
    if faults:
        told = [f"{path}:{line}: {said}" for line, said in sorted(dict.fromkeys(faults), key=lambda fault: fault[0])]
        more = [f"and {len(told) - _MOST_FAULTS} more"] if len(told) > _MOST_FAULTS else []
        raise PolicyError("\n".join([*told[:_MOST_FAULTS], *more]))
    return read


def worded(problem: Any) -> str:
    """What one of pydantic's errors says, in words for those who never heard of Python's types."""
    return _WORDS.get(problem["type"]) or str(problem["msg"]).removeprefix("Value error, ")


def line_of(path: Path, word: str) -> int | None:
    """The 1-based line on which `word` is a key or a value of the file; None where it is not or cannot be read."""
    try:
        return line_of_word(path.read_text("utf-8"), word)
    except (OSError, ValueError):
        return None


def _text(path: Path, what: str, advice: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise PolicyError(f"{path}: {error.strerror}{advice}") from error
    if len(content) > _MAX_BYTES:
        raise PolicyError(f"{path}: larger than 1 MiB; this is not a {what}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PolicyError(f"{path}: not UTF-8 text (byte {error.start})") from error


def _size(node: yaml.Node | None, known: dict[int, float]) -> float:
    """How many values `node` is with its aliases written out; endless where one holds itself."""
    if not isinstance(node, yaml.CollectionNode):
        return 1
    if id(node) not in known:
        known[id(node)] = float("inf")  # until it is counted: whoever meets it below itself is endless
        pairs = isinstance(node, yaml.MappingNode)
        inner = [each for pair in node.value for each in pair] if pairs else node.value
        known[id(node)] = 1 + sum(_size(each, known) for each in inner)
    return known[id(node)]


def _twice(node: yaml.Node | None, above: str, seen: set[int]) -> Iterator[tuple[int, str]]:
    """Keys that stand twice in one mapping: YAML takes the last and says nothing, so half a policy would be gone."""
    if not isinstance(node, yaml.CollectionNode) or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _twice(item, f"{above}{number}.", seen)
        return
    first: dict[str, int] = {}
    for key, value in node.value:
        name, line = str(key.value), key.start_mark.line + 1
        if name in first and name != "<<":
            yield line, f"{above}{name}: stands twice, first on line {first[name]}"
        first.setdefault(name, line)
        yield from _twice(value, f"{above}{name}.", seen)


def _faults(root: yaml.Node | None, error: ValidationError, model: type[BaseModel]) -> Iterator[tuple[int, str]]:
    """Line and words of each fault; the branches of a union, which pydantic tells one by one, are one fault."""
    said: dict[Location, list[str]] = {}
    for problem in error.errors():
        location = tuple(problem["loc"])
        if problem["type"] != "missing":
            location = _written(root, location)
        inner = problem.get("ctx", {}).get("faults")
        for part, message in inner.items() if inner else [(None, _message(problem, location, model))]:
            said.setdefault((*location, part) if part is not None else location, []).append(message)
    for location, messages in said.items():
        field = ".".join(str(part) for part in location)
        yield _line(root, location), f"{field}: {'; or '.join(dict.fromkeys(messages))}"


def _message(problem: Any, location: Location, model: type[BaseModel]) -> str:
    kind, given = problem["type"], problem["input"]
    if kind == "extra_forbidden":
        return f"unknown key{_nearest(location, model)}"
    message = worded(problem)
    if kind in ("missing", "string_too_short", "value_error") or isinstance(given, (dict, list, tuple)):
        return message
    shown = repr(given)
    return f"{message}, not {shown[:_LONGEST_INPUT]}{'…' * (len(shown) > _LONGEST_INPUT)}"


def _nearest(location: Location, model: type[BaseModel]) -> str:
    section: Any = model
    for part in location[:-1]:
        if isinstance(part, str) and part in section.model_fields:
            annotation = section.model_fields[part].annotation
            candidates = [annotation, *getattr(annotation, "__args__", ())]
            section = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), section)
    near = difflib.get_close_matches(str(location[-1]), list(section.model_fields), n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(section.model_fields)}"


def _child(node: yaml.Node | None, part: int | str) -> tuple[int, yaml.Node] | None:
    """The 1-based line and the node of what is called `part` in `node`."""
    if isinstance(node, yaml.MappingNode):
        found = [(key.start_mark.line + 1, value) for key, value in node.value if key.value == str(part)]
        return found[-1] if found else None
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        child: yaml.Node = node.value[part]
        return child.start_mark.line + 1, child
    return None


def _written(root: yaml.Node | None, location: Location) -> Location:
    """The part of `location` that the file has; pydantic adds the branch of a union to it."""
    node = root
    for depth, part in enumerate(location):
        found = _child(node, part)
        if found is None:
            return location[:depth] if depth else location
        node = found[1]
    return location


def _line(node: yaml.Node | None, location: Location) -> int:
    """The 1-based line of the deepest node on the way to `location`."""
    line = node.start_mark.line + 1 if node else 1
    for part in location:
        found = _child(node, part)
        if found is None:
            break
        line, node = found
    return line
