from collections.abc import Iterator

from inferaudit.api import (
    Evidence,
    FactErrorKind,
    Judgement,
    Severity,
    Snapshot,
    check,
    failed,
    not_applicable,
    passed,
    unknown,
)
from inferaudit.golden_diff import PATH, answers_of
from inferaudit.latency import error_rate_bounds


@check(
    title="Golden requests are answered as expected",
    severity=Severity.HIGH,
    needs=("endpoint.target",),
    optional=("endpoint.golden",),
    remediation="Compare with the last good release's answers: a wrong template or quantisation is the usual cause.",
)
def golden(snapshot: Snapshot, *, min_score: float = 1.0) -> Iterator[Judgement]:
    """A swap of model, quantisation or chat template changes answers while every system metric stays green.

    Golden requests are the cheapest look at quality there is. Without a file the question is not asked. `min_score` is
    the floor: at 1 every answer must hold; below it the whole interval of the score must lie above the floor to pass,
    and below it to fail.
    """
    subject = snapshot.fact("endpoint.target").subject
    error = snapshot.error("endpoint.golden")
    if error is not None and error.kind is FactErrorKind.NO_TARGET:
        yield not_applicable(subject, "no golden requests were given: --golden FILE")
        return
    results = snapshot.fact("endpoint.golden")
    answered = [r for r in results if r.passed is not None]
    wrong = [r.name for r in answered if not r.passed]
    score = (len(answered) - len(wrong)) / len(answered) if answered else None
    bounds = error_rate_bounds(len(wrong), len(answered))
    low, high = (1 - bounds[1], 1 - bounds[0]) if bounds else (None, None)
    observed = {"score": score, "interval": [low, high], "requests": len(answered)}
    seen = Evidence("endpoint.golden score", observed, f">= {min_score:g}")
    named = Evidence(PATH, answers_of(results), "all right")
    if score is None or len(answered) < len(results):
        lost = len(results) - len(answered)
        yield unknown(subject, f"{lost} of {len(results)} golden requests were not answered", seen, named)
    elif score < min_score and (min_score >= 1 or (high is not None and high < min_score)):
        listed = ", ".join(wrong[:5])
        yield failed(
            subject, f"{len(wrong)} of {len(answered)} golden answers are not as expected: {listed}", seen, named
        )
    elif min_score < 1 and low is not None and low < min_score:
        said = f"score {score:.0%} of {len(answered)} golden requests, 95 % between {low:.0%} and {high:.0%}"
        yield unknown(subject, f"{said}: too few to say that it is at least {min_score:.0%}", seen, named)
    else:
        yield passed(subject, f"{len(answered)} golden requests, score {score:.0%}", seen, named)
