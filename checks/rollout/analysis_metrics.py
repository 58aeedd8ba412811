from collections.abc import Iterator

from inferaudit.api import (
    Evidence,
    Judgement,
    Phase,
    Severity,
    Snapshot,
    check,
    failed,
    not_applicable,
    passed,
    unknown,
)
from inferaudit.rollout_metrics import watched_by
from inferaudit.subjects import object_subject

_WORDS = {"errors": "the error rate", "latency": "the latency", "quality": "the quality of answers"}


@check(
    title="The analysis of a new version looks at errors, latency and quality",
    severity=Severity.MEDIUM,
    phase=Phase.DURING,
    needs=("workload", "service.rollouts", "service.analyses"),
    remediation=(
        "Add the metric that is missing to the AnalysisTemplate (or to Flagger's `metrics`): an error ratio, the 99th "
        "percentile of latency, and a score on golden requests or from users."
    ),
    references=(
        "https://argo-rollouts.readthedocs.io/en/stable/features/analysis/",
        "https://docs.flagger.app/usage/metrics",
    ),
)
def analysis_metrics(snapshot: Snapshot) -> Iterator[Judgement]:
    """A model that got worse answers as fast as before and with 200: an analysis of errors alone promotes it.

    Read are the queries behind the templates and their names. What a job or a web call measures is told by its name, or
    not at all.
    """
    workload = snapshot.fact("workload")
    analyses = snapshot.fact("service.analyses")
    objects = {object_subject(o): o for o in (workload.object, *snapshot.fact("service.rollouts"))}
    judged = [(subject, watched_by(obj, analyses)) for subject, obj in objects.items()]
    for subject, watched in judged:
        if watched is None:
            continue
        missing = [_WORDS[concern] for concern in watched.missing]
        seen = Evidence("analysis", {k: list(v) for k, v in watched.metrics.items()}, "errors, latency and quality")
        if not missing:
            yield passed(subject, "watches the error rate, the latency and the quality of answers", seen)
        elif watched.unseen:
            yield unknown(subject, f"whether it watches {missing[0]} is told by {watched.unseen[0]}, not in view", seen)
        elif watched.opaque and watched.missing == ("quality",):
            yield unknown(subject, f"whether {watched.opaque[0]} measures {missing[0]} its name does not tell", seen)
        else:
            yield failed(subject, f"watches nothing of {' and '.join(missing)}", seen)
    if all(watched is None for _, watched in judged):
        none = Evidence("analyses", None, "of a Rollout or a Canary")
        yield not_applicable(workload.subject, "no analysis watches a new version", none)
