import re
from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, review

# OpenCost's and Kubecost's own exporters: https://opencost.io/docs/integrations/metrics/
_METRICS = re.compile(
    r"node_(?:gpu|cpu|ram|total)_hourly_cost|container_(?:cpu|memory|gpu)_allocation(?:_bytes)?|pv_hourly_cost"
    r"|kubecost_\w+|opencost_\w+|pod_pvc_allocation"
)


@check(
    title="What the cluster's GPUs cost is watched",
    severity=Severity.LOW,
    needs=("workload", "cluster.platform"),
    optional=("prometheus.names",),
    remediation="Run OpenCost or Kubecost beside Prometheus, or attest the bill's report for `gpu.cost-monitoring`.",
    references=("https://opencost.io/docs/", "https://www.finops.org/framework/capabilities/allocation/"),
)
def monitored(snapshot: Snapshot) -> Iterator[Judgement]:
    """A GPU that nobody uses costs as much as one that serves, and only a figure by namespace and day shows it.

    Counted are OpenCost and Kubecost as Deployments of any namespace, or their metrics in Prometheus. A provider's own
    report stands in no object: a person says so.
    """
    workload = snapshot.fact("workload")
    found = [each for each in snapshot.fact("cluster.platform") if each.role == "cost-monitor"]
    names = snapshot.fact_or("prometheus.names", [])
    metrics = sorted(name for name in names if _METRICS.fullmatch(name))
    running = [each for each in found if each.ready]
    told = [f"deployment/{each.namespace}/{each.name}" for each in found]
    seen = Evidence("deployments, metrics", {"deployments": told, "metrics": metrics[:5]}, "OpenCost, Kubecost")
    if running:
        yield passed(workload.subject, f"costs are computed by {running[0].namespace}/{running[0].name}", seen)
    elif metrics:
        yield passed(workload.subject, f"Prometheus has {metrics[0]}", seen)
    elif found:
        status = Evidence("status.readyReplicas", found[0].ready, ">= 1")
        yield failed(told[0], "is there and not ready: costs are not computed", status)
    else:
        snapshot.require_read("prometheus.names")
        yield review(workload.subject, "no object computes costs: where is the service's bill seen?", seen)
