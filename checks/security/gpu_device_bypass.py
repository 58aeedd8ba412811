from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed

_VARIABLES = ("NVIDIA_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")
_HARMLESS = frozenset({"", "none", "void"})


@check(
    title="GPUs are allocated by the scheduler, not taken",
    severity=Severity.HIGH,
    needs=("workload", "workload.containers"),
    remediation=(
        "Remove NVIDIA_VISIBLE_DEVICES and /dev/nvidia* from the pod, and ask for GPUs under `resources.limits`."
    ),
    references=("https://github.com/NVIDIA/k8s-device-plugin#readme",),
)
def gpu_device_bypass(snapshot: Snapshot) -> Iterator[Judgement]:
    """A container that names its devices itself sees GPUs that belong to other pods.

    Nothing counts them: two models land on one GPU, and either may run out of memory because of the other.
    """
    workload = snapshot.fact("workload")
    volumes = {
        v.get("name"): (v.get("hostPath") or {}).get("path", "")
        for v in (workload.template.get("spec") or {}).get("volumes") or ()
    }
    for container in snapshot.fact("workload.containers"):
        literals = {
            e.get("name"): str(e.get("value")) for e in container.get("env") or () if e.get("value") is not None
        }
        found = {
            f"env.{name}": literals[name]
            for name in _VARIABLES
            # An index list in CUDA_VISIBLE_DEVICES only chooses among GPUs that the container already has.
            if literals.get(name, "").lower() not in _HARMLESS
            and (name != "CUDA_VISIBLE_DEVICES" or not container["gpus"])
        }
        for mount in container.get("volumeMounts") or ():
            if volumes.get(mount.get("name"), "").startswith("/dev/nvidia"):
                found[f"volumeMounts.{mount.get('name')}"] = volumes[mount.get("name")]
        seen = Evidence("env, volumeMounts", found or None, "no GPU named by hand")
        if found:
            listed = ", ".join(f"{name} = {value}" for name, value in found.items())
            yield failed(container["subject"], f"takes GPUs past the scheduler: {listed}", seen)
        else:
            yield passed(container["subject"], "names no GPU device by hand", seen)
