import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.kube.quantity import is_gpu_resource, parse_quantity
from inferaudit.kube.selectors import selects
from inferaudit.kube.types import Workload
from inferaudit.kube.workloads import template_labels

Fault = tuple[str, Any, str]  # path, what stands there, what is wrong with it

_KINDS = ("Deployment", "StatefulSet", "DaemonSet")  # the API server's own; other kinds are completed by a controller
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")
_LONGEST_PORT_NAME = 15
_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
_HANDLERS = ("httpGet", "tcpSocket", "grpc", "exec")


@check(
    title="The API server takes the workload as it is written",
    severity=Severity.HIGH,
    needs=("workload",),
    remediation="Mend the field that the finding names; `kubectl apply --dry-run=server` shows the same refusal.",
    references=("https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#selector",),
)
def accepted(snapshot: Snapshot) -> Iterator[Judgement]:
    """A request above its limit, a selector that is not the pods', a volume that nobody defines: the object is valid
    YAML, and the rollout ends with an error of the API server.

    Judged is what it refuses whatever the cluster. GPUs have a check of their own.
    """
    workload = snapshot.fact("workload")
    if workload.kind not in _KINDS:
        return
    pod = workload.template.get("spec") or {}
    containers = [*(pod.get("initContainers") or ()), *(pod.get("containers") or ())]
    wrong = [*_controller(workload), *_volumes(workload, pod, containers)]
    wrong += _twice("spec.template.spec.containers[].name", containers, "name")
    for container in containers:
        wrong += [(f"{container.get('name')}: {path}", found, why) for path, found, why in _container(container)]
    if wrong:
        text = f"is refused: {'; '.join(why for _, _, why in wrong)}"
        yield failed(workload.subject, text, *(Evidence(path, found, "what the API takes") for path, found, _ in wrong))
    else:
        seen = Evidence("spec", f"{len(containers)} containers", "what the API takes")
        yield passed(workload.subject, "nothing in it is refused", seen)


def _controller(workload: Workload) -> Iterator[Fault]:
    spec, labels = workload.object.get("spec") or {}, template_labels(workload.template)
    selector = spec.get("selector") or {}
    if not selector or not selects(selector, labels):
        yield "spec.selector", selector, "the selector does not match the labels of the pod template"
    strategy = spec.get("strategy") or {}
    rolling = strategy.get("rollingUpdate") or {}
    if strategy.get("type") == "Recreate" and rolling:
        yield "spec.strategy", strategy, "rollingUpdate beside the strategy Recreate"
    if {str(rolling.get(name)).rstrip("%") for name in ("maxSurge", "maxUnavailable")} == {"0"}:
        yield "spec.strategy.rollingUpdate", rolling, "maxSurge and maxUnavailable are both 0"


def _volumes(workload: Workload, pod: Mapping[str, Any], containers: Iterable[Mapping[str, Any]]) -> Iterator[Fault]:
    volumes = pod.get("volumes") or ()
    yield from _twice("spec.template.spec.volumes[].name", volumes, "name")
    templates = (workload.object.get("spec") or {}).get("volumeClaimTemplates") or ()
    known = {v.get("name") for v in volumes} | {(t.get("metadata") or {}).get("name") for t in templates}
    for container in containers:
        for mount in container.get("volumeMounts") or ():
            if mount.get("name") not in known:
                path = f"{container.get('name')}: volumeMounts"
                yield path, mount.get("name"), f"no volume is called {mount.get('name')}"


def _container(container: Mapping[str, Any]) -> Iterator[Fault]:
    resources = container.get("resources") or {}
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    for side, amounts in resources.items():
        for name, amount in amounts.items() if side in ("requests", "limits") and amounts else ():
            if parse_quantity(amount) is None:
                yield f"resources.{side}.{name}", amount, f"{amount} is no quantity"
    for name in sorted({*requests} & {*limits}):
        request, limit = parse_quantity(requests[name]), parse_quantity(limits[name])
        if request is not None and limit is not None and request > limit and not is_gpu_resource(name):
            found = {"request": requests[name], "limit": limits[name]}
            yield f"resources.*.{name}", found, f"it requests more {name} than its limit"
    yield from _twice("volumeMounts[].mountPath", container.get("volumeMounts") or (), "mountPath")
    yield from _twice("ports[].name", container.get("ports") or (), "name")
    for port in container.get("ports") or ():
        name = str(port.get("name") or "")
        if name and (len(name) > _LONGEST_PORT_NAME or not _PORT_NAME.fullmatch(name)):
            yield "ports[].name", name, f"{name} is no name of a port: at most 15 of a-z, 0-9 and -"
    for each in container.get("env") or ():
        if each.get("value") and each.get("valueFrom"):
            yield f"env.{each.get('name')}", "value and valueFrom", f"{each.get('name')} has a value and a source"
    for name in _PROBES:
        probe = container.get(name) or {}
        handlers = [handler for handler in _HANDLERS if probe.get(handler) is not None]
        if probe and len(handlers) != 1:
            yield name, handlers, f"the {name} has {len(handlers) or 'no'} handlers"
        if name != "readinessProbe" and probe.get("successThreshold", 1) not in (None, 1):
            yield f"{name}.successThreshold", probe["successThreshold"], f"successThreshold of the {name} is not 1"


def _twice(path: str, items: Iterable[Mapping[str, Any]], field: str) -> Iterator[Fault]:
    seen: set[str] = set()
    for value in (str(item[field]) for item in items if item.get(field)):
        if value in seen:
            yield path, value, f"{value} stands there twice"
        seen.add(value)
