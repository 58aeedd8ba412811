from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Phase, Severity, Snapshot, check, failed, passed, review
from inferaudit.canaries import canaries_of


@check(
    title="A new version meets a few users first",
    severity=Severity.MEDIUM,
    phase=Phase.DURING,
    needs=("workload", "service.rollouts", "service.routes"),
    optional=("service.ingresses",),
    remediation=(
        "Begin with 1 to 5 %: `setWeight: 5` (Argo Rollouts), `stepWeight: 5` (Flagger), `canaryTrafficPercent: "
        "5` (KServe), or weights of a route."
    ),
    references=(
        "https://argo-rollouts.readthedocs.io/en/stable/features/canary/",
        "https://docs.flagger.app/usage/deployment-strategies",
    ),
)
def canary(snapshot: Snapshot, *, maximum: float = 5) -> Iterator[Judgement]:
    """Offline tests do not find what real prompts find. A first step of a few percent shows it to few.

    Blue-green with an analysis before the switch does the same in another way. Where neither is in view, a person
    says how new versions arrive.
    """
    workload = snapshot.fact("workload")
    objects = [workload.object, *snapshot.fact("service.rollouts"), *snapshot.fact("service.routes")]
    ingresses = snapshot.fact_or("service.ingresses", [])
    canaries = canaries_of([*objects, *ingresses])
    green = [c for c in canaries if c.kind == "blue-green"]
    steps = [c for c in canaries if c.first_percent is not None]
    seen = Evidence("first step, %", {c.subject: c.first_percent for c in steps} or None, f"1 to {maximum:g}")
    for each in steps:
        shown = Evidence(each.path, each.first_percent, f"1 to {maximum:g} %")
        if each.first_percent is not None and each.first_percent > maximum:
            yield failed(each.subject, f"the first step takes {each.first_percent:g} % of the traffic", shown)
        else:
            yield passed(each.subject, f"the first step takes {each.first_percent:g} %", shown)
    for each in green if not steps else ():
        yield passed(
            each.subject, "blue-green: the new version is looked at before the switch", Evidence(each.path, "blueGreen")
        )
    if not steps and not green:
        snapshot.require_read("service.ingresses")
        yield review(workload.subject, "no canary is in view: how does a new version meet its first users?", seen)
