from collections.abc import Iterator, Mapping
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.kube.selectors import matches_labels, selects
from inferaudit.kube.workloads import template_labels, worker_templates
from inferaudit.subjects import object_subject

_NAME = "kubernetes.io/metadata.name"


@check(
    title="The pods of a group reach each other, and clients reach the leader alone",
    severity=Severity.HIGH,
    needs=("workload", "service.services", "service.networkpolicies"),
    remediation=(
        "Add the label `leaderworkerset.sigs.k8s.io/worker-index` with the value 0, or one of the leader's own, to the "
        "Service's selector; let the NetworkPolicy admit the group's own pods on every port."
    ),
    references=("https://lws.sigs.k8s.io/docs/concepts/",),
)
def group_traffic(snapshot: Snapshot) -> Iterator[Judgement]:
    """Only the leader of a group answers requests: a Service that selects its workers too loses every second one.

    The ranks speak over ports that nobody declares. A NetworkPolicy that admits the gateway alone stops the model from
    starting.
    """
    workload = snapshot.fact("workload")
    workers = worker_templates(workload.object)
    if workload.kind != "LeaderWorkerSet" or workload.pods_per_replica < 2:
        return
    own = {"leaderworkerset.sigs.k8s.io/name": workload.name}
    leader = {**template_labels(workload.template), **own, "leaderworkerset.sigs.k8s.io/worker-index": "0"}
    worker = {**template_labels(workers[0] if workers else workload.template), **own}
    for service in snapshot.fact("service.services"):
        spec = service.get("spec") or {}
        if spec.get("clusterIP") == "None":
            continue  # the headless Service by which the ranks find each other
        seen = Evidence("spec.selector", spec.get("selector"), "labels of the leader alone")
        if matches_labels(spec.get("selector"), worker):
            yield failed(object_subject(service), "selects the workers too, which answer no request", seen)
        else:
            yield passed(object_subject(service), "selects the leaders alone", seen)
    inward = [p for p in snapshot.fact("service.networkpolicies") if _inward(p)]
    rules = [rule for p in inward for rule in (p.get("spec") or {}).get("ingress") or ()]
    if inward:
        seen = Evidence(
            "spec.ingress[].from", [rule.get("from") for rule in rules], "the group's own pods, on any port"
        )
        space = workload.namespace
        if all(any(_admits(rule, labels, space) for rule in rules) for labels in (leader, worker)):
            yield passed(object_subject(inward[0]), "admits the group's own pods", seen)
        else:
            yield failed(object_subject(inward[0]), "does not let the pods of a group reach each other", seen)


def _inward(policy: Mapping[str, Any]) -> bool:
    return "Ingress" in ((policy.get("spec") or {}).get("policyTypes") or ["Ingress"])


def _admits(rule: Mapping[str, Any], labels: Mapping[str, str], namespace: str) -> bool:
    """Whether a rule lets pods with these labels in from the same namespace. One of certain ports is not enough."""
    if rule.get("ports"):
        return False
    peers = rule.get("from")
    if not peers:
        return True
    return any(
        not peer.get("ipBlock")
        and ("namespaceSelector" not in peer or selects(peer["namespaceSelector"] or {}, {_NAME: namespace}))
        and selects(peer.get("podSelector") or {}, labels)
        for peer in peers
    )
