from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown


@check(
    title="Prometheus scrapes the service",
    severity=Severity.HIGH,
    needs=("prometheus.targets",),
    optional=("endpoint.target", "workload"),
    remediation="Select the Service with a ServiceMonitor or PodMonitor that Prometheus itself selects.",
)
def target_up(snapshot: Snapshot) -> Iterator[Judgement]:
    """Metrics that nobody collects alert nobody.

    The service's targets are those of its namespace whose pod, Service or job carries its name, or the very host and
    port of the endpoint.
    """
    workload = snapshot.fact_or("workload", None)
    endpoint = snapshot.fact_or("endpoint.target", None)
    if workload is None and endpoint is None:
        yield unknown(None, "neither a workload nor an endpoint tells which targets are the service's")
        return
    subject = workload.subject if workload is not None else endpoint.subject
    mine = [t for t in snapshot.fact("prometheus.targets") if _is_mine(t, workload, endpoint)]
    down = [t for t in mine if t.health == "down"]
    seen = Evidence("prometheus.targets[].health", {t.instance: t.health for t in mine}, "up")
    if not mine:
        total = len(snapshot.fact("prometheus.targets"))
        yield failed(subject, f"none of the {total} targets of Prometheus is this service", seen)
    elif down:
        yield failed(subject, f"{len(down)} of {len(mine)} targets are down: {down[0].last_error}", seen)
    elif all(t.health == "up" for t in mine):
        yield passed(subject, f"{len(mine)} targets of the service are up", seen)
    else:
        yield unknown(subject, "the targets were not scraped yet", seen)


def _is_mine(target: object, workload: object, endpoint: object) -> bool:
    labels, instance = target.labels, target.instance  # type: ignore[attr-defined]
    if endpoint is not None and instance == endpoint.subject.removeprefix("endpoint/"):  # type: ignore[attr-defined]
        return True
    if workload is None:
        return False
    name, namespace = workload.name, workload.namespace  # type: ignore[attr-defined]
    if labels.get("namespace", namespace) != namespace:
        return False
    carried = [labels.get(key, "") for key in ("pod", "service", "job", "app", "container")]
    return any(value == name or value.startswith(f"{name}-") or value.endswith(f"/{name}") for value in carried)
