from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.kube.quantity import is_gpu_resource, parse_quantity


@check(
    title="GPU requests are whole and equal to the limits",
    severity=Severity.HIGH,
    needs=("workload.containers",),
    remediation=(
        "Give each GPU resource as a whole number under `resources.limits`; leave the request out or make it equal."
    ),
    references=("https://kubernetes.io/docs/tasks/manage-gpus/scheduling-gpus/",),
)
def gpu_request_equals_limit(snapshot: Snapshot) -> Iterator[Judgement]:
    """The API server refuses a pod whose GPU request differs from its limit, or is a fraction.

    In a manifest that has not been applied yet, the fault is still ahead.
    """
    for container in snapshot.fact("workload.containers"):
        resources = container.get("resources") or {}
        requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
        for name in sorted({*requests, *limits}):
            if not is_gpu_resource(name):
                continue
            request, limit = parse_quantity(requests.get(name)), parse_quantity(limits.get(name))
            seen = Evidence(
                f'resources.*."{name}"', {"request": requests.get(name), "limit": limits.get(name)}, "equal"
            )
            if limit is None:
                yield failed(
                    container["subject"], f"{name} is requested without a limit: it is refused", seen, key=name
                )
            elif request is not None and request != limit:
                yield failed(
                    container["subject"], f"{name}: the request is not the limit: it is refused", seen, key=name
                )
            elif limit.denominator != 1:
                yield failed(container["subject"], f"{name} is not a whole number: it is refused", seen, key=name)
            else:
                yield passed(container["subject"], f"{name}: {limit}", seen, key=name)
