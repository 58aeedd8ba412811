from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.engine_args import serving_engines


@check(
    title="The engine is warm before its first request",
    severity=Severity.MEDIUM,
    needs=("workload.containers",),
    optional=("service.configmaps",),
    remediation=(
        "Leave the engine's own warm-up on; configure `model_warmup` in Triton; else send one request from a "
        "postStart hook."
    ),
    references=(
        "https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/model_configuration.html",
    ),
)
def warmup(snapshot: Snapshot) -> Iterator[Judgement]:
    """The first request pays for compilation, graph capture and lazy loading: seconds, in front of a user.

    After each scale-up that user is another one.
    """
    maps = snapshot.fact_or("service.configmaps", ())
    for container, engine in serving_engines(snapshot.fact("workload.containers"), maps):
        subject = container["subject"]
        setting, known = engine.settings.get("warmup"), engine.profile.settings.get("warmup")
        hook = "postStart" in (container.get("lifecycle") or {})
        files = any("model_warmup" in text for text in engine.files.values())
        seen = Evidence(setting.source if setting else "args", setting.value if setting else None, "a warm-up")
        if setting is None and not hook and not files:
            snapshot.require_read("service.configmaps")
        if setting and setting.off and not hook:
            yield failed(subject, f"{setting.source} switches the warm-up off", seen)
        elif hook:
            shown = Evidence("lifecycle.postStart", True, "a warm-up")
            yield passed(subject, "a postStart hook warms it up", shown)
        elif files or (setting and not setting.off):
            yield passed(subject, "a warm-up is configured", seen)
        elif (engine.known and known and known.default == "on") or (
            engine.known and engine.profile.batching == "continuous"
        ):
            yield passed(subject, f"{engine.title} warms up before it is ready", seen)
        else:
            yield unknown(subject, "whether it warms up is set in the model or the code, which are not in view", seen)
