from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.kube.selectors import selects
from inferaudit.kube.workloads import template_labels
from inferaudit.pod_state import is_current

_WHOLE_NODE = 8  # GPUs: few nodes have more


@check(
    title="Replicas are spread over nodes",
    severity=Severity.MEDIUM,
    needs=("workload",),
    optional=("workload.pods",),
    remediation=(
        "Add a topologySpreadConstraint over `kubernetes.io/hostname` (and over zones), or a podAntiAffinity."
    ),
    references=("https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/",),
)
def spread(snapshot: Snapshot) -> Iterator[Judgement]:
    """The scheduler packs GPUs where they are free: without a rule all replicas may share one node, and one failure.

    A soft rule is enough: it must not keep pods from starting where GPUs are scarce.
    """
    workload = snapshot.fact("workload")
    spec = workload.template.get("spec") or {}
    terms = [*(spec.get("topologySpreadConstraints") or ())]
    anti = (spec.get("affinity") or {}).get("podAntiAffinity") or {}
    terms += anti.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    for term in anti.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
        terms.append(term.get("podAffinityTerm") or {})
    labels = template_labels(workload.template)
    # One that selects other pods spreads these as little as none does.
    blind = [t["labelSelector"] for t in terms if t.get("labelSelector") and not selects(t["labelSelector"], labels)]
    keys = [t.get("topologyKey") for t in terms if t.get("labelSelector") not in blind]
    pods = snapshot.fact_or("workload.pods", [])
    nodes = {(p.get("spec") or {}).get("nodeName") for p in pods if is_current(p)} - {None}
    running = len([p for p in pods if is_current(p) and (p.get("spec") or {}).get("nodeName")])
    seen = Evidence("topologySpreadConstraints, podAntiAffinity", keys or None, "over hosts or zones")
    where = Evidence("nodes of the pods", sorted(nodes), "more than one")
    if (workload.replicas or 0) < 2 and running < 2:
        yield not_applicable(workload.subject, "there are no replicas to spread", seen)
    elif running > 1 and len(nodes) == 1:
        yield failed(workload.subject, f"all {running} replicas run on {next(iter(nodes))}", where, seen)
    elif keys:
        snapshot.require_read("workload.pods")  # a soft rule, or one over zones, may have packed them all the same
        yield passed(workload.subject, f"replicas are spread by {', '.join(sorted({str(k) for k in keys}))}", seen)
    elif workload.gpus_per_pod >= _WHOLE_NODE:
        yield passed(workload.subject, f"a pod with {workload.gpus_per_pod} GPUs takes a node of its own", seen)
    elif blind:
        shown = Evidence("labelSelector", blind, f"one that selects {labels}")
        yield failed(workload.subject, "the rule that spreads replicas selects other pods", shown)
    else:
        yield failed(workload.subject, "nothing keeps all replicas from one node", seen, where)
