from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.kube.quantity import parse_quantity
from inferaudit.placement import pod_requests, wanted_nodes


@check(
    title="A pod fits on one of its nodes",
    severity=Severity.HIGH,
    needs=("workload", "cluster.nodes"),
    remediation="Ask for less, or add nodes of a larger size; a pod's GPUs, memory and CPU must all be on one node.",
    references=("https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/",),
)
def fits_node(snapshot: Snapshot) -> Iterator[Judgement]:
    """Four GPUs on four nodes are no home for a pod of four.

    A request above what the largest node can give is never satisfied, and no autoscaler helps.
    """
    workload = snapshot.fact("workload")
    nodes = snapshot.fact("cluster.nodes")
    requests = pod_requests(workload)
    wanted = wanted_nodes(workload, nodes)
    lacking = {
        node.name: sorted(
            name
            for name, amount in requests.items()
            if name != "resource.k8s.io" and amount > (parse_quantity(node.allocatable.get(name)) or 0)
        )
        for node in wanted
    }
    asked = {name: float(amount) for name, amount in sorted(requests.items())}
    seen = Evidence("resources.requests of a pod", asked, "within the allocatable of one node")
    if not wanted:
        yield not_applicable(workload.subject, "no node matches, whatever its size", seen)
    elif all(lacking.values()):
        least = min(lacking.values(), key=len)
        yield failed(workload.subject, f"fits on none of {len(wanted)} nodes: too much {', '.join(least)}", seen)
    else:
        fitting = [name for name, missing in lacking.items() if not missing]
        yield passed(workload.subject, f"fits on {len(fitting)} of {len(wanted)} nodes when they are empty", seen)
