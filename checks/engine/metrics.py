from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.engine_args import serving_engines


@check(
    title="The engine exports metrics",
    severity=Severity.MEDIUM,
    needs=("workload.containers",),
    optional=("service.configmaps",),
    remediation=(
        "Switch the metrics on, for example `--enable-metrics` (SGLang) or `--metrics` (llama.cpp); remove "
        "`--disable-log-stats` (vLLM)."
    ),
    references=("https://docs.vllm.ai/en/latest/usage/metrics/",),
)
def metrics(snapshot: Snapshot) -> Iterator[Judgement]:
    """Queue depth, time to first token and KV cache use exist nowhere but in the engine.

    Several engines export them only when told to; without them a slow service is a closed box.
    """
    maps = snapshot.fact_or("service.configmaps", ())
    for container, engine in serving_engines(snapshot.fact("workload.containers"), maps):
        subject = container["subject"]
        profile, setting = engine.profile, engine.settings.get("metrics")
        if setting is None:
            snapshot.require_read("service.configmaps")
        seen = Evidence(setting.source if setting else "args", setting.value if setting else None, "on")
        if not engine.known:
            yield not_applicable(subject, "the runtime is not recognised", seen)
        elif profile.metrics_default == "none":
            yield failed(subject, f"{engine.title} has no metrics at all", seen)
        elif (setting and setting.off) or (setting and setting.value.lower() in ("0", "false", "log")):
            yield failed(subject, f"the engine's metrics are switched off ({setting.source})", seen)
        elif setting or profile.metrics_default == "on":
            yield passed(subject, f"{engine.title} exports metrics", seen)
        elif profile.metrics_default == "off" and (engine.visible or profile.settings["metrics"].flags):
            yield failed(subject, f"{engine.title} exports no metrics unless it is told to", seen)
        else:
            yield unknown(subject, f"whether {engine.title} exports metrics cannot be seen", seen)
