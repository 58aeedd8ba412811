"""The four questions of a launch, answered from facts, else from the policy, else not; and who governs what. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from inferaudit import governance as g
from inferaudit.advice_basis import Figure
from inferaudit.policy import Policy
from inferaudit.units import plain

QUESTIONS: Mapping[str, str] = {
    "value": "Which part brings most value?",
    "spikes": "Where do spikes and idle GPUs show?",
    "success": "Which metrics predict success?",
    "change": "What does a change of model or provider cost?",
}
_VALUE = ("value", "brings", "benefit")
_SHOWS = ("shows", "where", "signal", "test", "light test")
_COST = ("cost of change", "change", "switch", "reversibility")


@dataclass(frozen=True, slots=True)
class Decision:
    """One of the four questions; `source` is facts or policy, and `missing` says what would give an answer."""

    id: str
    answer: str | None = None
    source: str | None = None
    basis: tuple[Figure, ...] = ()
    missing: str | None = None

    def row(self) -> dict[str, Any]:
        """As it stands in the report."""
        status = "unknown" if self.answer is None else "answered"
        basis = [asdict(figure) for figure in self.basis]
        return {**asdict(self), "question": QUESTIONS[self.id], "status": status, "basis": basis}


def decisions_section(
    policy: Policy, benchmark: Mapping[str, Any] | None, cost: Mapping[str, Any], sla: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The report's ``decisions``: the four questions, in order."""
    measured = benchmark or {}
    return [
        _value(policy, measured, cost).row(),
        _spikes(policy, measured).row(),
        _success(policy, sla).row(),
        _change(policy, cost).row(),
    ]


def _value(policy: Policy, benchmark: Mapping[str, Any], cost: Mapping[str, Any]) -> Decision:
    """The part that takes most of an answer's time, and the lever that saves most."""
    basis, said = [], []
    parts = [p for p in (benchmark.get("series") or {}).get("budget") or () if p.get("p50_ms") is not None]
    # Connections are made once and kept, and waiting in the client is none of the service's.
    own = [p for p in parts if p.get("part") not in ("dns", "connect", "connect_tls", "client")]
    whole = sum(p["p50_ms"] for p in own)
    if own and whole > 0:
        largest = max(own, key=lambda p: p["p50_ms"])
        share = largest["p50_ms"] / whole
        basis.append(Figure(f"{largest['part']}, P50", largest["p50_ms"], "ms", "benchmark.series.budget[]"))
        names = {"wait": "queue and prefill", "stream": "decoding", "receive": "receiving", "end": "closing"}
        said.append(f"{names.get(largest['part'], largest['part'])} takes {share:.0%} of an answer’s time")
    levers = (cost.get("savings") or {}).get("levers") or ()
    best = next((x for x in levers if x["factor"] is not None and x["factor"] < 1 and x.get("counted")), None)
    if best:
        basis.append(Figure(best["title"], best["saving"], "ratio", "cost.savings.levers[]"))
        said.append(f"“{best['title'].lower()}” saves most, {best['saving']:.0%} ({best['arithmetic']})")
    if said:
        text = "; ".join(said)
        return Decision("value", f"{text[0].upper()}{text[1:]}.", "facts", tuple(basis))
    missing = "a measured latency budget (--load sla), or a `value` under components: in the policy"
    return _from_policy("value", policy.components, _VALUE, missing)


def _spikes(policy: Policy, benchmark: Mapping[str, Any]) -> Decision:
    """The slowest moment of the run against its median, and how busy the GPUs were."""
    basis, said = [], []
    series = benchmark.get("series") or {}
    # What a warm-up shows is the start, and no spike.
    warmed = {s.get("name") for s in benchmark.get("stages") or () if not s.get("measured", True)}
    points = [p for p in series.get("timeline") or () if p.get("p99_ms") is not None and p.get("stage") not in warmed]
    if points:
        worst = max(points, key=lambda p: p["p99_ms"])
        usual = sorted(p["p99_ms"] for p in points)[len(points) // 2]
        basis += [Figure("P99, worst moment", worst["p99_ms"], "ms", "benchmark.series.timeline[]"),
                  Figure("P99, median moment", usual, "ms", "benchmark.series.timeline[]")]  # fmt: skip
        stage = f" (stage {worst['stage']})" if worst.get("stage") else ""
        times = f", {plain(worst['p99_ms'] / usual, 3)} times the usual" if usual else ""
        said.append(f"latency peaks {worst['t_s']:.0f} s into the load{stage} at {plain(worst['p99_ms'])} ms{times}")
    busy = _busy_percent(series.get("gpu"))
    if busy:
        mean, least = sum(busy) / len(busy), min(busy)
        basis += [Figure("GPUs busy, mean", mean, "%", "benchmark.series.gpu[]"),
                  Figure("GPUs busy, least", least, "%", "benchmark.series.gpu[]")]  # fmt: skip
        said.append(f"the GPUs are busy {mean:.0f} % of the time under load, {least:.0f} % at the idlest moment")
    if said:
        text = "; ".join(said)
        return Decision("spikes", f"{text[0].upper()}{text[1:]}.", "facts", tuple(basis))
    missing = "load with GPU samples (--load sla --gpus local), or where it shows under priorities: in the policy"
    return _from_policy("spikes", policy.priorities, _SHOWS, missing)


def _busy_percent(samples: Any) -> list[float]:
    values = [sample.get("value", sample) for sample in samples or ()]
    readings = [reading for value in values for reading in (value if isinstance(value, list) else [value])]
    shares = [reading.get("utilization_gpu_percent") for reading in readings if isinstance(reading, Mapping)]
    return [float(share) for share in shares if share is not None]


def _success(policy: Policy, sla: Mapping[str, Any]) -> Decision:
    """The objectives with a target that were measured, and the KPIs that the policy sets beside them."""
    rows = [r for r in sla.get("objectives") or () if r.get("target") is not None and r.get("observed") is not None]
    if rows:
        basis = tuple(Figure(r["dimension"], r["observed"], r.get("unit"), f"sla, {r.get('outcome')}") for r in rows)
        said = ", ".join(f"{r['dimension']} ({r.get('outcome')})" for r in rows)
        others = [name for name in policy.kpis if g.words(name) not in ("latency", "throughput")]
        beside = f"; beside them the policy names {', '.join(others)}" if others else ""
        return Decision("success", f"These objectives are set and measured: {said}{beside}.", "facts", basis)
    if policy.kpis:
        said = ", ".join(f"{name} {_plain(value)}".strip() for name, value in policy.kpis.items())
        return Decision("success", f"The policy names {said}; none of it was measured here.", "policy")
    return Decision(
        "success", missing="objectives and a load that decides them (--slo, --load sla), or kpis: in the policy"
    )


def _change(policy: Policy, cost: Mapping[str, Any]) -> Decision:
    """The same traffic at a hosted price, against the cost of the own GPUs."""
    own = cost.get("per_million_usd")
    offers = [h for h in cost.get("hosted") or () if h.get("per_million_usd") is not None]
    if own is not None and offers:
        offer = min(offers, key=lambda h: h["per_million_usd"])
        basis = (Figure("own GPUs, per million requests", own, "usd", "cost.per_million_usd"),
                 Figure(f"{offer['provider']}, per million requests", offer["per_million_usd"], "usd", "cost.hosted[]"),
                 Figure("price as of", offer.get("date"), None, "cost.hosted[].date"))  # fmt: skip
        even = offer.get("break_even_utilisation")
        when = ""
        if even is not None:
            cheaper = f"own GPUs are the cheaper ones above {even:.0%} utilisation"
            when = f"; {cheaper}" if even <= 1 else "; own GPUs stay the dearer ones at any utilisation"
        text = f"At {offer['provider']} the same traffic costs ${offer['per_million_usd']:,.2f} per million requests "
        return Decision("change", f"{text}instead of ${own:,.2f}{when}.", "facts", basis)
    priced = "a cost (--hourly, --load) and a hosted price (cost.hosted_input_usd, cost.hosted_output_usd)"
    missing = f"{priced}, or `cost of change` under stages: in the policy"
    return _from_policy("change", policy.stages, _COST, missing)


def _from_policy(id: str, section: Mapping[str, Any], names: Sequence[str], missing: str) -> Decision:
    found = {name: g.field(fields, names) for name, fields in section.items()}
    said = "; ".join(f"{name}: {_plain(value)}" for name, value in found.items() if value is not None)
    return Decision(id, f"{said}.", "policy") if said else Decision(id, missing=missing)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(each)}" for key, each in value.items())
    return ", ".join(map(_plain, value)) if isinstance(value, list | tuple) else str(value)


def governance_section(policy: Policy, today: str) -> dict[str, Any]:
    """The report's ``governance``: who owns what, what each entry lacks, and how old its review is.

    A part that the policy does not have is null; one that it has lists all that is expected of it, given or not.
    """
    return {
        "kpis": [
            {"name": name, "target": _plain(value) if value is not None else None, "numeric": g.figure(value)}
            for name, value in _expected(policy.kpis, g.KPIS)
        ]
        if policy.kpis
        else None,
        "components": _entries(policy.components, g.COMPONENTS, {"version": g.VERSION, "owner": g.OWNER}, today),
        "priorities": _entries(
            policy.priorities,
            g.PRIORITIES,
            {"owner": g.OWNER, "test": g.TEST, "rollback criterion": g.ROLLBACK},
            today,
        ),
        "risks": _entries(
            policy.risks, g.RISKS, {"owner": g.OWNER, "playbook": g.PLAYBOOK, "last review": g.REVIEWED}, today
        ),
        "stages": _entries(policy.stages, (), g.STAGE_FIELDS, today),
    }


def _entries(
    section: Mapping[str, Any], expected: Sequence[str], wanted: Mapping[str, Sequence[str]], today: str
) -> list[dict[str, Any]] | None:
    if not section:
        return None
    rows = []
    for name, fields in _expected(section, expected):
        reviewed = g.field(fields, g.REVIEWED)
        owner = g.field(fields, g.OWNER)
        given = {title: g.field(fields, names) for title, names in wanted.items()}
        rows.append({
            "name": name,
            "owner": None if owner is None else _plain(owner),
            "fields": {title: _plain(value) for title, value in given.items() if value is not None},
            "missing": g.missing(fields, wanted),
            "review": None if reviewed is None else _plain(reviewed),
            "review_age_days": None if reviewed is None else g.age_days(reviewed, today),
        })  # fmt: skip
    return rows


def _expected(section: Mapping[str, Any], names: Sequence[str]) -> list[tuple[str, Any]]:
    """What is expected, in its order, then what the policy has beyond it."""
    known = {g.words(name) for name in names}
    own = [(name, value) for name, value in section.items() if g.words(name) not in known]
    return [(name, g.entry(section, name)) for name in names] + own
