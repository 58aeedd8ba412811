from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.node_growth import KARPENTER_LABEL, autoscaler_status, groups_of
from inferaudit.placement import wanted_nodes


@check(
    title="Whoever adds nodes can add those that the service needs",
    severity=Severity.MEDIUM,
    needs=("workload", "cluster.nodes", "cluster.autoscaler"),
    optional=("cluster.platform", "workload.events"),
    remediation=(
        "Mend what the group's status names (mostly the provider's quota or a lack of that GPU), raise its maximum, or "
        "let the autoscaler's Deployment run: `kubectl -n kube-system get configmap cluster-autoscaler-status -o yaml`."
    ),
    references=(
        "https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md",
        "https://karpenter.sh/docs/",
    ),
)
def node_pool(snapshot: Snapshot) -> Iterator[Judgement]:
    """An autoscaler of pods asks for replicas; somebody else must add the nodes under them.

    Read is the Cluster Autoscaler's own status, which says of each group of nodes how many it may have and whether the
    provider gave the last that was asked for. Karpenter is told by the nodes it made. A provider's autoscaler that
    shows itself in no object is not judged, and neither is a pool of fixed size.
    """
    workload, nodes = snapshot.fact("workload"), wanted_nodes(snapshot.fact("workload"), snapshot.fact("cluster.nodes"))
    status = autoscaler_status(snapshot.fact("cluster.autoscaler"))
    mine = groups_of(nodes, status)
    if refusal := _refused(snapshot):
        seen = Evidence("events[NotTriggerScaleUp]", refusal, "TriggeredScaleUp")
        cause = ("state-pending", workload.subject)
        yield failed(workload.subject, f"no node is added for its pods: {refusal}", seen, key="events", cause=cause)
    for name, (group, _) in mine.items():
        size = {"target": group.target, "maximum": group.maximum, "scaleUp": group.scale_up, "error": group.error}
        seen = Evidence(f"status.nodeGroups[{name}]", size, "Healthy, and no Backoff")
        short = name.rpartition("/")[2]
        if group.scale_up == "Backoff":
            why = group.error or "the provider did not give the last ones"
            yield failed(workload.subject, f"{short} gets no more nodes: {why}", seen, key=name)
        elif not group.healthy:
            yield failed(workload.subject, f"{short} is unhealthy: no nodes are added to it", seen, key=name)
        else:
            sizes = f"{group.target} of at most {group.maximum} nodes"
            yield passed(workload.subject, f"{short} has {sizes}", seen, key=name)
    if not mine:
        yield _by_others(snapshot, [node.name for node in nodes if KARPENTER_LABEL in node.labels])


def _by_others(snapshot: Snapshot, karpenters: list[str]) -> Judgement:
    """What else shows who adds nodes: Karpenter's label, or the Deployment of an autoscaler."""
    subject = snapshot.fact("workload").subject
    status = autoscaler_status(snapshot.fact("cluster.autoscaler"))
    if karpenters:
        shown = Evidence(f"metadata.labels.{KARPENTER_LABEL}", karpenters[:5], "nodes that Karpenter made")
        return passed(subject, f"Karpenter made {len(karpenters)} of its nodes", shown)
    snapshot.require_read("cluster.platform")
    deployed = snapshot.fact_or("cluster.platform", [])
    adders = [each for each in deployed if each.role == "node-autoscaler"]
    idle = next((each for each in adders if each.ready == 0), None)
    if idle and not any(each.ready for each in adders):
        seen = Evidence("status.readyReplicas", idle.ready, ">= 1")
        wanted = "is scaled to zero" if not idle.desired else f"has none of its {idle.desired} pods ready"
        return failed(f"deployment/{idle.namespace}/{idle.name}", f"{wanted}: no node is added", seen)
    if status is not None:
        groups = [group.name for group in status.groups]
        seen = Evidence("status.nodeGroups", groups[:10], "the group of its nodes")
        return unknown(subject, f"which of {len(groups)} groups its nodes are of is not told by name or label", seen)
    if adders:
        names = [f"{each.namespace}/{each.name}" for each in adders]
        return unknown(subject, f"{names[0]} adds nodes; of which pools is not in view", Evidence("deployments", names))
    none = Evidence("kube-system/cluster-autoscaler-status", None, "an autoscaler of nodes")
    return not_applicable(
        subject, "no object shows an autoscaler of nodes: a pool of fixed size, or a provider's", none
    )


def _refused(snapshot: Snapshot) -> str:
    """The autoscaler's last word on the service's pods, where it was that it adds nothing."""
    events = snapshot.fact_or("workload.events", ())
    told = [e for e in events if e.get("reason") in ("NotTriggerScaleUp", "TriggeredScaleUp")]
    last = max(told, key=lambda e: str(e.get("lastTimestamp") or e.get("eventTime") or ""), default=None)
    if last is None or last["reason"] == "TriggeredScaleUp":
        return ""
    return str(last.get("message") or last.get("note") or "it gives no reason")[:300]
