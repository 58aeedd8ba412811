from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown


@check(
    title="The same request at temperature 0 gets the same answer",
    severity=Severity.LOW,
    needs=("endpoint.target", "endpoint.active"),
    active=True,
    remediation="Pin seed and batch-invariant kernels where answers must repeat, and look whether replicas serve the "
    "same weights, revision and quantisation; else judge answers by golden requests and not by equality.",
    references=("https://docs.vllm.ai/en/latest/usage/reproducibility/",),
)
def determinism(snapshot: Snapshot) -> Iterator[Judgement]:
    """Two answers that differ at temperature 0 make a regression hard to tell from chance.

    It may be batching's arithmetic, or two replicas that do not serve the same model.
    """
    subject = snapshot.fact("endpoint.target").subject
    probe = next((p for p in snapshot.fact("endpoint.active") if p.kind == "repeated"), None)
    if probe is None:
        yield not_applicable(subject, "the API generates no text")
        return
    seen = Evidence("endpoint.active[repeated].same", probe.same, True)
    if probe.same is None:
        said = probe.error or (f"status {probe.status}" if probe.status != 200 else "an answer without text")
        yield unknown(subject, f"two like requests could not be compared: {said}", seen)
    elif probe.same:
        yield passed(subject, "two like requests got the same text", seen)
    else:
        yield failed(subject, "two like requests got different texts", seen)
