import re
from collections.abc import Iterator

from inferaudit.alert_rules import concerns, known_alerts, threshold
from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.engine_args import Engine, serving_engines


@check(
    title="No memory alert fires while nothing happens",
    severity=Severity.MEDIUM,
    needs=("workload", "workload.containers"),
    optional=("service.rules", "prometheus.rules"),
    remediation="Set the threshold above the engine's share of the GPU memory, or alert on the KV cache in use.",
    references=("https://docs.vllm.ai/en/latest/configuration/conserving_memory/",),
)
def alert_at_rest(snapshot: Snapshot) -> Iterator[Judgement]:
    """An engine that takes 92 % of the memory at start makes an alert at 90 % fire for ever.

    It is then silenced, and silent when it matters.
    """
    workload = snapshot.fact("workload")
    shares = [
        share
        for container, engine in serving_engines(snapshot.fact("workload.containers"))
        if container["gpus"] and (share := _share(engine)) is not None
    ]
    for alert in known_alerts(snapshot):
        if not re.search(r"DCGM_FI_DEV_FB_USED|nv_gpu_memory_used|GPUMemoryUsed", alert.expr):
            continue
        limit = threshold(alert.expr)
        if (
            not concerns(alert, workload.namespace)
            or limit is None
            or not shares
            or "<" in alert.expr.rpartition(")")[2]
        ):
            continue
        fraction = limit / 100 if limit > 1 else limit
        seen = Evidence(alert.path, limit, f"above the engine's share of {max(shares):g}")
        if fraction <= max(shares):
            text = f"{alert.name} fires at {fraction:.0%}, and the engine holds {max(shares):.0%} at rest"
            yield failed(alert.subject, text, seen, key=alert.path)
        else:
            yield passed(alert.subject, f"{alert.name} fires above the engine's share", seen, key=alert.path)


def _share(engine: Engine) -> float | None:
    """The share of the GPU's whole memory that the engine holds at rest; None where its setting is none."""
    known = engine.profile.settings.get("gpu_memory_fraction")
    if known is None or "share of total" not in known.unit:
        return None
    given = engine.number("gpu_memory_fraction")
    try:
        return given if given is not None else float(known.default)
    except ValueError:
        return None
