from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.engine_args import serving_engines


@check(
    title="The runtime suits production serving",
    severity=Severity.MEDIUM,
    needs=("workload.containers",),
    optional=("service.configmaps",),
    remediation=(
        "Move to a runtime that batches and exports metrics: vLLM or SGLang for text, Triton for several models "
        "or frameworks."
    ),
    references=("https://docs.vllm.ai/en/latest/",),
)
def fit(snapshot: Snapshot) -> Iterator[Judgement]:
    """Some servers are made for a desk: one request at a time, no metrics, no authentication.

    They pass every smoke test and fall over at the tenth concurrent user.
    """
    maps = snapshot.fact_or("service.configmaps", ())
    for container, engine in serving_engines(snapshot.fact("workload.containers"), maps):
        subject = container["subject"]
        fit = engine.profile.fit
        seen = Evidence(
            "image, command", engine.recognition.evidence or container.get("image"), "a runtime made for production"
        )
        if not engine.known:
            snapshot.require_read("service.configmaps")  # what it runs may be named there
        if not engine.known:
            yield not_applicable(subject, "the runtime is not recognised", seen)
        elif not fit.production:
            yield failed(subject, f"{engine.title} is not made for this: {fit.unfit}", seen)
        else:
            yield passed(subject, f"{engine.title} suits {fit.suits}", seen)
