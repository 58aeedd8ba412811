from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.kube.selectors import untolerated
from inferaudit.placement import pod_spec, wanted_nodes


@check(
    title="The workload tolerates the taints of its nodes",
    severity=Severity.HIGH,
    needs=("workload", "cluster.nodes"),
    remediation="Add the toleration, for example `{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}`.",
    references=("https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/",),
)
def tolerations(snapshot: Snapshot) -> Iterator[Judgement]:
    """GPU nodes are tainted, so that nothing else lands on them; what may must say so.

    A toleration more than is needed does no harm; one that is missing leaves every pod pending.
    """
    workload = snapshot.fact("workload")
    nodes = snapshot.fact("cluster.nodes")
    wanted = wanted_nodes(workload, nodes)
    given = pod_spec(workload).get("tolerations")
    blocked = {node.name: untolerated(given, node.taints) for node in wanted}
    taints = sorted({f"{t.key}={t.value}:{t.effect}" for each in blocked.values() for t in each})
    seen = Evidence("spec.template.spec.tolerations", given, taints or "cover the taints")
    open_nodes = [name for name, each in blocked.items() if not each]
    if not wanted:
        yield not_applicable(workload.subject, "no node matches, whatever its taints", seen)
    elif not open_nodes:
        yield failed(workload.subject, f"none of its {len(wanted)} nodes lets it in: {', '.join(taints)}", seen)
    else:
        yield passed(workload.subject, f"{len(open_nodes)} of {len(wanted)} matching nodes let it in", seen)
