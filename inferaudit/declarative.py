"""Checks written as data: YAML with CEL expressions, one file a check.

``for_each`` (or ``fact``) is the need; ``where`` keeps, ``assert`` judges, ``message`` says what is wrong and may hold
``${expression}``. Expressions see ``object``, ``params`` and ``facts`` (the further ``needs``). They compile when the
catalogue loads, and a name that nothing defines is a fault of the file; an error while evaluating is ``unknown``, never
``fail``. CEL: https://cel.dev
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, get_args

import msgspec
import yaml

from inferaudit.api import Judgement, failed, passed, unknown
from inferaudit.cel_names import Names, name_fault
from inferaudit.errors import CatalogError
from inferaudit.facts import fact_specs
from inferaudit.kube.quantity import parse_quantity
from inferaudit.model import Check, Evidence, Param, Phase, Severity, Snapshot
from inferaudit.subjects import object_subject
from inferaudit.units import parse_duration_s
from inferaudit.yaml_text import place, read_yaml, yaml_fault

# Never defined: calling it is the error that an empty all() must be.
_EMPTY_ALL = "nothing_to_quantify_over"
# The field that msgspec names: where in the file, or which one it does not know.
_FIELD = re.compile(r"(?:`\$\.|unknown field `)([^`.\[]+)")
_PLACEHOLDER = re.compile(r"\$\{([^}]+)\}")


class _CheckFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    title: str
    severity: Severity
    assert_: str | bool = msgspec.field(name="assert")
    message: str
    rationale: str
    remediation: str
    for_each: str = ""
    fact: str = ""
    where: str | bool = True
    passes: str = ""
    subject: str = ""
    observe: str = ""
    key: str = ""
    needs: list[str] = []
    phase: Phase = Phase.BEFORE
    active: bool = False
    enabled: bool = True
    references: list[str] = []
    tags: list[str] = []
    params: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class _Expression:
    source: str
    program: Any

    def __call__(self, scope: Mapping[str, Any]) -> Any:
        return self.program.execute({**scope, **_functions()})


def load_yaml_check(text: str, origin: str) -> Check:
    """The check in `text`; :class:`CatalogError` names `origin` and what is wrong."""
    try:
        spec = msgspec.convert(read_yaml(text), _CheckFile)
    except yaml.YAMLError as error:
        raise CatalogError(yaml_fault(origin, error)) from error
    except msgspec.ValidationError as error:
        field = _FIELD.search(str(error))
        raise CatalogError(f"{place(origin, text, field[1]) if field else origin}: {error}") from error
    if bool(spec.for_each) == bool(spec.fact):
        raise CatalogError(f"{origin}: give exactly one of for_each and fact")
    fact = fact_specs().get(spec.for_each)
    if fact and isinstance(fact.type, type) and not issubclass(fact.type, list):
        at = place(origin, text, "for_each")
        raise CatalogError(f"{at}: for_each: {spec.for_each} is one thing and no list: write `fact:` instead")
    judge = _Judge(spec, origin, text)
    return Check(
        id="",
        title=spec.title,
        group="",
        severity=spec.severity,
        needs=(spec.for_each or spec.fact, *spec.needs),
        rationale=spec.rationale.strip(),
        remediation=spec.remediation.strip(),
        judge=judge,
        phase=spec.phase,
        active=spec.active,
        references=tuple(spec.references),
        tags=tuple(spec.tags),
        params=tuple(Param(name, type(default).__name__, default) for name, default in spec.params.items()),
        enabled=spec.enabled,
        origin=origin,
    )


class _Judge:
    """The judge of one YAML check; a class because it holds compiled expressions."""

    def __init__(self, spec: _CheckFile, origin: str, text: str) -> None:
        def expression(written: str | bool, field: str) -> _Expression:
            return _compile(written, spec, lambda: f"{place(origin, text, field)}: {field}")

        self.spec = spec
        self.where = expression(spec.where, "where")
        self.asserted = expression(spec.assert_, "assert")
        self.subject = expression(spec.subject, "subject") if spec.subject else None
        self.observe = expression(spec.observe, "observe") if spec.observe else None
        self.key = expression(spec.key, "key") if spec.key else None
        self.fails = _Template(spec.message, lambda part: expression(part, "message"))
        self.passes = _Template(spec.passes or spec.title, lambda part: expression(part, "passes"))

    def __call__(self, snapshot: Snapshot, **params: Any) -> Iterator[Judgement]:
        value = snapshot.fact(self.spec.for_each or self.spec.fact)
        facts = {name: msgspec.to_builtins(snapshot.fact(name)) for name in self.spec.needs}
        for item in value if self.spec.for_each else [value]:
            scope = {"object": msgspec.to_builtins(item), "params": {**self.spec.params, **params}, "facts": facts}
            yield from self._judge(scope)

    def _judge(self, scope: dict[str, Any]) -> Iterator[Judgement]:
        subject = None
        key = ""
        try:
            if self.where(scope) is not True:
                return
            subject = self._subject(scope)
            key = str(self.key(scope)) if self.key else ""
            verdict = self.asserted(scope)
            if not isinstance(verdict, bool):
                yield unknown(subject, f"`{self.asserted.source}` gave {verdict!r}, not true or false", key=key)
                return
            seen = self._evidence(scope)
            yield (passed if verdict else failed)(
                subject, (self.passes if verdict else self.fails)(scope), seen, key=key
            )
        except Exception as error:  # whatever an expression raises is an answer: it cannot be told
            said = f"there is no {error.args[0]!r}" if isinstance(error, KeyError) and error.args else str(error)
            why = "an empty list proves nothing" if _EMPTY_ALL in said else f"cannot be told: {said}"
            yield unknown(subject, f"`{self.asserted.source}`: {why}", key=key)

    def _subject(self, scope: dict[str, Any]) -> str | None:
        if self.subject:
            return str(self.subject(scope))
        item = scope["object"]
        if not isinstance(item, dict):
            return None
        return item.get("subject") or (object_subject(item) if "metadata" in item else None)

    def _evidence(self, scope: dict[str, Any]) -> Evidence:
        path = (self.observe or self.asserted).source.removeprefix("object.")
        try:
            observed = self.observe(scope) if self.observe else self.asserted(scope)
        except (KeyError, ValueError, RuntimeError, TypeError):
            observed = None  # the field the check asks for is not there: that is the evidence
        return Evidence(path, observed, self.asserted.source if self.observe else True)


class _Template:
    def __init__(self, text: str, expression: Callable[[str], _Expression]) -> None:
        self.parts = [expression(part) if i % 2 else part for i, part in enumerate(_PLACEHOLDER.split(text.strip()))]

    def __call__(self, scope: Mapping[str, Any]) -> str:
        return "".join(part if isinstance(part, str) else _said(part, scope) for part in self.parts)


def _said(part: _Expression, scope: Mapping[str, Any]) -> str:
    try:
        return _spoken(part(scope))
    except KeyError:  # what is not there is often the very fault: the verdict stands, whatever its words
        return "none"


def _spoken(value: Any) -> str:
    """A value in a message; CEL's maps come in no order, so they are sorted."""
    return value if isinstance(value, str) else msgspec.json.encode(value, order="deterministic").decode()


def _compile(written: str | bool, spec: _CheckFile, at: Callable[[], str]) -> _Expression:
    """The expression of a field; :class:`CatalogError` says `at` which place it does not parse or names what is not."""
    # Its command line comes with the package and takes a tenth of a second of every run; nothing here calls it.
    sys.modules.setdefault("cel.cli", ModuleType("cel.cli"))
    import cel  # only when a YAML check is loaded

    source = written if isinstance(written, str) else str(written).lower()
    try:
        program = cel.compile(guard_all(source))
    except ValueError as error:
        raise CatalogError(f"{at()}: {str(error).splitlines()[0]}") from error
    names = Names((*_functions(), _EMPTY_ALL), spec.params, spec.needs, _fields(spec))
    if fault := name_fault(source, program, names):
        raise CatalogError(f"{at()}: {fault}")
    return _Expression(source, program)


def _fields(spec: _CheckFile) -> Sequence[str] | None:
    """The fields of what `object` is, where we declare them all; None for objects as the API has them."""
    fact = fact_specs().get(spec.for_each or spec.fact)
    kind = fact and (next(iter(get_args(fact.type)), None) if spec.for_each else fact.type)
    return kind.__struct_encode_fields__ if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else None


def guard_all(source: str) -> str:
    """Rewrite each ``X.all(v, p)`` so that an empty X is an error and not true; X may use bound variables."""
    out = source
    position = 0
    while (found := out.find(".all(", position)) >= 0:
        start = _receiver_start(out, found)
        end = _closing(out, found + len(".all(") - 1) + 1
        receiver, call = out[start:found], out[start:end]
        guarded = f"(size({receiver}) > 0 ? {call} : {_EMPTY_ALL}())"
        out = out[:start] + guarded + out[end:]
        position = start + guarded.index(call) + len(receiver) + len(".all(")
    return out


def _receiver_start(text: str, end: int) -> int:
    """Where the operand that ends at `end` begins: identifiers, dots and balanced brackets, read backwards."""
    i = end
    while i > 0:
        char = text[i - 1]
        if char in ")]":
            depth, i = 1, i - 1
            while i > 0 and depth:
                i -= 1
                depth += (text[i] in ")]") - (text[i] in "([")
        elif char.isalnum() or char in "_.":
            i -= 1
        else:
            break
    return i


def _closing(text: str, opening: int) -> int:
    """The index of the bracket that closes the one at `opening`, strings skipped; the end when there is none."""
    depth, quote = 0, ""
    for i in range(opening, len(text)):
        char = text[i]
        if quote:
            quote = "" if char == quote and text[i - 1] != "\\" else quote
        elif char in "'\"":
            quote = char
        else:
            depth += (char in "([{") - (char in ")]}")
            if not depth:
                return i
    return len(text) - 1


def _functions() -> dict[str, Any]:
    return {"quantity": _quantity, "seconds": parse_duration_s}


def _quantity(text: Any) -> float:
    """A Kubernetes quantity (``8Gi``, ``500m``) as a number; not a quantity is an error, so the check says unknown."""
    value = parse_quantity(text)
    if value is None:
        raise ValueError(f"{text!r} is not a quantity")
    return float(value)
