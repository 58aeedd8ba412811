"""Does what a policy names exist: its checks, parameters, checklist rows? Told before anything is contacted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from inferaudit.catalog import Catalog
from inferaudit.checklist_rows import unknown_rows
from inferaudit.errors import PolicyError, UsageError
from inferaudit.model import Param
from inferaudit.own_checks import OWN_CHECKS
from inferaudit.policy import Policy
from inferaudit.policy_file import line_of

_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "str": ((str,), "text"),
    "bool": ((bool,), "true or false"),
    "tuple": ((list, tuple), "a list"),
    "list": ((list, tuple), "a list"),
    "dict": ((dict,), "a mapping"),
}


def check_names(catalog: Catalog, policy: Policy, files: Iterable[Path] = ()) -> None:
    """:class:`PolicyError` with a line for each name that means nothing; the file and line are those of `files`."""
    files = tuple(files)
    faults = [f"{_where(word, files)}{said}" for word, said in _faults(catalog, policy)]
    if faults:
        raise PolicyError("\n".join(dict.fromkeys(faults)))


def _where(word: str, files: Iterable[Path]) -> str:
    found = ((path, line_of(path, word)) for path in files)
    return next((f"{path}:{line}: " for path, line in found if line is not None), "")


def _faults(catalog: Catalog, policy: Policy) -> Iterator[tuple[str, str]]:
    """The word that means nothing, and what is wrong with it."""
    own = {check.id for check in OWN_CHECKS}
    used = [
        *(("severity", check_id, own) for check_id in policy.severity),
        *(("parameters", check_id, set()) for check_id in policy.parameters),
        *(("waivers", waiver.check, own) for waiver in policy.waivers),
    ]
    for section, check_id, besides in used:
        if check_id not in besides:
            try:
                catalog.check(check_id)
            except UsageError as error:
                yield check_id, f"{section}: {error}"
    for item, near in unknown_rows((a.item for a in policy.attestations), catalog.checklists.values()).items():
        hint = f" (did you mean {near}?)" if near else ""
        yield item, f"attestations: no row of a checklist is called {item!r}{hint}"
    for check_id in sorted(policy.parameters.keys() & catalog.checks.keys()):
        known = {p.name: p for p in catalog.check(check_id).params}
        for name, value in policy.parameters[check_id].items():
            field = f"parameters.{check_id}.{name}"
            if name not in known:
                takes = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
                yield name, f"{field}: no such parameter; {takes}"
            elif wanted := _mismatch(known[name], value):
                yield name, f"{field}: {wanted} is wanted, not {value!r}"


def _mismatch(param: Param, value: Any) -> str:
    """The kind that the parameter takes where `value` is none of it, else nothing."""
    kinds, words = _KINDS.get(param.type, ((object,), ""))
    number = isinstance(value, bool) and bool not in kinds and object not in kinds
    infinite = isinstance(value, float) and not abs(value) < float("inf")
    return words if number or infinite or not isinstance(value, kinds) else ""
