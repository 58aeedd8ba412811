from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed


@check(
    title="A GPU workload asks for its GPUs",
    severity=Severity.CRITICAL,
    needs=("workload", "workload.containers"),
    remediation='Set `resources.limits."nvidia.com/gpu"` on the serving container to the number of GPUs it uses.',
    references=("https://kubernetes.io/docs/tasks/manage-gpus/scheduling-gpus/",),
)
def gpu_limit(snapshot: Snapshot) -> Iterator[Judgement]:
    """A container that uses a GPU it did not ask for shares it unknowingly.

    The scheduler counts only what is asked for; another replica lands on the same device, and both run out of memory
    under load.
    """
    workload = snapshot.fact("workload")
    for container in snapshot.fact("workload.containers"):
        if not container["serving"]:
            continue
        subject, gpus = container["subject"], container["gpus"]
        limits = (container.get("resources") or {}).get("limits")
        seen = Evidence("resources.limits", limits, "a GPU resource, when the workload uses GPUs")
        if gpus:
            yield passed(subject, f"asks for {gpus} GPU{'s' * (gpus > 1)} in each pod", seen)
        elif workload.uses_gpu:
            yield failed(subject, "uses GPUs and asks the scheduler for none", seen)
        else:
            yield not_applicable(subject, "serves on CPU: no GPU is asked for, and nothing in it points to one", seen)
