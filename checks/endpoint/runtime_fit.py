from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown


@check(
    title="The serving runtime is made for production",
    severity=Severity.MEDIUM,
    needs=("endpoint.target", "endpoint.runtime"),
    remediation="Serve language models with vLLM, SGLang or TensorRT-LLM, other models with Triton or KServe.",
)
def runtime_fit(snapshot: Snapshot) -> Iterator[Judgement]:
    """Some servers are made for a desk: one request at a time, no metrics, no keys, models that unload when idle."""
    subject, runtime = snapshot.fact("endpoint.target").subject, snapshot.fact("endpoint.runtime")
    seen = Evidence("endpoint.runtime.name", runtime.name)
    if runtime.name == "unknown":
        yield unknown(subject, "the runtime is not known", seen)
    elif runtime.production:
        unfit = f"; not for {runtime.unfit}" if runtime.unfit else ""
        yield passed(subject, f"{runtime.title} suits {runtime.suits}{unfit}", seen)
    else:
        yield failed(subject, f"{runtime.title} is for {runtime.suits}; not for {runtime.unfit}", seen)
