from collections.abc import Iterator, Mapping
from itertools import pairwise

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.governance import measured
from inferaudit.slo import TEMPLATE, Objective, parse_objectives


@check(
    title="The service has objectives that can be met and broken",
    severity=Severity.HIGH,
    needs=("policy",),
    remediation="Set `slo:` in the policy, for example `slo: {ttft_p99: 500ms, itl_p99: 50ms, error_rate: 0.1%}`.",
    references=("https://sre.google/workbook/implementing-slos/",),
    tags=("layer:change",),
)
def slo_defined(snapshot: Snapshot) -> Iterator[Judgement]:
    """Without a number nobody can say whether the service is fast enough, and every measurement is a matter of taste.

    An objective that nothing can break (an error rate of 100 %), nothing can meet (a latency of 0), or that contradicts
    another (a P50 above the P99) is none.
    """
    policy = snapshot.fact("policy")
    slo = TEMPLATE if policy.get("slo") == "template" else policy.get("slo") or {}
    objectives = dict(zip(slo, parse_objectives(slo), strict=True))
    if not objectives and not measured(policy):
        yield not_applicable("slo", "nothing in scope is measured against an objective")
        return
    if not objectives:
        yield unknown("slo", "no target: give --slo ttft_p99=500ms,error_rate=0.1%, or slo: in the policy")
        return
    wrong = {name: why for name, objective in objectives.items() if (why := _wrong(objective))}
    for name, why in wrong.items():
        seen = Evidence(f"policy slo.{name}", slo[name], "a target in between")
        yield failed("slo", f"{name}: {why}", seen, key=name)
    crossed = [pair for pair in _crossed(objectives) if not wrong.keys() & set(pair)]
    for low, high in crossed:
        text = f"{low} allows more than {high}, which holds for more requests"
        targets = {name: slo[name] for name in (low, high)}
        yield failed("slo", text, Evidence("policy slo", targets, "targets that rise with the percentile"), key=low)
    if not wrong and not crossed:
        yield passed("slo", f"objectives on {', '.join(slo)}", Evidence("policy slo", dict(slo), "at least one"))


def _wrong(objective: Objective) -> str:
    target = objective.target
    if objective.unit != "ratio" and target <= 0:
        return "a target of 0 " + ("cannot be met" if objective.at_most else "cannot be missed")
    if objective.unit == "ratio" and (target >= 1 if objective.at_most else target <= 0):
        return "no service can break it"
    return ""


def _crossed(objectives: Mapping[str, Objective]) -> Iterator[tuple[str, str]]:
    """Neighbouring percentiles of one metric whose targets fall while the percentile rises."""
    ranked = sorted((o.metric, o.percentile, o.target, name) for name, o in objectives.items() if o.percentile)
    for low, high in pairwise(ranked):
        if low[0] == high[0] and low[1] != high[1] and low[2] > high[2]:
            yield low[3], high[3]
