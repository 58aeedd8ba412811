"""Checks written as data: YAML with CEL expressions, one file a check.

``for_each`` (or ``fact``) is the need; ``where`` keeps, ``assert`` judges, ``message`` says what is wrong and may hold
``${expression}``. Expressions see ``object``, ``params`` and ``facts`` (the further ``needs``). They compile when the
catalogue loads; an error while evaluating is ``unknown``, never ``fail``. CEL: https://cel.dev
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import msgspec
import yaml

from inferaudit.api import Judgement, failed, passed, unknown
from inferaudit.errors import CatalogError
from inferaudit.facts import fact_specs
from inferaudit.kube.quantity import parse_quantity
from inferaudit.model import Check, Evidence, Param, Phase, Severity, Snapshot
from inferaudit.subjects import object_subject
from inferaudit.units import parse_duration_s
from inferaudit.yaml_text import read_yaml, yaml_fault

# Never defined: calling it is the error that an empty all() must be.
_EMPTY_ALL = "nothing_to_quantify_over"
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
        raise CatalogError(f"{origin}: {error}") from error
    if bool(spec.for_each) == bool(spec.fact):
        raise CatalogError(f"{origin}: give exactly one of for_each and fact")
    fact = fact_specs().get(spec.for_each)
    if fact and isinstance(fact.type, type) and not issubclass(fact.type, list):
        raise CatalogError(f"{origin}: for_each: {spec.for_each} is one thing and no list: write `fact:` instead")
    judge = _Judge(spec, origin)
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

    def __init__(self, spec: _CheckFile, origin: str) -> None:
        self.spec = spec
        self.where = _compile(spec.where, f"{origin}: where")
        self.asserted = _compile(spec.assert_, f"{origin}: assert")
        self.subject = _compile(spec.subject, f"{origin}: subject") if spec.subject else None
        self.observe = _compile(spec.observe, f"{origin}: observe") if spec.observe else None
        self.key = _compile(spec.key, f"{origin}: key") if spec.key else None
        self.fails = _Template(spec.message, f"{origin}: message")
        self.passes = _Template(spec.passes or spec.title, f"{origin}: passes")

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
        return Evidence(path, observed, self.asserted.source)


class _Template:
    def __init__(self, text: str, origin: str) -> None:
        self.parts = [
            _compile(part, origin) if i % 2 else part for i, part in enumerate(_PLACEHOLDER.split(text.strip()))
        ]

    def __call__(self, scope: Mapping[str, Any]) -> str:
        return "".join(part if isinstance(part, str) else _spoken(part(scope)) for part in self.parts)


def _spoken(value: Any) -> str:
    """A value in a message; CEL's maps come in no order, so they are sorted."""
    return value if isinstance(value, str) else msgspec.json.encode(value, order="deterministic").decode()


def _compile(written: str | bool, origin: str) -> _Expression:
    # Its command line comes with the package and takes a tenth of a second of every run; nothing here calls it.
    sys.modules.setdefault("cel.cli", ModuleType("cel.cli"))
    import cel  # only when a YAML check is loaded

    source = written if isinstance(written, str) else str(written).lower()
    try:
        return _Expression(source, cel.compile(guard_all(source)))
    except ValueError as error:
        raise CatalogError(f"{origin}: {str(error).splitlines()[0]}") from error


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
