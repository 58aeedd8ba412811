from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown


@check(
    title="GPU metrics are exported on every GPU node",
    severity=Severity.MEDIUM,
    needs=("workload", "service.daemonsets"),
    optional=("prometheus.targets",),
    remediation="Run the DCGM exporter on every GPU node, tolerating its taints.",
    references=("https://docs.nvidia.com/datacenter/cloud-native/gpu-telemetry/latest/dcgm-exporter.html",),
)
def gpu_exporter(snapshot: Snapshot) -> Iterator[Judgement]:
    """Memory, temperature, throttling and XID errors of a GPU are seen by nobody else.

    On managed clusters the exporter may run where it cannot be seen: then what Prometheus holds counts.
    """
    workload = snapshot.fact("workload")
    found = [d for d in snapshot.fact("service.daemonsets") if d.role == "dcgm-exporter"]
    if not workload.uses_gpu:
        yield not_applicable(workload.subject, "serves on CPU", Evidence("resources", None, "a GPU workload"))
        return
    for each in found:
        subject = f"daemonset/{each.namespace}/{each.name}"
        seen = Evidence("status", {"desired": each.desired, "ready": each.ready}, "ready on every GPU node")
        if each.desired is None or each.ready is None:
            yield unknown(subject, "shows no status", seen)
        elif each.desired == 0 or each.ready < each.desired:
            yield failed(subject, f"ready on {each.ready} of {each.desired} nodes", seen)
        else:
            yield passed(subject, f"ready on {each.ready} nodes", seen)
    if not found:
        targets = snapshot.fact_or("prometheus.targets", [])
        gpu = [t.job for t in targets if "dcgm" in t.job.lower() or "gpu" in t.job.lower()]
        seen = Evidence("daemonsets, targets", gpu or None, "a GPU metrics exporter")
        if gpu:
            yield passed(workload.subject, f"Prometheus scrapes {gpu[0]}", seen)
        else:
            snapshot.require_read("prometheus.targets")
            yield failed(workload.subject, "no GPU metrics exporter is in view", seen)
