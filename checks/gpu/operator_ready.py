from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown


@check(
    title="The GPU operator has validated its nodes",
    severity=Severity.HIGH,
    needs=("gpu.operator",),
    remediation="Look at the nvidia-operator-validator pod of the node: its init containers name the step that fails.",
    references=("https://docs.nvidia.com/datacenter/cloud-native/gpu-operator/latest/troubleshooting.html",),
)
def operator_ready(snapshot: Snapshot) -> Iterator[Judgement]:
    """The operator opens its barriers one by one: driver, container toolkit, CUDA, device plug-in.

    A node that stops on the way is Ready for Kubernetes and starts no GPU pod. Read from the operator's own metrics,
    where the page that was given holds them.
    """
    for node in snapshot.fact("gpu.operator"):
        steps = {
            "driver": node.driver_ready,
            "container toolkit": node.toolkit_ready,
            "CUDA": node.cuda_ready,
            "device plug-in": node.plugin_ready,
            "driver validation": node.driver_validation,
        }
        subject = f"node/{node.node}"
        seen = Evidence("gpu.operator", {**steps, "devices": node.devices}, "all ready")
        shut = [step for step, ready in steps.items() if ready is False]
        told = [step for step, ready in steps.items() if ready]
        if shut:
            yield failed(subject, f"not ready: {', '.join(shut)}", seen)
        elif node.devices == 0:
            yield failed(subject, "its device plug-in shows no GPU", seen)
        elif not told:
            yield unknown(subject, "the validator's metrics say of no step whether it is ready", seen)
        else:
            yield passed(subject, f"ready: {', '.join(told)}", seen)
