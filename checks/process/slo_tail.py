from collections import defaultdict
from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.governance import measured
from inferaudit.slo import TEMPLATE, Objective, parse_objectives


@check(
    title="Latency objectives look at the tail",
    severity=Severity.MEDIUM,
    needs=("policy",),
    remediation=(
        "Set the objective at P99 or above, for example `slo: {ttft_p99: 500ms}`; a median may stand beside it."
    ),
    references=("https://research.google/pubs/the-tail-at-scale/",),
    tags=("layer:change",),
)
def slo_tail(snapshot: Snapshot, *, lowest_percentile: float = 99.0) -> Iterator[Judgement]:
    """One user makes many requests: with ten of them, one in ten users meets the P99.

    A mean or a median can stay green while every tenth request times out.
    """
    policy = snapshot.fact("policy")
    slo = policy.get("slo") or {}
    if not slo and not measured(policy):
        yield not_applicable("slo", "nothing in scope is measured against an objective")
        return
    if not slo:
        yield unknown(None, "no target: give --slo, or slo: in the policy", cause=("process-slo-defined", "slo"))
        return
    by_metric: dict[str, list[Objective]] = defaultdict(list)
    for objective in parse_objectives(TEMPLATE if slo == "template" else slo):
        if objective.unit == "ms":
            by_metric[objective.metric].append(objective)
    if not by_metric:
        yield not_applicable(None, "the policy sets no latency objective")
    for metric, objectives in by_metric.items():
        names = [o.dimension for o in objectives]
        seen = Evidence("policy slo", names, f"P{lowest_percentile:g} or above")
        if any(o.percentile is not None and o.percentile >= lowest_percentile for o in objectives):
            yield passed(f"slo/{metric}", f"{metric} has an objective on its tail", seen)
        else:
            yield failed(
                f"slo/{metric}", f"{metric} is held to {', '.join(names)} alone: its tail may be anything", seen
            )
