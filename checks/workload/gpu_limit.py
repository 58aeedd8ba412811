from collections.abc import Iterator, Mapping
from typing import Any

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
        elif signs := _signs(workload.template.get("spec") or {}, container):
            shown = Evidence(", ".join(signs), list(signs.values()), "comes with a GPU resource")
            yield failed(subject, "is made for GPUs and asks the scheduler for none", seen, shown)
        elif workload.uses_gpu:
            yield failed(subject, "uses GPUs and asks the scheduler for none", seen)
        else:
            yield not_applicable(subject, "serves on CPU: no GPU is asked for, and nothing in it points to one", seen)


def _signs(spec: Mapping[str, Any], container: Mapping[str, Any]) -> dict[str, str]:
    """What says that the pod is meant to have a GPU, by its path. A toleration alone says only where it may go."""
    signs = {
        f"nodeSelector.{key}": str(value)
        for key, value in (spec.get("nodeSelector") or {}).items()
        if key.startswith(("nvidia.com/", "amd.com/gpu", "cloud.google.com/gke-accelerator"))
    }
    runtime = str(spec.get("runtimeClassName") or "")
    if runtime.startswith("nvidia"):
        signs["runtimeClassName"] = runtime
    for variable in container.get("env") or ():
        if variable.get("name") == "NVIDIA_VISIBLE_DEVICES" and variable.get("value") not in (None, "", "void", "none"):
            signs["env.NVIDIA_VISIBLE_DEVICES"] = str(variable["value"])
    return signs
