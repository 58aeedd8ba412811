from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Phase, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.canaries import canaries_of


@check(
    title="A bad version is taken back without a person",
    severity=Severity.MEDIUM,
    phase=Phase.DURING,
    needs=("workload", "service.rollouts", "service.routes"),
    optional=("service.ingresses",),
    remediation=(
        "Add an analysis on error rate, latency and quality, with a limit of failures: an AnalysisTemplate, or "
        "Flagger's metrics."
    ),
    references=(
        "https://argo-rollouts.readthedocs.io/en/stable/features/analysis/",
        "https://docs.flagger.app/usage/metrics",
    ),
)
def analysis(snapshot: Snapshot) -> Iterator[Judgement]:
    """Steps without an analysis only delay: they end in a full rollout whatever happens on the way.

    An analysis that fails rolls back within minutes, at night too.
    """
    workload = snapshot.fact("workload")
    objects = [workload.object, *snapshot.fact("service.rollouts"), *snapshot.fact("service.routes")]
    ingresses = snapshot.fact_or("service.ingresses", [])
    canaries = canaries_of([*objects, *ingresses])
    if not canaries:
        snapshot.require_read("service.ingresses")
    for each in canaries:
        seen = Evidence(each.path, each.analysis or None, "an analysis that can fail")
        if each.kind == "route":
            yield not_applicable(each.subject, "weights of a route are set by somebody else", seen)
        elif each.skipped:
            yield failed(each.subject, "the analysis is skipped", Evidence(each.path, "skipAnalysis: true", False))
        elif each.analysis:
            yield passed(each.subject, f"watched by {', '.join(each.analysis)}", seen)
        else:
            yield failed(each.subject, "steps without an analysis: nothing takes a bad version back", seen)
