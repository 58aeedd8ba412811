from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.kube.quantity import gpu_quantities
from inferaudit.placement import is_gpu_node


@check(
    title="GPUs are advertised on every GPU node",
    severity=Severity.HIGH,
    needs=("workload", "cluster.nodes", "service.daemonsets"),
    remediation=(
        "Look at the plug-in's pods that are not ready; on managed nodes, at the driver and the container toolkit."
    ),
    references=("https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/",),
)
def device_plugin(snapshot: Snapshot) -> Iterator[Judgement]:
    """The device plug-in tells the kubelet which GPUs there are. Where it is down, no GPU can be allocated after a
    restart.

    Without a plug-in of its own in view, nodes that advertise GPUs prove that something does its work.
    """
    workload = snapshot.fact("workload")
    nodes = snapshot.fact("cluster.nodes")
    plugins = [d for d in snapshot.fact("service.daemonsets") if d.role in ("device-plugin", "dra-driver")]
    gpu_nodes = [node for node in nodes if is_gpu_node(node)]
    if not workload.uses_gpu:
        yield not_applicable(workload.subject, "serves on CPU", Evidence("resources", None, "a GPU workload"))
    for plugin in plugins if workload.uses_gpu else ():
        subject = f"daemonset/{plugin.namespace}/{plugin.name}"
        seen = Evidence("status", {"desired": plugin.desired, "ready": plugin.ready}, "ready on every GPU node")
        if plugin.desired is None or plugin.ready is None:
            yield unknown(subject, "shows no status", seen)
        elif plugin.ready < plugin.desired:
            yield failed(subject, f"ready on {plugin.ready} of {plugin.desired} nodes", seen)
        else:
            yield passed(subject, f"ready on {plugin.ready} nodes", seen)
    if workload.uses_gpu and not plugins:
        have = [node.name for node in gpu_nodes if gpu_quantities(node.allocatable)]
        seen = Evidence("status.allocatable", have, "GPUs")
        if have:
            yield passed(workload.subject, f"{len(have)} nodes advertise GPUs", seen)
        elif "resource.k8s.io" in workload.gpu_resources:
            yield unknown(workload.subject, "GPUs come by claims, and no DRA driver is in view", seen)
        else:
            yield failed(workload.subject, "no device plug-in is in view and no node advertises a GPU", seen)
