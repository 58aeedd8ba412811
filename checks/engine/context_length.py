import re
from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.engine_args import flag_value, serving_engines

# max_position_embeddings of each model's own config.json on huggingface.co; copies and fine-tunes may have another.
_LIMITS = {
    r"meta-llama/(Meta-)?Llama-3\.[123]-.*": 131_072,
    r"meta-llama/Meta-Llama-3-(8B|70B).*": 8_192,
    r"meta-llama/Llama-2-.*": 4_096,
    r"mistralai/Mistral-7B-Instruct-v0\.[123]": 32_768,
    r"mistralai/Mixtral-8x7B.*": 32_768,
    r"mistralai/Mixtral-8x22B.*": 65_536,
    r"Qwen/Qwen2\.5-[0-9.]+B-Instruct": 32_768,
    r"Qwen/Qwen3-[0-9.]+B": 40_960,
    r"google/gemma-2-.*": 8_192,
    r"microsoft/Phi-3-mini-4k-instruct": 4_096,
    r"microsoft/Phi-3-mini-128k-instruct": 131_072,
    r"deepseek-ai/DeepSeek-(V3|R1)": 163_840,
    r"openai/gpt-oss-(20b|120b)": 131_072,
    r"TinyLlama/TinyLlama-1\.1B.*": 2_048,
}
_STRETCHED = ("--rope-scaling", "--hf-overrides", "--json-model-override-args")
_ALLOWED = ("VLLM_ALLOW_LONG_MAX_MODEL_LEN", "SGLANG_ALLOW_OVERWRITE_LONGER_CONTEXT_LEN")


@check(
    title="The context length is one that the model has",
    severity=Severity.HIGH,
    needs=("workload.containers",),
    optional=("service.configmaps",),
    remediation="Set `--max-model-len` to what callers need, at most the model's own `max_position_embeddings`.",
    references=("https://docs.vllm.ai/en/latest/configuration/engine_args/",),
)
def context_length(snapshot: Snapshot) -> Iterator[Judgement]:
    """vLLM and SGLang refuse to start with a context beyond the model's, unless they are told that it is stretched.

    Judged for models by their publisher's own name; what a copy was changed to is not known.
    """
    maps = snapshot.fact_or("service.configmaps", ())
    for container, engine in serving_engines(snapshot.fact("workload.containers"), maps):
        limit = next((n for name, n in _LIMITS.items() if re.fullmatch(name, engine.value("model") or "")), None)
        asked = engine.number("max_model_len")
        if engine.profile.name not in ("vllm", "sglang") or limit is None or asked is None:
            continue
        seen = Evidence("max_model_len", int(asked), f"<= {limit}")
        stretched = [name for name in _STRETCHED if flag_value(engine, name) is not None]
        stretched += [name for name in _ALLOWED if engine.env.get(name, "0").lower() not in ("0", "false", "")]
        if asked <= limit:
            yield passed(container["subject"], f"{int(asked):,} of the model's {limit:,} tokens", seen)
        elif stretched:
            yield passed(container["subject"], f"beyond the model's {limit:,} tokens, by {stretched[0]}", seen)
        else:
            text = f"{int(asked):,} tokens, and the model has {limit:,}: {engine.title} does not start"
            yield failed(container["subject"], text, seen)
