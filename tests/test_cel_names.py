"""Names in CEL expressions: what the library defines is known, what nothing defines is told with the nearest name."""

from __future__ import annotations

from typing import Any

import cel
import pytest

from inferaudit.cel_names import FUNCTIONS, TYPES, Names, name_fault

TIME = 'timestamp("2026-01-01T00:00:00Z")'
CALLS = {
    "size": 'size("a")',
    "int": 'int("1")',
    "uint": 'uint("1")',
    "double": 'double("1")',
    "string": "string(1)",
    "bytes": 'bytes("a")',
    "type": "type(1)",
    "dyn": "dyn(1)",
    "timestamp": TIME,
    "duration": 'duration("1s")',
    "contains": '"a".contains("a")',
    "startsWith": '"a".startsWith("a")',
    "endsWith": '"a".endsWith("a")',
    "matches": '"a".matches("a")',
    "of": "optional.of(1)",
    "none": "optional.none()",
    "ofNonZeroValue": "optional.ofNonZeroValue(1)",
    "hasValue": "optional.of(1).hasValue()",
    "value": "optional.of(1).value()",
    "or": "optional.of(1).or(optional.none())",
    "orValue": "optional.of(1).orValue(2)",
}


def fault(source: str, **known: Any) -> str:
    lent = {"functions": ("quantity",), "params": ("wanted",), "facts": ("workload",)} | known
    return name_fault(source, cel.compile(source), Names(**lent))


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_function_that_is_known_is_one_of_the_librarys(name: str) -> None:
    source = CALLS.get(name, f"{TIME}.{name}()")
    cel.compile(source).execute({})
    assert fault(source) == ""


def test_every_type_that_is_known_is_one_of_the_librarys() -> None:
    for name in TYPES - {"optional"}:
        assert cel.compile(f"type({name}) == type").execute({})


@pytest.mark.parametrize(
    "source",
    [
        "object.a.all(c, c.b.exists(d, d == c)) && facts['workload'].x",
        "object.a.map( c ,\n c.x).filter(e, e > params.wanted).size() == 1",
        'object.a == "params.nope" || object.params.nope || object.spec.\n  params.nope',
        "object.a.exists(params, params.nope)",
        "facts[object.name] == type(int) && 'x' in object.y && -object.z < 1 && !has(object.q)",
        "quantity(object.a) > 1.5 ? object.b[0] : {'k': [1, 2]}.k",
    ],
)
def test_what_is_defined_or_cannot_be_told_is_no_fault(source: str) -> None:
    assert fault(source) == ""


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("objct.a", "no variable is called 'objct' (did you mean object?); an expression sees object, params, facts"),
        ("object.pods.all(pod, pdo.ready)", "no variable is called 'pdo' (did you mean pod?); an expression sees"),
        ("quantiy(object.a) > 1", "no function is called 'quantiy' (did you mean quantity"),
        ("object.a.lowerAscii() == 'x'", "no function is called 'lowerAscii'"),
        (
            "object.a < params.wnted",
            "params has no 'wnted' (did you mean wanted?); it has wanted",
        ),
        ('facts["worklod"].x', "facts has no 'worklod' (did you mean workload?); the file's `needs` names workload"),
    ],
)
def test_what_nothing_defines_is_told_with_the_nearest_name(source: str, said: str) -> None:
    assert fault(source).startswith(said)


def test_what_declares_nothing_says_so_and_what_is_open_has_every_field() -> None:
    assert fault("params.x", params=()) == "params has no 'x'; it has none"
    assert fault("object.size() > 0 && has(object.kind)", fields=("kind", "name")) == ""
    assert (
        fault("has(object.knd)", fields=("kind", "name"))
        == "object has no 'knd' (did you mean kind?); it has kind, name"
    )
