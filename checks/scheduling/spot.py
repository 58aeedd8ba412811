from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.placement import is_spot, usable_nodes


@check(
    title="The service does not rest on spot nodes",
    severity=Severity.MEDIUM,
    needs=("workload", "cluster.nodes", "policy"),
    optional=("workload.pods",),
    remediation=(
        "Select on-demand nodes, or set `service.interruption_tolerant: true` in the policy and keep a fallback "
        "on demand."
    ),
    references=("https://kubernetes.io/docs/concepts/workloads/pods/disruptions/",),
)
def spot(snapshot: Snapshot) -> Iterator[Judgement]:
    """A spot node is taken away with two minutes' notice or less: too short to load a model elsewhere.

    That suits work that can be lost and done again, with on-demand capacity to fall back on.
    """
    workload = snapshot.fact("workload")
    nodes = snapshot.fact("cluster.nodes")
    tolerant = (snapshot.fact("policy").get("service") or {}).get("interruption_tolerant", False)
    usable = usable_nodes(workload, nodes)
    pods = snapshot.fact_or("workload.pods", [])
    used = {(p.get("spec") or {}).get("nodeName") for p in pods}
    spot = [node.name for node in usable if is_spot(node)]
    on_spot = sorted(set(spot) & used)
    seen = Evidence("spot nodes that it may use", spot, "none, or a load that tolerates interruption")
    if not usable:
        yield not_applicable(workload.subject, "there are no nodes that it may use", seen)
    elif not spot:
        yield passed(workload.subject, f"none of its {len(usable)} nodes is a spot node", seen)
    elif not tolerant:
        where = f"runs on {', '.join(on_spot)}" if on_spot else f"may run on {', '.join(spot[:5])}"
        yield failed(workload.subject, f"{where}: the provider may take that away", seen)
    elif len(spot) == len(usable):
        yield failed(workload.subject, "every node that it may use is a spot node: nothing to fall back on", seen)
    else:
        yield passed(workload.subject, "the load tolerates interruption, and on-demand nodes are there", seen)
