from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.engine_args import serving_engines


@check(
    title="The context length is limited on purpose",
    severity=Severity.LOW,
    needs=("workload.containers",),
    optional=("service.configmaps",),
    remediation="Set the longest context that callers need, for example `--max-model-len=8192`.",
    references=("https://docs.vllm.ai/en/latest/configuration/conserving_memory/",),
)
def max_model_len(snapshot: Snapshot) -> Iterator[Judgement]:
    """Left open, one request may take the model's whole context, and the KV cache of a hundred others with it.

    Some models do not even start, because their full context does not fit beside the weights.
    """
    maps = snapshot.fact("service.configmaps") if snapshot.error("service.configmaps") is None else ()
    for container, engine in serving_engines(snapshot.fact("workload.containers"), maps):
        subject = container["subject"]
        setting, known = engine.settings.get("max_model_len"), engine.profile.settings.get("max_model_len")
        seen = Evidence(setting.source if setting else "args", setting.value if setting else None, "a number of tokens")
        if not engine.known or known is None:
            yield not_applicable(subject, "it has no context length to limit", seen)
        elif setting and setting.value:
            yield passed(subject, f"{setting.source} = {setting.value}", seen)
        else:
            yield failed(subject, f"the context length is {known.default or 'the default'}", seen)
