from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown


@check(
    title="The serving runtime is maintained",
    severity=Severity.MEDIUM,
    needs=("endpoint.target", "endpoint.runtime"),
    remediation="Plan the move to a maintained runtime: vLLM or SGLang for language models, Triton for the others.",
    references=("https://github.com/pytorch/serve", "https://github.com/huggingface/text-generation-inference"),
)
def runtime_maintained(snapshot: Snapshot) -> Iterator[Judgement]:
    """A server that takes input from the internet and gets no fixes any more is a hole that will be found."""
    subject, runtime = snapshot.fact("endpoint.target").subject, snapshot.fact("endpoint.runtime")
    seen = Evidence("endpoint.runtime.status", runtime.status, "maintained")
    if runtime.name == "unknown":
        yield unknown(subject, "the runtime is not known, and so is not whether it is maintained", seen)
    elif runtime.status == "maintained":
        yield passed(subject, f"{runtime.title} is maintained ({runtime.status_source})", seen)
    else:
        note = f": {runtime.status_note}" if runtime.status_note else ""
        yield failed(subject, f"{runtime.title} is {_WORDS.get(runtime.status, runtime.status)}{note}", seen)


_WORDS = {"maintenance": "in maintenance mode", "archived": "archived"}
