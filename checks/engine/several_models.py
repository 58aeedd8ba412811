from collections.abc import Iterator

from inferaudit.api import (
    Evidence,
    Judgement,
    Severity,
    Snapshot,
    check,
    failed,
    not_applicable,
    passed,
    review,
    unknown,
)
from inferaudit.engine_args import serving_engines
from inferaudit.served_models import evidence_of, served_models, several

_MODE = "serving.kserve.io/deploymentMode"


@check(
    title="Several models in one server have limits of their own",
    severity=Severity.LOW,
    needs=("workload", "workload.containers"),
    optional=("service.configmaps",),
    remediation=(
        "vLLM: `--enable-lora --max-loras=<adapters>`. Triton: `instance_group` and `default_queue_policy { "
        "max_queue_size }` in each config.pbtxt. Else: a server for each model."
    ),
    references=(
        "https://docs.vllm.ai/en/latest/features/lora/",
        "https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/model_configuration.html",
    ),
)
def several_models(snapshot: Snapshot) -> Iterator[Judgement]:
    """Models that share a server share its queue and its GPU: a burst on one is an outage of all.

    Judged are adapters of vLLM and SGLang, the configurations of Triton, the models of TorchServe, TF Serving and
    Ollama, as far as flags, variables and ConfigMaps show them. Two names of one model are one model.
    """
    workload = snapshot.fact("workload")
    notes = (workload.object.get("metadata") or {}).get("annotations") or {}
    maps = snapshot.fact_or("service.configmaps", ())
    mesh = notes.get(_MODE) == "ModelMesh"
    if mesh:
        seen = Evidence(f"metadata.annotations.{_MODE}", "ModelMesh", "limits of each model")
        yield review(workload.subject, "ModelMesh places several models in a server: what may each take?", seen)
    for container, engine in serving_engines(snapshot.fact("workload.containers"), maps):
        subject, models = container["subject"], served_models(engine)
        if not several(models):
            snapshot.require_read("service.configmaps")  # more of them may be named there
        seen = Evidence(models.source, evidence_of(models), "limits, instances and queues of each")
        if mesh or not engine.known:
            yield not_applicable(subject, "what it serves is not told by its command line", seen)
        elif models.names is None:
            yield unknown(subject, f"how many models it serves is told by {models.source}, which is not in view", seen)
        elif not several(models):
            yield not_applicable(subject, "it serves one model", seen)
        elif models.lacks:
            yield failed(subject, f"{len(models.names)} models in one server: {'; '.join(models.lacks[:3])}", seen)
        else:
            yield passed(subject, f"{len(models.names)} models, each with limits of its own", seen)
