from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.engine_args import flag_value, serving_engines
from inferaudit.kube.types import Workload
from inferaudit.kube.workloads import pod_gpus, worker_templates
from inferaudit.units import whole_number


@check(
    title="The model is spread over exactly the GPUs that are asked for",
    severity=Severity.HIGH,
    needs=("workload", "workload.containers"),
    optional=("service.configmaps",),
    remediation=(
        "Make tensor parallel × pipeline parallel × data parallel equal to the GPUs of the pod (of all pods of a "
        "group)."
    ),
    references=("https://docs.vllm.ai/en/latest/serving/parallelism_scaling/",),
)
def tensor_parallel(snapshot: Snapshot) -> Iterator[Judgement]:
    """More ranks than GPUs and the server does not start; fewer, and the others are paid for and idle.

    Both are seen only when the pod has been given its GPUs.
    """
    workload = snapshot.fact("workload")
    maps = snapshot.fact_or("service.configmaps", ())
    for container, engine in serving_engines(snapshot.fact("workload.containers"), maps):
        subject = container["subject"]
        known, gpus = engine.profile.settings.get("tensor_parallel"), _gpus(workload, container["gpus"])
        setting = engine.settings.get("tensor_parallel")
        if setting is None:
            snapshot.require_read("service.configmaps")
        seen = Evidence(setting.source if setting else "args", setting.value if setting else None, f"{gpus} in all")
        if not engine.known or known is None or known.unit != "GPUs" or not gpus:
            yield not_applicable(subject, "it does not spread a model over GPUs by a number", seen)
            continue
        if setting is None and not known.default.isdigit():
            yield passed(subject, f"{engine.title} takes {known.default}", seen)
            continue
        if setting is None and gpus > 1 and not engine.visible:
            yield unknown(subject, "the command line is the image's own", seen)
            continue
        tensor = engine.number("tensor_parallel") if setting else float(known.default)
        pipeline = engine.number("pipeline_parallel") or 1
        data = whole_number(flag_value(engine, "--data-parallel-size", "-dp", "--dp-size") or "1")
        if tensor is None or data is None:
            wrong = setting.source if setting and tensor is None else "data parallel"
            yield unknown(subject, f"{wrong}: not a number", seen)
            continue
        ranks = int(tensor * pipeline * data)
        if ranks > gpus:
            yield failed(subject, f"{ranks} ranks on {gpus} GPU{'s' * (gpus > 1)}: it cannot start", seen)
        elif ranks < gpus:
            yield failed(subject, f"{ranks} rank{'s' * (ranks > 1)} on {gpus} GPUs: {gpus - ranks} lie idle", seen)
        else:
            yield passed(subject, f"{ranks} rank{'s' * (ranks > 1)} on {gpus} GPU{'s' * (gpus > 1)}", seen)


def _gpus(workload: Workload, own: int) -> int:
    """GPUs of the container, and of the workers of its group."""
    workers = worker_templates(workload.object)
    others = sum(pod_gpus(workers[0].get("spec") or {}, {}).values()) if workers else own
    return own + others * (workload.pods_per_replica - 1)
