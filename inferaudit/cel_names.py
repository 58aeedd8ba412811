"""Names in a CEL expression that nothing defines: told when the file is read, not as `unknown` of every object.

The library lists the variables and functions of a compiled expression, the variables of macros among them; which those
are, and which keys of `params` and `facts` are asked for, is read in the source. What cannot be told for sure (a field
of what the API has and we do not declare, a key that is computed) is left to the evaluation.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from inferaudit.near_words import suggest

VARIABLES = ("object", "params", "facts")
# The language definition's functions that the library has (https://cel.dev; `tests/test_cel_names.py` calls each).
FUNCTIONS = frozenset(
    {
        *("size", "int", "uint", "double", "string", "bytes", "type", "dyn", "timestamp", "duration"),
        *("contains", "startsWith", "endsWith", "matches"),
        *("getFullYear", "getMonth", "getDayOfYear", "getDayOfMonth", "getDate", "getDayOfWeek"),
        *("getHours", "getMinutes", "getSeconds", "getMilliseconds"),
        *("of", "none", "ofNonZeroValue", "hasValue", "value", "or", "orValue"),
    }
)
TYPES = frozenset({"int", "uint", "double", "string", "bytes", "bool", "list", "map", "null_type", "type", "optional"})
_BOUND = re.compile(r"\.\s*(?:all|exists|exists_one|existsOne|map|filter)\s*\(\s*([A-Za-z_]\w*)\s*,")
_STRING = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"")
_DOT = re.compile(r"\s*\.\s*")
_FIELD = re.compile(r"(?<![\w.])(object|params)\.([A-Za-z_]\w*)\b(?!\s*\()")  # a method's name is no field
_FACT = re.compile(r"(?<![\w.])facts\s*\[\s*(?:'([^'\\]*)'|\"([^\"\\]*)\")\s*\]")


@dataclass(frozen=True, slots=True)
class Names:
    """What an expression may use: `functions` that are lent to it, and the keys of its three variables.

    `fields` are those of `object`; None where its type is not closed, as that of an object of the API.
    """

    functions: Collection[str] = ()
    params: Collection[str] = ()
    facts: Collection[str] = ()
    fields: Collection[str] | None = None


def name_fault(source: str, program: Any, names: Names) -> str:
    """What is wrong with the first name of the compiled `source` that nothing defines, or nothing."""
    return next(_faults(source, program, names), "")


def _faults(source: str, program: Any, names: Names) -> Iterator[str]:
    bound = set(_BOUND.findall(source))
    known = {*VARIABLES, *TYPES, *bound}
    functions = {*FUNCTIONS, *names.functions}
    for name in program.variables():
        if name.lstrip(".") not in known:
            near = suggest(name, {*VARIABLES, *bound})
            yield f"no variable is called {name!r}{near}; an expression sees {', '.join(VARIABLES)}"
    for name in program.functions():
        if name.isidentifier() and not name.startswith("_") and name not in functions:
            yield f"no function is called {name!r}{suggest(name, functions)}"
    keys = {"object": names.fields, "params": names.params}
    for variable, name in _FIELD.findall(_DOT.sub(".", _STRING.sub("''", source))):
        declared = keys[variable]
        if declared is not None and variable not in bound and name not in declared:
            yield f"{variable} has no {name!r}{suggest(name, declared)}; it has {_listed(declared)}"
    for name in (one or two for one, two in _FACT.findall(source)):
        if "facts" not in bound and name not in names.facts:
            yield f"facts has no {name!r}{suggest(name, names.facts)}; the file's `needs` names {_listed(names.facts)}"


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or "none"
