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


@check(
    title="Golden requests are answered as expected",
    severity=Severity.HIGH,
    needs=("endpoint.target",),
    optional=("endpoint.golden",),
    remediation="Compare with the last good release's answers: a wrong template or quantisation is the usual cause.",
)
def golden(snapshot: Snapshot, *, min_score: float = 1.0) -> Iterator[Judgement]:
    """A swap of model, quantisation or chat template changes answers while every system metric stays green.

    Golden requests are the cheapest look at quality there is. Without a file the question is not asked.
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
    seen = Evidence("endpoint.golden score", score, f">= {min_score:g}")
    if score is None or len(answered) < len(results):
        lost = len(results) - len(answered)
        yield unknown(subject, f"{lost} of {len(results)} golden requests were not answered", seen)
    elif score < min_score:
        listed = ", ".join(wrong[:5])
        yield failed(subject, f"{len(wrong)} of {len(answered)} golden answers are not as expected: {listed}", seen)
    else:
        yield passed(subject, f"{len(answered)} golden requests, score {score:.0%}", seen)
