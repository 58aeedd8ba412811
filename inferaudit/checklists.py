"""Human checklists as data: items with phase, priority and owner, and the checks or attestations that settle them.

A row's status is the worst of its checks (fail > unknown > review > pass; not applicable only when all are). A valid
attestation settles a row whose checks are ``unknown`` or ``review``, never one that failed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec
import yaml

from inferaudit.errors import CatalogError
from inferaudit.model import Outcome, Phase

_WORST_FIRST = (Outcome.FAIL, Outcome.UNKNOWN, Outcome.REVIEW, Outcome.PASS)


class ChecklistItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row. `attest`: ``none`` (checks alone), ``either`` (an attestation settles what checks cannot), ``both``."""

    id: str
    title: str
    phase: Phase = Phase.BEFORE
    priority: Literal["critical", "high", "medium", "low"] = "high"
    effort: str = ""
    owner: str = ""
    checks: tuple[str, ...] = ()
    attest: Literal["none", "either", "both"] = "none"
    ask: str = ""
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
        data = yaml.safe_load(text)
        checklist = msgspec.convert({"id": checklist_id, **data}, Checklist)
    except (yaml.YAMLError, msgspec.ValidationError, TypeError) as error:
        raise CatalogError(f"{origin}: {error}") from error
    seen: set[str] = set()
    for item in checklist.items:
        if item.id in seen:
            raise CatalogError(f"{origin}: the item {item.id} stands there twice")
        seen.add(item.id)
        if not item.checks and item.attest == "none":
            raise CatalogError(f"{origin}: nothing can satisfy {item.id}: give checks, attest, or both")
    return checklist


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The status that several outcomes make together; without any, ``unknown``."""
    seen = set(outcomes)
    for outcome in _WORST_FIRST:
        if outcome in seen:
            return outcome
    return Outcome.NOT_APPLICABLE if seen else Outcome.UNKNOWN


def merged_items(checklists: Sequence[Checklist]) -> tuple[ChecklistItem, ...]:
    """The rows of several lists; those with the same non-empty set of checks become one that lists all its origins."""
    rows: dict[object, ChecklistItem] = {}
    for checklist in checklists:
        for item in checklist.items:
            origin = f"{checklist.id}/{item.id}"
            key: object = frozenset(item.checks) if item.checks else origin
            first = rows.get(key)
            rows[key] = msgspec.structs.replace(
                first or item, origins=(*(first.origins if first else ()), origin)
            )
    return tuple(rows.values())
