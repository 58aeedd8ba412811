from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.placement import wanted_nodes


@check(
    title="The nodes under the service are healthy",
    severity=Severity.HIGH,
    needs=("workload", "cluster.nodes"),
    optional=("workload.pods",),
    remediation="Look at the condition with `kubectl describe node`; cordon and drain the node if it does not clear.",
    references=(
        "https://kubernetes.io/docs/concepts/architecture/nodes/",
        "https://github.com/kubernetes/node-problem-detector",
    ),
)
def node_conditions(snapshot: Snapshot) -> Iterator[Judgement]:
    """A node that is not ready, under pressure, or whose GPUs a node agent has found faulty takes its replicas with
    it.

    Judged are the nodes that carry pods of the service, or those that it may use while it has none.
    """
    workload = snapshot.fact("workload")
    nodes = snapshot.fact("cluster.nodes")
    pods = snapshot.fact_or("workload.pods", [])
    used = {(p.get("spec") or {}).get("nodeName") for p in pods} - {None}
    chosen = [n for n in nodes if n.name in used] or wanted_nodes(workload, nodes)
    for node in chosen:
        # Conditions of health (Ready, AcceleratedHardwareReady, GPUHealthy) must be True, problems must not be.
        bad = [
            f"{c.type}={c.status}{f': {c.reason}' if c.reason else ''}"
            for c in node.conditions
            if (c.status != "True" if c.type.endswith(("Ready", "Healthy")) else c.status == "True")
        ]
        seen = Evidence("status.conditions", bad or len(node.conditions), "Ready, and no problem")
        if bad:
            snapshot.require_read("workload.pods")  # it may be a node that carries none of them
            yield failed(f"node/{node.name}", "; ".join(bad), seen)
        elif not any(c.type == "Ready" for c in node.conditions):
            yield unknown(f"node/{node.name}", "the node shows no condition that says whether it is ready", seen)
        else:
            yield passed(f"node/{node.name}", "Ready, and no problem is reported", seen)
