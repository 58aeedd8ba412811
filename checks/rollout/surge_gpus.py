from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.no_place import nowhere
from inferaudit.placement import free_gpus, placeable
from inferaudit.scaling import fenceposts


@check(
    title="GPUs are free for an update",
    severity=Severity.HIGH,
    needs=("workload", "cluster.nodes", "cluster.node_pods"),
    remediation=(
        "Free as many GPUs as maxSurge needs, or allow `maxUnavailable: 1` where the remaining replicas carry the load."
    ),
    references=("https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#max-surge",),
)
def surge_gpus(snapshot: Snapshot) -> Iterator[Judgement]:
    """With maxUnavailable 0 an update first starts a new pod beside the old ones. Without a free GPU it waits for
    ever.

    It is the deadlock that a cluster without spare GPUs meets at its first update.
    """
    workload = snapshot.fact("workload")
    node_pods = snapshot.fact("cluster.node_pods")
    free = free_gpus(workload, snapshot.fact("cluster.nodes"), node_pods)
    rolling = ((workload.object.get("spec") or {}).get("strategy") or {}).get("rollingUpdate") or {}
    replicas = workload.replicas or 0
    surge, unavailable = fenceposts(rolling, replicas)
    room = placeable(free, workload.gpus_per_pod)
    seen = Evidence("free GPUs by node", free, f">= {workload.gpus_per_pod} on one node for the first new pod")
    recreate = ((workload.object.get("spec") or {}).get("strategy") or {}).get("type") == "Recreate"
    advertised = workload.gpus_per_pod and "resource.k8s.io" not in workload.gpu_resources
    if workload.kind != "Deployment" or not advertised or recreate or not replicas:
        yield not_applicable(workload.subject, "its updates need no GPU beside the ones it has", seen)
    elif unavailable:
        yield passed(workload.subject, f"{unavailable} old replicas may end before new ones start", seen)
    elif room < 1:
        text = f"an update needs {workload.gpus_per_pod} more GPUs and none are free for it"
        yield failed(workload.subject, text, seen, cause=nowhere(workload, snapshot.fact("cluster.nodes")))
    else:
        yield passed(workload.subject, f"{min(room, surge)} new pods can start beside the old ones", seen)
