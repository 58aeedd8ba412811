import re
from collections.abc import Iterator

from inferaudit.api import (
    Evidence,
    Judgement,
    Severity,
    Snapshot,
    check,
    failed,
    not_applicable,
    passed,
    review,
    unknown,
)
from inferaudit.capacity import Capacity, named_quant, plan_capacity
from inferaudit.engine_args import Engine, quantised_as, serving_engines
from inferaudit.errors import UsageError
from inferaudit.gpu_table import GpuSpec, named_gpu, node_gpu
from inferaudit.kube.types import Node, Workload
from inferaudit.model_names import shape_from_name
from inferaudit.model_shapes import ModelShape
from inferaudit.placement import gpu_product, pinned_products, usable_nodes
from inferaudit.pod_state import is_current, is_ready, pod_name


@check(
    title="The model fits the GPUs it is given",
    severity=Severity.HIGH,
    needs=("workload", "workload.containers"),
    optional=("cluster.nodes", "service.configmaps", "workload.pods"),
    remediation="Quantise the weights, shorten the context, or ask for more or larger GPUs (`inferaudit capacity`).",
)
def model_fits(snapshot: Snapshot, *, default_context: int = 4096) -> Iterator[Judgement]:
    """Weights that leave no room for one request's KV cache end in an out-of-memory error at start or at first use.

    The size is computed from the model's name, its quantisation and the nodes it may run on (without a cluster, the
    product that its selector names), and named with its assumptions; what comes out within 5 % of the limit is left for
    a person to measure. Where the name tells no size, a pod that is ready proves that the model was loaded.
    """
    workload = snapshot.fact("workload")
    nodes_known = snapshot.error("cluster.nodes") is None
    nodes = usable_nodes(workload, snapshot.fact("cluster.nodes")) if nodes_known else []
    maps = snapshot.fact_or("service.configmaps", ())
    pods = snapshot.fact_or("workload.pods", ())
    serving = [pod_name(pod) for pod in pods if is_current(pod) and is_ready(pod)]
    for container, engine in serving_engines(snapshot.fact("workload.containers"), maps):
        subject, gpus = container["subject"], container["gpus"] * workload.pods_per_replica
        model = engine.value("model") or ""
        shape = shape_from_name(model)
        if not gpus:
            yield not_applicable(subject, "asks for no GPU", Evidence("gpus", container["gpus"]))
            continue
        if shape is None or engine.value("max_model_len") is None or quantised_as(engine) is None:
            snapshot.require_read("service.configmaps")
        if shape is None and not nodes_known:
            snapshot.fact("cluster.nodes")
        if shape is None:
            seen = Evidence("model", model or None, "a name that states its size")
            if serving:
                yield passed(
                    subject, f"{serving[0]} has loaded it", Evidence("pods that are ready", len(serving), ">= 1")
                )
                continue
            yield review(
                subject, "the model's size is not stated by its name: size it with `inferaudit capacity`", seen
            )
        elif (gpu := _smallest_gpu(workload, nodes, nodes_known=nodes_known)) is None:
            snapshot.fact("cluster.nodes")  # where nothing is pinned, the nodes alone could tell
            products = sorted({gpu_product(node) or "?" for node in nodes})
            yield unknown(subject, "the GPUs of its nodes are not known", Evidence("cluster.nodes", products))
        else:
            yield _judge(subject, engine, shape, gpu, gpus, default_context)


def _smallest_gpu(workload: Workload, nodes: list[Node], *, nodes_known: bool) -> GpuSpec | None:
    """The GPU with the least memory that a pod may get: a MIG slice by its profile, else by the labels of its nodes."""
    for resource in workload.gpu_resources:
        profile = re.fullmatch(r"nvidia\.com/mig-\d+g\.(\d+)gb.*", resource)
        if profile:
            return named_gpu(f"{profile[1]}GB")
    known = [node_gpu(gpu_product(node), node.labels) for node in nodes]
    if not nodes_known:
        known = [node_gpu(product, {}) for product in pinned_products(workload)]
    found = [gpu for gpu in known if gpu is not None]
    return min(found, key=lambda gpu: gpu.memory_bytes) if found and len(found) == len(known) else None


def _judge(subject: str, engine: Engine, shape: ModelShape, gpu: GpuSpec, gpus: int, context: int) -> Judgement:
    quant = quantised_as(engine) or shape.stored_quant or "fp16"
    try:
        named_quant(quant)
    except UsageError:
        return review(
            subject, f"weights quantised as {quant} cannot be sized from here", Evidence("quantization", quant)
        )
    tokens = int(engine.number("max_model_len") or context)
    share = engine.number("gpu_memory_fraction")
    fraction = share if share is not None and 0 < share <= 1 else 0.9
    wide = min(1.0, fraction + 0.05)
    plan, best = (
        plan_capacity(shape, gpu, quant=quant, context=max(1, tokens), gpus=gpus, memory_fraction=part)
        for part in (fraction, wide)
    )
    seen = (
        Evidence("weights_bytes", plan.weights_bytes, f"{gpus} × {gpu.key}, {plan.memory_bytes} B"),
        Evidence("kv_tokens_left", plan.kv_tokens_left, f">= {tokens}"),
        Evidence("assumptions", list(plan.assumptions)),
    )
    if plan.fits:
        return passed(subject, _words(plan, gpus, tokens), *seen)
    return (review if best.fits else failed)(subject, _words(plan, gpus, tokens), *seen)


def _words(plan: Capacity, gpus: int, tokens: int) -> str:
    return (
        f"{plan.model} as {plan.quant} is {plan.weights_bytes / 1e9:.1f} GB on {gpus} × {plan.gpu}: room for "
        f"{plan.kv_tokens_left:,} KV tokens, {plan.max_concurrency:,} requests of {tokens:,}"
    )
