from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.scaling import scalers_of


@check(
    title="GPU workloads scale on the queue, not on CPU",
    severity=Severity.HIGH,
    needs=("workload", "service.autoscalers"),
    remediation="Scale on waiting requests, for example `vllm:num_requests_waiting`, or on KV cache use or latency.",
    references=("https://docs.vllm.ai/en/latest/usage/metrics/",),
)
def signal(snapshot: Snapshot) -> Iterator[Judgement]:
    """A GPU server's CPU says little about its load: it may poll at 100 % while idle, and sit at 20 % with a long
    queue.

    The queue is the signal: it grows exactly when another replica is needed.
    """
    workload = snapshot.fact("workload")
    scalers = scalers_of(snapshot.fact("service.autoscalers"))
    if not scalers:
        yield not_applicable(
            workload.subject, "nothing scales it", Evidence("autoscalers", [], "an HPA or a ScaledObject")
        )
    for scaler in scalers:
        seen = Evidence("metrics", list(scaler.signals), "waiting requests, KV cache, latency, requests in flight")
        if not scaler.signals:
            yield unknown(scaler.subject, "names no metric", seen)
        elif not workload.uses_gpu:
            yield passed(scaler.subject, f"serves on CPU and scales on {', '.join(scaler.signals)}", seen)
        elif scaler.weak:
            yield failed(scaler.subject, f"scales a GPU workload on {' and '.join(scaler.signals)}", seen)
        else:
            yield passed(scaler.subject, f"scales on {', '.join(scaler.signals)}", seen)
