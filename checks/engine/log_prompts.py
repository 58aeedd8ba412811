from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.engine_args import serving_engines


@check(
    title="Prompts are not written to the log",
    severity=Severity.MEDIUM,
    needs=("workload.containers",),
    optional=("service.configmaps",),
    remediation="Remove the flag that the finding names; log ids and lengths, never what users wrote.",
    references=("https://docs.vllm.ai/en/latest/usage/security/",),
)
def log_prompts(snapshot: Snapshot) -> Iterator[Judgement]:
    """What people type into a model is personal, and logs are kept for long and read by many.

    Request logging of several engines writes the whole prompt.
    """
    maps = snapshot.fact_or("service.configmaps", ())
    for container, engine in serving_engines(snapshot.fact("workload.containers"), maps):
        subject = container["subject"]
        setting, known = engine.settings.get("log_prompts"), engine.profile.settings.get("log_prompts")
        if setting is None:
            snapshot.require_read("service.configmaps")
        seen = Evidence(setting.source if setting else "args", setting.value if setting else None, "off")
        if not engine.known or known is None:
            yield not_applicable(subject, "no switch for it is known", seen)
        elif setting and not setting.off and setting.value.lower() not in ("0", "false"):
            yield failed(subject, f"{setting.source} writes prompts to the log", seen)
        else:
            yield passed(subject, "prompts are not logged", seen)
