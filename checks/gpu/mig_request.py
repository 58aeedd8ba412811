from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown


@check(
    title="The node has the MIG devices the workload asks for",
    severity=Severity.CRITICAL,
    needs=("nvml.gpus", "workload"),
    remediation="Create the asked profile with the MIG manager (`nvidia.com/mig.config`), or ask for one the node has.",
    references=("https://docs.nvidia.com/datacenter/cloud-native/kubernetes/latest/index.html",),
)
def mig_request(snapshot: Snapshot) -> Iterator[Judgement]:
    """A request for `nvidia.com/mig-1g.10gb` is met by that profile alone; a whole GPU does not satisfy it.

    Pods then stay pending on a node that is full of free GPUs.
    """
    workload, gpus = snapshot.fact("workload"), snapshot.fact("nvml.gpus")
    node = ", ".join(sorted({gpu.node for gpu in gpus}))
    prefix = "nvidia.com/mig-"
    asked = {name.removeprefix(prefix): n for name, n in workload.gpu_resources.items() if name.startswith(prefix)}
    if not asked:
        seen = Evidence("workload.gpu_resources", dict(workload.gpu_resources))
        yield not_applicable(workload.subject, "asks for no MIG device", seen)
        return
    if any(gpu.mig_instances is None and not gpu.lacks("mig_instances") for gpu in gpus):
        yield unknown(workload.subject, f"the MIG devices of {node} are not all told", Evidence("nvml.gpus", None))
        return
    profiles = [instance.profile for gpu in gpus for instance in gpu.mig_instances or ()]
    for profile, count in sorted(asked.items()):
        found = profiles.count(profile)
        seen = Evidence("nvml.gpus.mig_instances", sorted(p or "?" for p in profiles), f"{count} × {profile}")
        said = f"asks for {count} × {profile}; {node} has {found}"
        yield (passed if found >= count else failed)(workload.subject, said, seen, key=profile)
