from collections.abc import Iterator, Mapping
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.engine_args import Engine, engine_of, flag_value, serving_engines
from inferaudit.kube.images import repository
from inferaudit.kube.workloads import worker_templates
from inferaudit.units import whole_number

_SAME = ("model", "revision", "precision", "quantization", "tensor_parallel", "pipeline_parallel")


@check(
    title="The pods of a group run the same engine",
    severity=Severity.HIGH,
    needs=("workload", "workload.containers"),
    optional=("service.configmaps",),
    remediation=(
        "Give the worker's template the image, the model and the parallelism of the leader's, and as many nodes as "
        "the group has pods."
    ),
    references=("https://lws.sigs.k8s.io/docs/examples/",),
)
def group_agrees(snapshot: Snapshot) -> Iterator[Judgement]:
    """The ranks of one model on several pods meet at the start. One of another version, with another model or another
    count of ranks is waited for until a time-out, or speaks what the others do not understand.

    Judged are settings that both templates state; a worker that only joins a Ray cluster states none.
    """
    workload = snapshot.fact("workload")
    templates = worker_templates(workload.object)
    if workload.kind != "LeaderWorkerSet" or not templates:
        return
    maps = snapshot.fact_or("service.configmaps", ())
    leaders = serving_engines(snapshot.fact("workload.containers"), maps)
    workers = [c for c in (templates[0].get("spec") or {}).get("containers") or () if _asks_for_gpus(c)]
    if len(leaders) != 1 or len(workers) != 1:
        yield not_applicable(workload.subject, "which containers belong together cannot be told")
        return
    (container, leader), worker = leaders[0], engine_of({**workers[0], "serving": True}, maps)
    wrong = [*_differ(leader, worker), *_counts(leader, worker, workload.pods_per_replica)]
    images = [str(each.get("image")) for each in (container, workers[0])]
    if images[0] != images[1] and repository(images[0]) == repository(images[1]):
        wrong.append(("image", images, "one version in both"))
    pods = [(workload.template.get("spec") or {}, container), (templates[0].get("spec") or {}, workers[0])]
    shared = [_shares_memory(*each) for each in pods]
    if shared == [True, False]:
        wrong.append(("/dev/shm", {"leader": "in memory", "worker": "64 MiB"}, "in memory in both"))  # noqa: S108
    if wrong:
        what = ", ".join(path for path, _, _ in wrong)
        yield failed(workload.subject, f"leader and workers do not agree: {what}", *(Evidence(*each) for each in wrong))
    else:
        yield passed(workload.subject, "leader and workers agree", Evidence("image", images, "one version in both"))


def _asks_for_gpus(container: Mapping[str, Any]) -> bool:
    resources = container.get("resources") or {}
    amounts = {**(resources.get("requests") or {}), **(resources.get("limits") or {})}
    return bool(resources.get("claims")) or any("/" in name for name in amounts)


def _differ(leader: Engine, worker: Engine) -> Iterator[tuple[str, Any, str]]:
    for concept in _SAME:
        ours, theirs = leader.value(concept), worker.value(concept)
        if ours and theirs and ours != theirs:
            yield concept, {"leader": ours, "worker": theirs}, "the same"


def _counts(leader: Engine, worker: Engine, size: int) -> Iterator[tuple[str, Any, str]]:
    given = [flag_value(engine, "--nnodes") for engine in (leader, worker)]
    numbers = {number for text in given if (number := whole_number(text or "")) is not None}
    if numbers - {size}:
        yield "--nnodes", given, f"{size}, the size of the group"


def _shares_memory(spec: Mapping[str, Any], container: Mapping[str, Any]) -> bool:
    memory = {v.get("name") for v in spec.get("volumes") or () if (v.get("emptyDir") or {}).get("medium") == "Memory"}
    mounts = {m.get("name") for m in container.get("volumeMounts") or () if m.get("mountPath") == "/dev/shm"}  # noqa: S108
    return bool(memory & mounts) or bool(spec.get("hostIPC"))
