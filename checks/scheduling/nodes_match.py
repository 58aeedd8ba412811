from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.kube.selectors import node_is_wanted, required_node_terms
from inferaudit.no_place import no_gpus_at_all
from inferaudit.placement import pod_spec, wanted_nodes


@check(
    title="Nodes exist that the workload asks for",
    severity=Severity.HIGH,
    needs=("workload", "cluster.nodes"),
    remediation=(
        "Correct nodeSelector or nodeAffinity, or label the nodes; `kubectl get nodes --show-labels` tells what "
        "there is."
    ),
    references=("https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/",),
)
def nodes_match(snapshot: Snapshot) -> Iterator[Judgement]:
    """A selector that no node satisfies leaves every pod pending, without an error in the deployment.

    A node pool that an autoscaler grows from zero shows no node either: then this is a warning to be waived.
    """
    workload = snapshot.fact("workload")
    nodes = snapshot.fact("cluster.nodes")
    spec = pod_spec(workload)
    wanted = wanted_nodes(workload, nodes)
    asked = {
        "nodeSelector": spec.get("nodeSelector"),
        "nodeAffinity": required_node_terms(spec),
        "gpus": workload.gpu_resources or None,
    }
    seen = Evidence("spec.template.spec", {k: v for k, v in asked.items() if v}, f"matches some of {len(nodes)} nodes")
    if not nodes:
        yield unknown(workload.subject, "the cluster shows no nodes", seen)
    elif wanted:
        names = ", ".join(node.name for node in wanted[:5])
        yield passed(workload.subject, f"{len(wanted)} of {len(nodes)} nodes match: {names}", seen)
    else:
        labelled = [node for node in nodes if node_is_wanted(spec, node)]
        lacking = " and ".join(workload.gpu_resources)
        why = (
            f"{len(labelled)} nodes match the labels and none has {lacking}"
            if labelled
            else "no node matches the labels"
        )
        cause = no_gpus_at_all(workload, nodes) if labelled else None
        yield failed(workload.subject, f"{why}; the cluster has {len(nodes)}", seen, cause=cause)
