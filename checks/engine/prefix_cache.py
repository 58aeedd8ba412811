from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.engine_args import serving_engines


@check(
    title="The prefix cache is on",
    severity=Severity.LOW,
    needs=("workload.containers",),
    optional=("service.configmaps",),
    remediation=(
        "Remove the flag that switches it off (`--no-enable-prefix-caching`, `--disable-radix-cache`, "
        "`--no-cache-prompt`)."
    ),
    references=("https://docs.vllm.ai/en/latest/features/automatic_prefix_caching/",),
)
def prefix_cache(snapshot: Snapshot) -> Iterator[Judgement]:
    """System prompts and chat histories begin alike. With the cache their prefill is computed once.

    It costs nothing where nothing repeats.
    """
    maps = snapshot.fact_or("service.configmaps", ())
    for container, engine in serving_engines(snapshot.fact("workload.containers"), maps):
        subject = container["subject"]
        setting, known = engine.settings.get("prefix_cache"), engine.profile.settings.get("prefix_cache")
        if setting is None:
            snapshot.require_read("service.configmaps")
        seen = Evidence(setting.source if setting else "args", setting.value if setting else None, "on")
        if not engine.known or known is None:
            yield not_applicable(subject, "it has no prefix cache", seen)
        elif setting and (setting.off or setting.value.lower() in ("0", "false", "off")):
            yield failed(subject, f"the prefix cache is off ({setting.source})", seen)
        elif setting or known.default == "on":
            yield passed(subject, "the prefix cache is on", seen)
        else:
            yield not_applicable(subject, f"{engine.title}'s default is not known", seen)
