from collections.abc import Iterator
from fractions import Fraction

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.engine_args import Engine, flag_value, serving_engines
from inferaudit.kube.quantity import parse_quantity
from inferaudit.placement import limit_range_defaults

_GIB = 2**30
# GiB of the host's memory that an engine is told to take: for each rank, and once.
_A_RANK = ("--cpu-offload-gb", "--hicache-size")
_ONCE = ("--kv-offloading-size",)


@check(
    title="What is kept in memory fits into the memory limit",
    severity=Severity.MEDIUM,
    needs=("workload", "workload.containers"),
    optional=("service.quotas", "service.configmaps"),
    remediation=(
        "Raise `resources.limits.memory` above the volumes in memory, what the engine offloads and the server itself, "
        "or lower the `sizeLimit`."
    ),
    references=(
        "https://kubernetes.io/docs/concepts/storage/volumes/#emptydir",
        "https://docs.vllm.ai/en/latest/cli/serve/",
    ),
)
def memory_volumes(snapshot: Snapshot) -> Iterator[Judgement]:
    """Files on an `emptyDir` of `medium: Memory`, /dev/shm among them, count against the memory limit of who wrote
    them, and so do weights and caches that the engine keeps on the host. A volume may grow to its `sizeLimit`: where
    that leaves nothing, the server is killed when it fills, hours after it started well.

    A volume without a `sizeLimit` holds no more than the limits of its pod and is not counted; nor is what nobody told.
    """
    workload = snapshot.fact("workload")
    volumes = {
        v.get("name"): v.get("emptyDir") or {} for v in (workload.template.get("spec") or {}).get("volumes") or ()
    }
    default = limit_range_defaults(snapshot.fact_or("service.quotas", ()), "default").get("memory")
    for container, engine in serving_engines(
        snapshot.fact("workload.containers"), snapshot.fact_or("service.configmaps", ())
    ):
        subject = container["subject"]
        limit = ((container.get("resources") or {}).get("limits") or {}).get("memory") or default
        mounts = {m.get("name"): m.get("mountPath") for m in container.get("volumeMounts") or ()}
        held = {
            str(path): size
            for name, path in mounts.items()
            if volumes.get(name, {}).get("medium") == "Memory" and (size := volumes[name].get("sizeLimit"))
        }
        offloaded = _offloaded(engine, container["gpus"])
        total = sum((parse_quantity(size) or Fraction(0) for size in held.values()), Fraction(0)) + offloaded
        most = parse_quantity(limit)
        kept = [f"{size} at {path}" for path, size in held.items()]
        kept += [f"{float(offloaded) / _GIB:g} GiB offloaded"] if offloaded else []
        seen = Evidence("resources.limits.memory", limit, f"more than {' and '.join(kept)}" if kept else None)
        if not total:
            yield not_applicable(subject, "nothing of a known size is kept in memory", seen)
        elif most is None:
            yield not_applicable(subject, "has no memory limit to hold it against", seen)
        elif total >= most:
            text = f"{' and '.join(kept)} count against the memory limit of {limit}: nothing is left for the server"
            yield failed(subject, text, seen, cause=("workload-shared-memory", subject))
        else:
            yield passed(subject, f"{' and '.join(kept)} leave room below {limit}", seen)


def _offloaded(engine: Engine, gpus: int) -> Fraction:
    """Bytes of the host's memory that the engine was told to take."""
    ranks = max(1, min(gpus, int(engine.number("tensor_parallel") or 1)))
    amounts = [*((flag, ranks) for flag in _A_RANK), *((flag, 1) for flag in _ONCE)]
    given = ((parse_quantity(flag_value(engine, flag)), times) for flag, times in amounts)
    return sum((amount * times * _GIB for amount, times in given if amount), Fraction(0))
