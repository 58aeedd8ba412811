from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown


@check(
    title="The GPUs of a node are of one kind",
    severity=Severity.HIGH,
    needs=("nvml.gpus",),
    remediation="Keep different products on different nodes, and select one of them with a node label.",
)
def mixed_products(snapshot: Snapshot) -> Iterator[Judgement]:
    """With two products on a node the scheduler decides which one a replica gets.

    Latency then depends on luck, and a tensor-parallel group runs at the pace and memory of its smallest member.
    """
    gpus = snapshot.fact("nvml.gpus")
    for node in sorted({gpu.node for gpu in gpus}):
        here = [gpu for gpu in gpus if gpu.node == node]
        products = sorted({gpu.product for gpu in here if gpu.product})
        seen = Evidence("nvml.gpus.product", products, "one product")
        if len(products) > 1:
            yield failed(f"node/{node}", f"has GPUs of {len(products)} kinds: {', '.join(products)}", seen)
        elif any(gpu.product is None for gpu in here):
            yield unknown(f"node/{node}", "not every GPU tells its product", seen)
        elif len(here) == 1:
            yield not_applicable(f"node/{node}", f"has one GPU: {products[0]}", seen)
        else:
            yield passed(f"node/{node}", f"{len(here)} × {products[0]}", seen)
