from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.engine_args import quantised_as, serving_engines

_FULL = frozenset({"float32", "float", "fp32", "f32", "float64", "double", "tf32"})
_HALF = frozenset({"bfloat16", "bf16", "float16", "fp16", "half", "f16", "fp8", "float8", "int8"}) | {
    "type_fp16",
    "type_bf16",
}  # what a model in Triton takes and gives


@check(
    title="Weights are served at 16 bits or fewer",
    severity=Severity.MEDIUM,
    needs=("workload.containers",),
    optional=("service.configmaps",),
    remediation="Serve at bfloat16, float16 or lower, for example `--dtype=bfloat16`.",
    references=("https://docs.vllm.ai/en/latest/configuration/engine_args/",),
)
def precision(snapshot: Snapshot) -> Iterator[Judgement]:
    """At 32 bits a model takes twice the GPU memory and half the speed, for a difference that no user sees.

    What the memory is needed for is the KV cache: it sets how many users are served at once.
    """
    maps = snapshot.fact_or("service.configmaps", ())
    for container, engine in serving_engines(snapshot.fact("workload.containers"), maps):
        subject = container["subject"]
        setting = engine.settings.get("precision")
        given = (setting.value if setting else "").lower()
        quantised = quantised_as(engine)
        if setting is None:
            snapshot.require_read("service.configmaps")
        seen = Evidence(setting.source if setting else "args", given or quantised, "16 bits or fewer")
        if not container["gpus"]:
            yield not_applicable(subject, "serves on CPU", seen)
        elif given in _FULL:
            yield failed(subject, f"weights of 32 bits on a GPU ({given})", seen)
        elif quantised:
            yield passed(subject, f"weights are quantised ({quantised})", seen)
        elif given in _HALF:
            yield passed(subject, f"weights of 16 bits ({given})", seen)
        elif given in ("", "auto") and engine.known and engine.profile.kind in ("llm", "embeddings"):
            yield passed(subject, f"{engine.title} takes 16 bits unless told otherwise", seen)
        else:
            yield unknown(subject, "the precision is set where no manifest shows it: in the model or the code", seen)
