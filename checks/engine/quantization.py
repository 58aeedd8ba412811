from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, review
from inferaudit.engine_args import quantised_as, serving_engines
from inferaudit.governance import attestation_valid, attested


@check(
    title="What quantisation costs in quality is known",
    severity=Severity.MEDIUM,
    needs=("workload.containers",),
    optional=("service.configmaps", "process.attestations"),
    remediation=(
        "Compare the quantised model with its 16-bit parent on a golden set, and attest the result for "
        "`before.precision`."
    ),
    references=("https://docs.vllm.ai/en/latest/features/quantization/",),
)
def quantization(snapshot: Snapshot) -> Iterator[Judgement]:
    """Quantised weights halve or quarter the memory. Their answers differ, by as much as 3 % at 4 bits, and by task.

    No manifest shows that difference: it is measured, or a person answers for it.
    """
    maps = snapshot.fact_or("service.configmaps", ())
    given = snapshot.fact_or("process.attestations", ())
    for container, engine in serving_engines(snapshot.fact("workload.containers"), maps):
        subject = container["subject"]
        how = quantised_as(engine)
        if how is None:
            snapshot.require_read("service.configmaps")
        seen = Evidence("args, model", how or engine.value("model"), "named, with its quality measured")
        attests = attested(given, "before.precision")
        valid = [a for a in attests if attestation_valid(a, snapshot.collected_at)]
        if how is None and not engine.known:
            yield not_applicable(subject, "whether the weights are quantised cannot be seen", seen)
        elif how is None:
            yield passed(subject, "no quantisation is named: no quality is lost to it", seen)
        elif valid:
            yield passed(subject, f"{how}: {valid[0].owner} attests its quality", seen)
        elif attests and attests[0].verified is False:
            yield failed(subject, f"{how}: the evidence of its quality does not hold: {attests[0].detail}", seen)
        else:
            yield review(subject, f"{how}: how much worse is it than 16 bits on your data?", seen)
