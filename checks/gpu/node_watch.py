import re
from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.kube.types import NodeCondition
from inferaudit.placement import is_gpu_node, wanted_nodes

# EKS AcceleratedHardwareReady; AKS GPUMissing, XIDErrors, NVLinkStatusInactive; NVSentinel Gpu…Watch, SysLogsXIDError.
_OF_GPUS = re.compile(r"gpu|xid|nvlink|nvswitch|accelerat|dcgm|nvidia|fabric|iblink", re.IGNORECASE)


@check(
    title="Something watches the health of the nodes' GPUs",
    severity=Severity.LOW,
    needs=("workload", "cluster.nodes"),
    optional=("service.daemonsets",),
    remediation=(
        "Run an agent that turns GPU faults into node conditions (node-problem-detector, the cloud's node agent, "
        "NVSentinel), or alert on the DCGM exporter."
    ),
    references=(
        "https://github.com/kubernetes/node-problem-detector",
        "https://docs.aws.amazon.com/eks/latest/userguide/node-health.html",
        "https://learn.microsoft.com/azure/aks/gpu-health-monitoring",
    ),
)
def node_watch(snapshot: Snapshot) -> Iterator[Judgement]:
    """An audit sees the GPUs of one moment. Faults come later, and the kubelet does not look for them.

    Judged are conditions of the GPU nodes that the service may use; without any, agents that run as DaemonSets.
    """
    unread = snapshot.error("service.daemonsets")
    watchers = sorted(
        {
            each.role
            for each in (() if unread else snapshot.fact("service.daemonsets"))
            if each.role in ("node-problem-detector", "dcgm-exporter")
        }
    )
    for node in wanted_nodes(snapshot.fact("workload"), snapshot.fact("cluster.nodes")):
        if not is_gpu_node(node):
            continue
        subject = f"node/{node.name}"
        told = [each for each in node.conditions if _OF_GPUS.search(each.type)]
        seen = Evidence("status.conditions", [f"{each.type}={each.status}" for each in told], "conditions of GPUs")
        bad = [each for each in told if _bad(each)]
        if bad:
            said = "; ".join(f"{each.type}={each.status} {each.reason}".strip() for each in bad)
            yield failed(subject, said, seen, cause=("scheduling-node-conditions", subject))
        elif told:
            yield passed(subject, f"watched: {', '.join(each.type for each in told)}", seen)
        elif watchers:
            yield passed(subject, f"no condition speaks of GPUs; there is {' and '.join(watchers)}", seen)
        elif unread:
            yield unknown(subject, f"no condition speaks of GPUs; DaemonSets: {unread.reason}", seen)
        else:
            yield failed(subject, "neither a condition nor a DaemonSet that is known watches its GPUs", seen)


def _bad(condition: NodeCondition) -> bool:
    """Conditions of health must be True, problems must not be."""
    if condition.type.endswith(("Ready", "Healthy")):
        return condition.status != "True"
    return condition.status == "True"
