from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.engine_args import FROM_SECRET, engine_of, flag_value, is_commit, is_hub_model


@check(
    title="A model from a hub is pinned to a commit",
    severity=Severity.MEDIUM,
    needs=("workload.containers",),
    optional=("service.configmaps",),
    remediation="Give the commit, for example `--revision=<40 hex digits>`, and the same for the tokenizer.",
    references=("https://huggingface.co/docs/huggingface_hub/guides/download",),
)
def model_revision(snapshot: Snapshot) -> Iterator[Judgement]:
    """Without a revision a restarted pod serves whatever the hub holds on that day.

    Two replicas may then answer differently, and what was benchmarked is not what runs.
    """
    maps = snapshot.fact_or("service.configmaps", ())
    for container in snapshot.fact("workload.containers"):
        if not container["serving"]:
            continue
        engine = engine_of(container, maps)
        model = engine.value("model") or ""
        subject = container["subject"]
        if not model:
            snapshot.require_read("service.configmaps")
        if not is_hub_model(model) or model == FROM_SECRET:
            shown = Evidence("args", model or None, "a hub's owner/name")
            yield not_applicable(subject, "no model of a hub is named: nothing is fetched by a name that moves", shown)
            continue
        revision = engine.value("revision") or flag_value(engine, "--revision", "--code-revision") or ""
        seen = Evidence("args --revision", revision or None, "a commit of 40 hex digits")
        if not revision:
            snapshot.require_read("service.configmaps")
        if is_commit(revision):
            yield passed(subject, f"{model} is pinned to {revision[:12]}", seen)
        elif revision:
            yield failed(subject, f"{model} follows {revision}, which can be moved", seen)
        else:
            yield failed(subject, f"{model} follows the hub's main branch", seen)
