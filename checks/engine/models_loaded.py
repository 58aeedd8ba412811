from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.engine_args import flag_value, serving_engines


@check(
    title="The server loads its models by itself",
    severity=Severity.MEDIUM,
    needs=("workload.containers",),
    optional=("service.configmaps",),
    remediation="Name the models with `--load-model=NAME`, or use `--model-control-mode=none`.",
    references=(
        "https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/model_management.html",
    ),
)
def models_loaded(snapshot: Snapshot) -> Iterator[Judgement]:
    """With explicit control and no model named Triton starts empty, and an empty server says that it is ready.

    After a restart somebody must call its repository API before the first request can be answered.
    """
    maps = snapshot.fact_or("service.configmaps", ())
    for container, engine in serving_engines(snapshot.fact("workload.containers"), maps):
        mode = flag_value(engine, "--model-control-mode")
        named = flag_value(engine, "--load-model")
        seen = Evidence("args", {"--model-control-mode": mode, "--load-model": named}, "none, or models by name")
        if engine.recognition.name == "triton" and mode is None:
            snapshot.require_read("service.configmaps")
        if engine.recognition.name != "triton":
            yield not_applicable(container["subject"], "it has no such mode", seen)
        elif mode == "explicit" and not named:
            yield failed(container["subject"], "explicit model control, and no model is loaded at the start", seen)
        elif mode == "poll":
            yield failed(container["subject"], "polls its repository: a half-written model goes live", seen)
        else:
            yield passed(container["subject"], "loads its models at the start", seen)
