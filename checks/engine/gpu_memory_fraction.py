from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.engine_args import serving_engines


@check(
    title="The share of GPU memory leaves headroom and wastes none",
    severity=Severity.MEDIUM,
    needs=("workload.containers",),
    optional=("service.configmaps",),
    remediation="Set the share between 0.80 and 0.95, for example `--gpu-memory-utilization=0.90`.",
    references=("https://docs.vllm.ai/en/latest/configuration/conserving_memory/",),
)
def gpu_memory_fraction(snapshot: Snapshot, *, minimum: float = 0.5, maximum: float = 0.95) -> Iterator[Judgement]:
    """The engine takes its share at start and keeps it. Above 95 % nothing is left for what it does not count: CUDA
    contexts, fragments, graphs, the next driver.

    Far below, paid memory lies idle that would have held more users.
    """
    maps = snapshot.fact_or("service.configmaps", ())
    for container, engine in serving_engines(snapshot.fact("workload.containers"), maps):
        subject = container["subject"]
        setting, known = engine.settings.get("gpu_memory_fraction"), engine.profile.settings.get("gpu_memory_fraction")
        if setting is None:
            snapshot.require_read("service.configmaps")
        share = engine.number("gpu_memory_fraction")
        seen = Evidence(setting.source if setting else "args", share, f"{minimum:g} to {maximum:g}")
        if not container["gpus"] or known is None or "share of total" not in known.unit:
            yield not_applicable(subject, "it takes no share of a GPU's total memory", seen)
        elif setting is None:
            yield passed(subject, f"{engine.title}'s default ({known.default or 'unstated'})", seen)
        elif share is None:
            yield unknown(subject, f"{setting.source} = {setting.value}: not a number", seen)
        elif share > maximum:
            yield failed(subject, f"{share:g} of the memory is the engine's at rest: the first peak is an OOM", seen)
        elif share < minimum:
            yield failed(subject, f"{1 - share:.0%} of the GPU's memory is never used", seen)
        else:
            yield passed(subject, f"{share:g} of the memory", seen)
