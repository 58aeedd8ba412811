from collections.abc import Iterator, Sequence

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, review, unknown
from inferaudit.capacity import KV_BYTES, Capacity, plan_capacity
from inferaudit.engine_args import Engine, quantised_as, serving_engines
from inferaudit.errors import UsageError
from inferaudit.exposition import MetricFamily, samples
from inferaudit.gpu_table import GpuSpec, node_gpu
from inferaudit.model_shapes import shape_from_name
from inferaudit.placement import gpu_product, usable_nodes


@check(
    title="The engine's KV cache is as large as planned",
    severity=Severity.MEDIUM,
    needs=("workload", "workload.containers", "endpoint.metrics"),
    optional=("service.configmaps", "cluster.nodes", "nvml.gpus"),
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
    plan is read wrongly: another process, a smaller fraction, another model, or other GPUs.
    """
    workload, families = snapshot.fact("workload"), snapshot.fact("endpoint.metrics")
    maps = () if snapshot.error("service.configmaps") else snapshot.fact("service.configmaps")
    reported = _reported(families)
    for container, engine in serving_engines(snapshot.fact("workload.containers"), maps):
        subject, gpus = container["subject"], container["gpus"] * workload.pods_per_replica
        seen = Evidence("endpoint.metrics", reported, "KV cache size in tokens")
        if not gpus:
            continue
        if reported is None:
            yield unknown(subject, "the engine's metrics do not tell the size of its KV cache", seen)
            continue
        longest = engine.number("max_model_len")
        if longest is not None and reported < longest:
            said = f"its KV cache holds {reported:,} tokens, less than one request of {longest:,.0f} may take"
            yield failed(subject, said, seen, key="context")
        plan = _plan(engine, _gpu(snapshot), gpus, default_fraction)
        if isinstance(plan, str):
            yield unknown(subject, f"the engine reports {reported:,} KV tokens, and no plan can be made: {plan}", seen)
        else:
            yield _compared(subject, reported, plan, tolerance)


def _reported(families: Sequence[MetricFamily]) -> int | None:
    """KV tokens of one engine: vLLM's ``cache_config_info`` labels, SGLang's gauge; the least of several."""
    told = []
    for sample in samples(families, "vllm:cache_config_info"):
        size, blocks, block = (
            sample.labels.get(k, "") for k in ("kv_cache_size_tokens", "num_gpu_blocks", "block_size")
        )
        if size.isdecimal() and int(size):
            told.append(int(size))
        elif blocks.isdecimal() and block.isdecimal() and int(blocks) * int(block):
            told.append(int(blocks) * int(block))
    told += [int(s.value) for s in samples(families, "sglang:max_total_num_tokens") if s.value]
    return min(told) if told else None


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


def _plan(engine: Engine, gpu: GpuSpec | None, gpus: int, default_fraction: float) -> Capacity | str:
    shape = shape_from_name(engine.value("model") or "")
    if shape is None:
        return "the model's size is not stated by its name"
    if gpu is None:
        return "its GPUs are not of one known product"
    fraction = engine.number("gpu_memory_fraction")
    kv = (engine.value("kv_cache_precision") or "").lower().partition("_")[0]
    try:
        return plan_capacity(
            shape,
            gpu,
            quant=quantised_as(engine) or "fp16",
            kv_dtype=kv if kv in KV_BYTES else "fp16",
            context=int(engine.number("max_model_len") or 4096),
            gpus=gpus,
            memory_fraction=fraction if fraction and 0 < fraction <= 1 else default_fraction,
        )
    except UsageError as error:
        return str(error)


def _compared(subject: str, reported: int, plan: Capacity, tolerance: float) -> Judgement:
    planned = plan.kv_tokens_left
    seen = Evidence("endpoint.metrics", reported, f"{planned} ± {tolerance:.0%}")
    said = (
        f"the engine reports {reported:,} KV tokens, the plan {planned:,} ({plan.model} as {plan.quant} on {plan.gpu})"
    )
    if reported < planned * (1 - tolerance):
        return failed(subject, said, seen)
    if reported > planned * (1 + tolerance):
        return review(subject, f"{said}: the plan sees less than there is", seen)
    return passed(subject, said, seen)
