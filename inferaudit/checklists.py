"""Human checklists as data: items with phase, priority and owner, and the checks or attestations that settle them.

A row's status is the worst of its checks (fail > unknown > review > pass; not applicable only when all are). A valid
attestation settles a row whose checks are ``unknown`` or ``review``, never one that failed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec
import yaml

from inferaudit.errors import CatalogError
from inferaudit.model import Outcome, Phase
from inferaudit.yaml_text import place, read_yaml, yaml_fault

PRIORITIES = ("critical", "high", "medium", "low")
_STRICTEST_FIRST = ("both", "none", "either")
_WORST_FIRST = (Outcome.FAIL, Outcome.UNKNOWN, Outcome.REVIEW, Outcome.PASS)


class ChecklistItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row. `attest`: ``none`` (checks alone), ``either`` (an attestation settles what checks cannot), ``both``.

    `part` is the heading it stands under, `ask` the evidence that a person should supply, `sections` what a document
    given as evidence must have a heading on (name → pattern), `origins` the rows that were merged into it.
    """

    id: str
    title: str
    part: str = ""
    phase: Phase = Phase.BEFORE
    priority: Literal["critical", "high", "medium", "low"] = "high"
    effort: str = ""
    owner: str = ""
    checks: tuple[str, ...] = ()
    attest: Literal["none", "either", "both"] = "none"
    ask: str = ""
    sections: dict[str, str] = {}
    origins: tuple[str, ...] = ()


class Checklist(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A checklist; `merge` names others whose rows it takes, those with the same checks merged into one."""

    id: str
    title: str
    items: tuple[ChecklistItem, ...] = ()
    merge: tuple[str, ...] = ()


def load_checklist(text: str, checklist_id: str, origin: str) -> Checklist:
    """The checklist in `text`; :class:`CatalogError` names `origin` and the field."""
    try:
        data = read_yaml(text)
        if not isinstance(data, dict):
            raise CatalogError(f"{origin}: a checklist is a mapping with title and items")
        checklist = msgspec.convert({"id": checklist_id, **data}, Checklist)
    except yaml.YAMLError as error:
        raise CatalogError(yaml_fault(origin, error)) from error
    except (msgspec.ValidationError, TypeError) as error:
        raise CatalogError(f"{origin}: {error}") from error
    seen: set[str] = set()
    for item in checklist.items:
        if item.id in seen:
            raise CatalogError(f"{origin}: the item {item.id} stands there twice")
        seen.add(item.id)
        if not item.checks and item.attest == "none":
            at = place(origin, text, item.id)
            raise CatalogError(f"{at}: nothing can satisfy {item.id}: give checks, attest, or both")
        for name, pattern in item.sections.items():
            try:
                re.compile(pattern)
            except re.error as error:
                raise CatalogError(f"{origin}: {item.id}: sections: {name}: no regular expression: {error}") from error
    return checklist


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The status that several outcomes make together; without any, ``unknown``."""
    seen = set(outcomes)
    for outcome in _WORST_FIRST:
        if outcome in seen:
            return outcome
    return Outcome.NOT_APPLICABLE if seen else Outcome.UNKNOWN


def all_items(checklist: Checklist, by_id: Mapping[str, Checklist]) -> tuple[ChecklistItem, ...]:
    """A list's own rows, then those it merges; :class:`CatalogError` for a list that is not there or merges itself."""
    return (*checklist.items, *merged_items([_flat(name, by_id, (checklist.id,)) for name in checklist.merge]))


def _flat(name: str, by_id: Mapping[str, Checklist], above: tuple[str, ...]) -> Checklist:
    if name in above:
        raise CatalogError(f"checklist {above[0]}: it merges itself by way of {' → '.join((*above, name))}")
    if name not in by_id:
        raise CatalogError(f"checklist {above[-1]}: it merges {name!r}, and there is no such checklist")
    checklist = by_id[name]
    inner = [_flat(each, by_id, (*above, name)) for each in checklist.merge]
    return msgspec.structs.replace(checklist, items=(*checklist.items, *merged_items(inner)), merge=())


def merged_items(checklists: Sequence[Checklist]) -> tuple[ChecklistItem, ...]:
    """The rows of several lists; those with the same non-empty set of checks become one that lists all its origins.

    A merged row keeps the words of the first and asks as much as the strictest: due with the earliest, as urgent as the
    most urgent, and settled by an attestation only where each of them would be.
    """
    groups: dict[object, list[tuple[tuple[str, ...], ChecklistItem]]] = {}
    for checklist in checklists:
        for item in checklist.items:
            origins = item.origins or (f"{checklist.id}/{item.id}",)
            key: object = frozenset(item.checks) if item.checks else origins
            groups.setdefault(key, []).append((origins, item))
    return tuple(_merged(group) for group in groups.values())


def _merged(group: Sequence[tuple[tuple[str, ...], ChecklistItem]]) -> ChecklistItem:
    items = [item for _, item in group]
    return msgspec.structs.replace(
        items[0],
        phase=min((item.phase for item in items), key=list(Phase).index),
        priority=min((item.priority for item in items), key=PRIORITIES.index),
        attest=min((item.attest for item in items), key=_STRICTEST_FIRST.index),
        ask=" ".join(dict.fromkeys(item.ask for item in items if item.ask)),
        sections={name: pattern for item in items for name, pattern in item.sections.items()},
        origins=tuple(dict.fromkeys(origin for origins, _ in group for origin in origins)),
    )
