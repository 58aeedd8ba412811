from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.engine_args import engine_of, is_commit, is_hub_model


@check(
    title="The server runs no code that a model brings along",
    severity=Severity.MEDIUM,
    needs=("workload.containers",),
    optional=("service.configmaps",),
    remediation="Remove `--trust-remote-code`; where a model needs it, pin `--revision` to a commit that was read.",
    references=("https://huggingface.co/docs/transformers/custom_models",),
)
def trust_remote_code(snapshot: Snapshot) -> Iterator[Judgement]:
    """With this switch the server executes Python files from the model's repository, with the pod's rights.

    From a branch, whoever may push there runs code in production; from a commit or a local folder it is what was read.
    """
    maps = snapshot.fact_or("service.configmaps", ())
    for container in snapshot.fact("workload.containers"):
        if not container["serving"]:
            continue
        engine = engine_of(container, maps)
        subject, setting = container["subject"], engine.settings.get("trust_remote_code")
        if setting is None:
            snapshot.require_read("service.configmaps")
        if "trust_remote_code" not in engine.profile.settings:
            shown = Evidence("args", None, "no switch for remote code")
            yield not_applicable(subject, f"{engine.title} has no such switch that is known", shown)
            continue
        on = setting is not None and not setting.off and setting.value.lower() not in ("false", "0")
        seen = Evidence("args", setting.source if setting and on else None, "not given")
        revision, model = engine.value("revision") or "", engine.value("model") or ""
        if not on:
            yield passed(subject, "code from the model's repository is not run", seen)
        elif is_commit(revision):
            yield passed(subject, f"runs the model's code of the commit {revision[:12]}", seen)
        elif model and not is_hub_model(model):
            yield passed(subject, f"runs the code that lies beside the model in {model}", seen)
        else:
            yield failed(subject, "runs whatever code the model's repository holds on the day of the start", seen)
