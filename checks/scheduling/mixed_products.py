from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.placement import gpu_product, usable_nodes


@check(
    title="All replicas run on the same GPU model",
    severity=Severity.MEDIUM,
    needs=("workload", "cluster.nodes"),
    optional=("workload.pods",),
    remediation="Select one product, for example `nodeSelector: {nvidia.com/gpu.product: NVIDIA-A100-SXM4-80GB}`.",
    references=(
        "https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/",
        "https://github.com/NVIDIA/k8s-device-plugin/tree/main/docs/gpu-feature-discovery",
    ),
)
def mixed_products(snapshot: Snapshot) -> Iterator[Judgement]:
    """What was measured on one GPU model says nothing about another: memory, speed and supported precisions differ.

    A service on two of them has two latencies, by the luck of the load balancer.
    """
    workload = snapshot.fact("workload")
    nodes = snapshot.fact("cluster.nodes")
    usable = usable_nodes(workload, nodes)
    products: dict[str, list[str]] = {}
    for node in usable:
        products.setdefault(gpu_product(node) or "", []).append(node.name)
    pods = snapshot.fact_or("workload.pods", [])
    used = {(p.get("spec") or {}).get("nodeName") for p in pods}
    running = sorted(product for product, names in products.items() if used & set(names))
    seen = Evidence(
        "GPU products of the nodes it may use", {p or "not labelled": n for p, n in products.items()}, "one"
    )
    if not workload.uses_gpu or not usable:
        yield not_applicable(workload.subject, "there are no GPU nodes that it may use", seen)
    elif len(running) > 1:
        yield failed(
            workload.subject, f"replicas run on {' and '.join(p or 'GPUs without a label' for p in running)}", seen
        )
    elif len(products) > 1:
        yield failed(
            workload.subject, f"replicas may land on {' or '.join(sorted(p or 'others' for p in products))}", seen
        )
    elif "" in products:
        yield unknown(workload.subject, "the nodes carry no label of their GPU product", seen)
    else:
        yield passed(workload.subject, f"all its nodes have {next(iter(products))}", seen)
