from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.engine_args import serving_engines


@check(
    title="The engine finishes its answers when it is told to stop",
    severity=Severity.MEDIUM,
    needs=("workload.containers",),
    optional=("service.configmaps",),
    remediation="Set the drain time, for example `--shutdown-timeout=300` for vLLM, below the pod's grace period.",
    references=("https://docs.vllm.ai/en/latest/configuration/engine_args/",),
)
def drain(snapshot: Snapshot) -> Iterator[Judgement]:
    """Some engines abort what is in flight on SIGTERM, unless they are given a time to finish.

    Each rollout then cuts answers off, however long the pod's grace period is.
    """
    maps = snapshot.fact_or("service.configmaps", ())
    for container, engine in serving_engines(snapshot.fact("workload.containers"), maps):
        subject = container["subject"]
        setting, known = engine.settings.get("drain"), engine.profile.settings.get("drain")
        if setting is None:
            snapshot.require_read("service.configmaps")
        seconds = engine.number("drain")
        seen = Evidence(setting.source if setting else "args", setting.value if setting else None, "more than 0 s")
        if not engine.known or known is None:
            yield not_applicable(subject, "what it does on SIGTERM is not known", seen)
        elif seconds == 0 or (setting is None and known.default == "0"):
            yield failed(subject, f"{engine.title} aborts what is in flight when it is told to stop", seen)
        else:
            length = f"{seconds:g} s" if seconds else f"default: {known.default}"
            yield passed(subject, f"{engine.title} drains ({length})", seen)
