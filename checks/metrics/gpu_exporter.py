import re
from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed

_WANTED = {
    "utilisation": r"DCGM_FI_DEV_GPU_UTIL(_RATIO)?|DCGM_FI_PROF_GR_ENGINE_ACTIVE|nv_gpu_utilization"
    r"|amd_gpu_gfx_activity|dcgm_gpu_utilization",
    "memory used": r"DCGM_FI_DEV_FB_USED|dcgm_fb_used|nv_gpu_memory_used_bytes|amd_gpu_used_vram",
    "memory free": r"DCGM_FI_DEV_FB_(FREE|TOTAL)|dcgm_fb_free|nv_gpu_memory_total_bytes|amd_gpu_(free|total)_vram",
    "temperature": r"DCGM_FI_DEV_GPU_TEMP(_CELSIUS)?|dcgm_gpu_temp|amd_gpu_(edge|junction)_temperature",
}


@check(
    title="Prometheus has the GPUs' utilisation, memory and temperature",
    severity=Severity.HIGH,
    needs=("prometheus.names",),
    optional=("workload", "endpoint.target"),
    remediation="Run dcgm-exporter (GPU Operator) on the GPU nodes and have Prometheus scrape it.",
    references=("https://docs.nvidia.com/datacenter/dcgm/latest/gpu-telemetry/dcgm-exporter.html",),
)
def gpu_exporter(snapshot: Snapshot) -> Iterator[Judgement]:
    """The server sees its requests, not its GPU: heat, memory and idle time show on the device alone."""
    workload = snapshot.fact_or("workload", None)
    subject = workload.subject if workload is not None else "endpoint/prometheus"
    if workload is not None and not workload.uses_gpu:
        yield not_applicable(subject, "the workload serves on CPU", Evidence("workload.uses_gpu", False))
        return
    names = snapshot.fact("prometheus.names")
    for what, pattern in _WANTED.items():
        found = [name for name in names if re.fullmatch(pattern, name)]
        seen = Evidence("prometheus.names", found, pattern.replace("|", " or "))
        if found:
            yield passed(subject, f"{found[0]} tells GPU {what}", seen, key=what)
        else:
            yield failed(subject, f"no metric of GPU {what}", seen, key=what)
