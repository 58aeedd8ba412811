"""Names in a CEL expression that nothing defines: told when the file is read, not as `unknown` of every object.

The library lists the variables and functions of a compiled expression, the variables of macros among them; which those
are, and which keys of `params` and `facts` are asked for, is read in the source. What cannot be told for sure (a field
of `object`, a key that is computed) is left to the evaluation.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
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
_PARAM = re.compile(r"(?<![\w.])params\.([A-Za-z_]\w*)(?!\s*\()")
_FACT = re.compile(r"(?<![\w.])facts\s*\[\s*(?:'([^'\\]*)'|\"([^\"\\]*)\")\s*\]")


def name_fault(
    source: str, program: Any, *, functions: Collection[str], params: Collection[str], facts: Collection[str]
) -> str:
    """What is wrong with the first name that nothing defines, or nothing.

    `program` is the compiled `source`; `functions` are those that are lent to it, `params` and `facts` the keys that
    those two variables have.
    """
    return next(_faults(source, program, {*FUNCTIONS, *functions}, params, facts), "")


def _faults(
    source: str, program: Any, functions: Collection[str], params: Collection[str], facts: Collection[str]
) -> Iterator[str]:
    bound = set(_BOUND.findall(source))
    known = {*VARIABLES, *TYPES, *bound}
    for name in program.variables():
        if name.lstrip(".") not in known:
            near = suggest(name, {*VARIABLES, *bound})
            yield f"no variable is called {name!r}{near}; an expression sees {', '.join(VARIABLES)}"
    for name in program.functions():
        if name.isidentifier() and not name.startswith("_") and name not in functions:
            yield f"no function is called {name!r}{suggest(name, functions)}"
    if "params" not in bound:
        for name in _PARAM.findall(_DOT.sub(".", _STRING.sub("''", source))):
            if name not in params:
                yield f"params has no {name!r}{suggest(name, params)}; the file's `params` declares {_listed(params)}"
    if "facts" not in bound:
        for name in (one or two for one, two in _FACT.findall(source)):
            if name not in facts:
                yield f"facts has no {name!r}{suggest(name, facts)}; the file's `needs` names {_listed(facts)}"


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or "none"
