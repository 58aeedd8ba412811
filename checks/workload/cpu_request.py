from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.kube.quantity import millis
from inferaudit.placement import limit_range_defaults


@check(
    title="Serving containers ask for the CPU they need",
    severity=Severity.MEDIUM,
    needs=("workload.containers",),
    optional=("service.quotas",),
    remediation=(
        "Set `resources.requests.cpu`, at least one core for each GPU and some for tokenisation; a CPU limit is "
        "optional."
    ),
    references=("https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/",),
)
def cpu_request(snapshot: Snapshot, *, cores_per_gpu: float = 1.0) -> Iterator[Judgement]:
    """A server without a CPU request gets what its neighbours leave.

    Tokenising, scheduling and streaming run on the CPU: starved of it, the GPU waits and the tail latency grows.
    """
    default = None
    if snapshot.error("service.quotas") is None:
        given = snapshot.fact("service.quotas")
        default = limit_range_defaults(given, "defaultRequest").get("cpu")
    for container in snapshot.fact("workload.containers"):
        if not container["serving"]:
            continue
        resources = container.get("resources") or {}
        asked = (resources.get("requests") or {}).get("cpu") or (resources.get("limits") or {}).get("cpu") or default
        needed = cores_per_gpu * container["gpus"]
        seen = Evidence("resources.requests.cpu", asked, f">= {needed:g} cores" if needed else "set")
        cores = (millis(asked) or 0) / 1000
        if not cores:
            snapshot.require_read("service.quotas")  # a LimitRange may set it
            yield failed(container["subject"], "asks for no CPU and gets what others leave", seen)
        elif cores < needed:
            gpus = container["gpus"]
            yield failed(container["subject"], f"asks for {cores:g} cores beside {gpus} GPU{'s' * (gpus > 1)}", seen)
        else:
            yield passed(container["subject"], f"asks for {cores:g} cores", seen)
