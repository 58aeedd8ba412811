from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.engine_args import Engine, flag_value, serving_engines


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

    Some models do not even start, because their full context does not fit beside the weights. TGI does not where its
    whole context leaves no token for an answer.
    """
    maps = snapshot.fact_or("service.configmaps", ())
    for container, engine in serving_engines(snapshot.fact("workload.containers"), maps):
        subject = container["subject"]
        setting, known = engine.settings.get("max_model_len"), engine.profile.settings.get("max_model_len")
        if setting is None:
            snapshot.require_read("service.configmaps")
        seen = Evidence(setting.source if setting else "args", setting.value if setting else None, "a number of tokens")
        if not engine.known or known is None:
            yield not_applicable(subject, "it has no context length to limit", seen)
        elif (lengths := _no_room_for_answers(engine)) is not None:
            total, prompt = lengths
            text = f"TGI does not start: a total of {total} tokens is not more than a prompt of {prompt}"
            shown = Evidence("max-total-tokens, max-input-tokens", list(lengths), "a total above the longest prompt")
            yield failed(subject, text, shown)
        elif setting and setting.value:
            yield passed(subject, f"{setting.source} = {setting.value}", seen)
        else:
            yield failed(subject, f"the context length is {known.default or 'the default'}", seen)


def _no_room_for_answers(engine: Engine) -> tuple[int, int] | None:
    """TGI's longest context and longest prompt, where the former is not the longer one: its router refuses them."""
    if engine.profile.name != "tgi":
        return None
    total = _tokens(engine, "--max-total-tokens")
    prompt = _tokens(engine, "--max-input-tokens", "--max-input-length")
    return (total, prompt) if total is not None and prompt is not None and total <= prompt else None


def _tokens(engine: Engine, *flags: str) -> int | None:
    """A number by flag, or by the variable that TGI reads for it."""
    variables = [flag.removeprefix("--").replace("-", "_").upper() for flag in flags]
    told = flag_value(engine, *flags) or next((engine.env[name] for name in variables if name in engine.env), None)
    return int(told) if told and told.isdecimal() else None
