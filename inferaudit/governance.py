"""What the policy says about people and procedures: KPIs, components, priorities, risks and stages. Pure.

Names and fields are matched by their words (``rollback criterion``, ``rollback_criterion`` and ``Rollback-Criterion``
are one), so that nobody fails for an underscore.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from typing import Any

KPIS = ("latency", "throughput", "accuracy drift", "adoption")
COMPONENTS = ("runtime", "autoscaling", "batching", "capacity")
PRIORITIES = ("queueing spikes", "gpu under-utilisation", "cold starts", "throughput collapse")
RISKS = ("bad batching", "insufficient quotas", "memory fragmentation", "capacity misreads")
WORK = ("optimisation", "pipeline", "testing")

OWNER = ("owner", "team")
VERSION = ("version", "pinned", "revision")
TEST = ("test", "light test")
ROLLBACK = ("rollback criterion", "rollback", "roll back when")
PLAYBOOK = ("playbook", "runbook")
REVIEWED = ("last review", "reviewed", "review")
DUE = ("due", "deadline", "date")
STAGE_FIELDS: Mapping[str, tuple[str, ...]] = {
    "inputs": ("inputs", "input"),
    "outputs": ("outputs", "output"),
    "thresholds": ("thresholds", "threshold"),
    "owner": OWNER,
    "what failure looks like": ("what failure looks like", "failure", "failure looks like"),
    "fallback": ("fallback",),
    "when a human steps in": ("when a human steps in", "human", "human steps in", "escalation"),
    "how quality is reviewed": ("how quality is reviewed", "quality", "quality review", "review"),
}

_SPELLINGS = {"gpu underutilisation": "gpu under utilisation", "gpu underutilization": "gpu under utilisation"}


_MEASURED_IN = ("load", "metrics")


def measured(policy: Mapping[str, Any]) -> bool:
    """True where something in scope is measured against an objective, so that a missing one is missed."""
    return any(word in policy.get("scope", _MEASURED_IN) for word in _MEASURED_IN)


def words(name: str) -> str:
    """A name as its words in lower case: the form in which names are compared; American spellings become British."""
    plain = " ".join(re.findall(r"[a-z0-9]+", str(name).lower())).replace("utilization", "utilisation")
    plain = plain.replace("optimization", "optimisation")
    return _SPELLINGS.get(plain, plain)


def entry(section: Mapping[str, Any], name: str) -> Any:
    """The entry of `section` that is called `name` in any spelling; None when there is none."""
    wanted = words(name)
    return next((value for key, value in section.items() if words(key) == wanted), None)


def field(fields: Any, names: Sequence[str]) -> Any:
    """The first non-empty value under one of `names`; None when the entry is no mapping or has none of them."""
    for name in names if isinstance(fields, Mapping) else ():
        value = entry(fields, name)
        if value not in (None, "", [], {}, ()):
            return value
    return None


def missing(fields: Any, wanted: Mapping[str, Sequence[str]]) -> list[str]:
    """Which of the wanted fields (title → names) an entry lacks."""
    return [title for title, names in wanted.items() if field(fields, names) is None]


def figure(value: Any) -> bool:
    """True where a KPI has a number: 500, ``500ms``, ``< 2 %``, or a mapping with such a target."""
    if isinstance(value, Mapping):
        return any(figure(field(value, (name,))) for name in ("target", "value", "max", "min"))
    if isinstance(value, bool) or value is None:
        return False
    return isinstance(value, (int, float)) or re.search(r"[0-9]", str(value)) is not None


def age_days(date: Any, today: str) -> int | None:
    """Whole days from an ISO date to `today` (negative when ahead); None for what is no date."""
    try:
        return (dt.date.fromisoformat(today[:10]) - dt.date.fromisoformat(str(date)[:10])).days
    except ValueError:
        return None


def attestation_valid(attestation: Any, today: str) -> bool:
    """True while it counts: not dated ahead, not past its expiry, its evidence not seen to be missing or incomplete."""
    if attestation.verified is False or attestation.lacks or attestation.date > today[:10]:
        return False
    return attestation.expires is None or today[:10] <= attestation.expires


def attested(attestations: Sequence[Any], word: str) -> list[Any]:
    """Attestations of rows whose id holds `word`, those that have no fault first."""
    found = [a for a in attestations if word in a.item]
    return sorted(found, key=lambda a: (a.verified is False, bool(a.lacks), a.item, a.date))


def slug(name: str) -> str:
    """A name as it stands in a subject: words joined by hyphens."""
    return words(name).replace(" ", "-")
