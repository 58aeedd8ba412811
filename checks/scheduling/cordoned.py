from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.placement import wanted_nodes


@check(
    title="No node of the service is cordoned",
    severity=Severity.MEDIUM,
    needs=("workload", "cluster.nodes"),
    remediation="Finish the maintenance and run `kubectl uncordon`, or drain the node before the launch.",
    references=("https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/",),
)
def cordoned(snapshot: Snapshot) -> Iterator[Judgement]:
    """A cordoned node takes no new pod: a replica that restarts elsewhere is one GPU more than was planned for.

    It often means that somebody is about to take the node away.
    """
    workload = snapshot.fact("workload")
    nodes = snapshot.fact("cluster.nodes")
    for node in wanted_nodes(workload, nodes):
        seen = Evidence("spec.unschedulable", node.unschedulable, False)
        if node.unschedulable:
            yield failed(f"node/{node.name}", "is cordoned: no new pod comes here", seen)
        else:
            yield passed(f"node/{node.name}", "takes new pods", seen)
