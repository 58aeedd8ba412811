from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.kube.quantity import parse_quantity


@check(
    title="Servers on several GPUs have enough shared memory",
    severity=Severity.HIGH,
    needs=("workload", "workload.containers"),
    remediation=(
        "Mount an `emptyDir: {medium: Memory, sizeLimit: 8Gi}` at /dev/shm; it counts against the memory limit."
    ),
    references=(
        "https://docs.vllm.ai/en/latest/deployment/k8s/",
        "https://docs.nvidia.com/deeplearning/nccl/user-guide/",
    ),
)
def shared_memory(snapshot: Snapshot, *, minimum: str = "1Gi") -> Iterator[Judgement]:
    """Processes of one model on several GPUs talk through /dev/shm, of which a container has 64 MiB.

    With so little, NCCL and worker processes fail at start or, worse, under load with a bus error.
    """
    workload = snapshot.fact("workload")
    volumes = {v.get("name"): v for v in (workload.template.get("spec") or {}).get("volumes") or ()}
    for container in snapshot.fact("workload.containers"):
        if not container["serving"]:
            continue
        subject = container["subject"]
        mounts = [m for m in container.get("volumeMounts") or () if m.get("mountPath") == "/dev/shm"]  # noqa: S108
        volume = volumes.get(mounts[0].get("name")) if mounts else None
        memory = (volume or {}).get("emptyDir") or {}
        size = memory.get("sizeLimit")
        limit = ((container.get("resources") or {}).get("limits") or {}).get("memory")
        seen = Evidence("volumeMounts[/dev/shm]", memory or None, f"emptyDir, medium Memory, at least {minimum}")
        if container["gpus"] < 2:
            yield not_applicable(subject, "one GPU or none: no processes that share memory", seen)
        elif volume is None and (workload.template.get("spec") or {}).get("hostIPC"):
            yield passed(subject, "it uses the host's shared memory, which has its own finding", seen)
        elif volume is None:
            yield failed(subject, f"{container['gpus']} GPUs and 64 MiB of /dev/shm", seen)
        elif memory.get("medium") != "Memory":
            yield failed(subject, "the shared memory is not in memory: it goes to the node's disk", seen)
        elif size and (parse_quantity(size) or 0) < (parse_quantity(minimum) or 0):
            yield failed(subject, f"the shared memory holds {size} for {container['gpus']} GPUs", seen)
        elif size and limit and (parse_quantity(size) or 0) >= (parse_quantity(limit) or 0):
            text = f"up to {size} of shared memory count against the memory limit of {limit}: nothing is left"
            yield failed(subject, text, seen, Evidence("resources.limits.memory", limit, f"> {size}"))
        else:
            yield passed(subject, f"the shared memory is in memory, {size or 'without a limit of its own'}", seen)
