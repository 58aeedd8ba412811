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
from inferaudit.capacity import KV_BYTES, Capacity, plan_capacity
from inferaudit.engine_args import Engine, quantised_as, serving_engines
from inferaudit.errors import UsageError
from inferaudit.gpu_table import GpuSpec, node_gpu
from inferaudit.kv_reported import ReportedKv, reported_kv
from inferaudit.model_names import shape_from_name
from inferaudit.model_shapes import ModelShape
from inferaudit.placement import gpu_product, usable_nodes


@check(
    title="The engine's KV cache is as large as planned",
    severity=Severity.MEDIUM,
    needs=("endpoint.metrics",),
    optional=(
        *("workload", "workload.containers", "service.configmaps"),
        *("cluster.nodes", "nvml.gpus", "endpoint.target"),
    ),
    remediation=(
        "Look for what else holds GPU memory, at the engine's memory fraction, and at the context length; plan the "
        "number of replicas by what the engine reports (`inferaudit capacity` prints the terms)."
    ),
    references=("https://docs.vllm.ai/en/stable/configuration/conserving_memory.html",),
)
def capacity_misread(
    snapshot: Snapshot, *, tolerance: float = 0.25, default_fraction: float = 0.9
) -> Iterator[Judgement]:
    """How many requests a replica holds at once follows from its KV cache, and replicas are planned by that number.

    Engines take what is left after weights and overhead and say how much that was. Where it is far from the plan, the
    plan is read wrongly: another process, a smaller fraction, another model, or other GPUs. Without a workload the
    endpoint's model on all GPUs that the driver shows is what was planned.
    """
    reported = reported_kv(snapshot.fact("endpoint.metrics"))
    seen = Evidence("endpoint.metrics", reported and reported.tokens, "KV cache size in tokens")
    replicas = list(_replicas(snapshot))
    if not replicas and reported is not None and snapshot.error("workload.containers"):
        yield unknown(
            _endpoint(snapshot), f"the engine reports {reported.tokens:,} KV tokens, and no GPU is known", seen
        )
    for subject, engine, model, gpus in replicas:
        if reported is None and engine is None:
            yield not_applicable(subject, "the metrics tell of no engine that plans a KV cache", seen)
            continue
        if reported is None:
            yield unknown(subject, "the engine's metrics do not tell the size of its KV cache", seen)
            continue
        longest = engine.number("max_model_len") if engine else None
        if longest is not None and reported.tokens < longest:
            said = f"its KV cache holds {reported.tokens:,} tokens, less than one request of {longest:,.0f} may take"
            yield failed(subject, said, seen, key="context")
        shape = shape_from_name(model)
        plan = _plan(shape, engine, reported, _gpu(snapshot), gpus, default_fraction)
        if isinstance(plan, str) or shape is None:
            said = f"the engine reports {reported.tokens:,} KV tokens, and no plan can be made: {plan}"
            yield unknown(subject, said, seen)
        elif reported.blocks and (shape.window_layers or shape.cacheless_layers):
            said = f"its {reported.tokens:,} tokens are blocks: the layers of {shape.name} keep different contexts"
            yield unknown(subject, said, seen)
        else:
            yield _compared(subject, reported, shape, plan, tolerance)


def _replicas(snapshot: Snapshot) -> Iterator[tuple[str, Engine | None, str, int]]:
    """(subject, engine, model, GPUs) of what serves: containers with GPUs, else the endpoint on the GPUs seen."""
    if snapshot.error("workload.containers") or snapshot.error("workload"):
        if snapshot.error("nvml.gpus") is None and snapshot.error("endpoint.target") is None:
            model = snapshot.fact("endpoint.target").model
            yield _endpoint(snapshot) or "", None, model, len(snapshot.fact("nvml.gpus"))
        return
    workload = snapshot.fact("workload")
    maps = () if snapshot.error("service.configmaps") else snapshot.fact("service.configmaps")
    for container, engine in serving_engines(snapshot.fact("workload.containers"), maps):
        if gpus := container["gpus"] * workload.pods_per_replica:
            yield container["subject"], engine, engine.value("model") or "", gpus


def _endpoint(snapshot: Snapshot) -> str | None:
    return None if snapshot.error("endpoint.target") else str(snapshot.fact("endpoint.target").subject)


def _gpu(snapshot: Snapshot) -> GpuSpec | None:
    """The one product that the driver shows, else the one of the nodes the service may use."""
    if snapshot.error("nvml.gpus") is None:
        found = [gpu.table for gpu in snapshot.fact("nvml.gpus")]
    elif snapshot.error("cluster.nodes") is None:
        nodes = usable_nodes(snapshot.fact("workload"), snapshot.fact("cluster.nodes"))
        found = [node_gpu(gpu_product(node), node.labels) for node in nodes]
    else:
        found = []
    keys = {spec.key if spec else None for spec in found}
    return found[0] if len(keys) == 1 else None


def _plan(
    shape: ModelShape | None,
    engine: Engine | None,
    reported: ReportedKv,
    gpu: GpuSpec | None,
    gpus: int,
    default_fraction: float,
) -> Capacity | str:
    """What was planned; the engine's own fraction and format, where it tells them, are no misreading."""
    if shape is None:
        return "the model's size is not stated by its name"
    if gpu is None:
        return "its GPUs are not of one known product"
    stated = engine.number("gpu_memory_fraction") if engine else None
    fraction = stated if stated and 0 < stated <= 1 else reported.fraction or default_fraction
    kv = ((engine and engine.value("kv_cache_precision")) or reported.kv_dtype).lower().partition("_")[0]
    try:
        return plan_capacity(
            shape,
            gpu,
            quant=(quantised_as(engine) if engine else None) or shape.stored_quant or "fp16",
            kv_dtype=kv if kv in KV_BYTES else "fp16",
            context=int((engine and engine.number("max_model_len")) or 4096),
            gpus=gpus,
            memory_fraction=fraction,
        )
    except UsageError as error:
        return str(error)


def _compared(subject: str, reported: ReportedKv, shape: ModelShape, plan: Capacity, tolerance: float) -> Judgement:
    planned = plan.kv_tokens_left
    if shape.window_layers or shape.cacheless_layers:  # engines then state requests of full length times that length
        planned = round(planned * plan.kv_bytes_per_token * plan.context / plan.kv_bytes) if plan.kv_bytes else planned
    seen = Evidence(reported.metric, reported.tokens, f"{planned} ± {tolerance:.0%}")
    said = (
        f"the engine reports {reported.tokens:,} KV tokens, the plan {planned:,} "
        f"({plan.model} as {plan.quant} on {plan.gpu})"
    )
    if reported.tokens < planned * (1 - tolerance):
        return failed(subject, said, seen)
    if reported.tokens > planned * (1 + tolerance):
        return review(subject, f"{said}: the plan sees less than there is", seen)
    return passed(subject, said, seen)
