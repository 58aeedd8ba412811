from collections.abc import Iterator, Mapping
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.entrypoints import backends, port_behind
from inferaudit.kube.view import name_of
from inferaudit.network_peers import about_ingress, lets_gateway_in, opens, policy_to_mend, rules_of
from inferaudit.subjects import object_subject


@check(
    title="The NetworkPolicy lets the requests in",
    severity=Severity.HIGH,
    needs=("workload", "workload.containers", "service.networkpolicies", "service.services"),
    optional=("service.ingresses", "service.routes"),
    remediation=(
        "Add a rule under `spec.ingress` with the port of the server and, as `from`, the namespace of the gateway."
    ),
    references=("https://kubernetes.io/docs/concepts/services-networking/network-policies/",),
)
def policy_admits(snapshot: Snapshot) -> Iterator[Judgement]:
    """A policy drops what no rule admits, without a word: the pods are ready, for the kubelet is let in always, and
    every request times out.

    Judged is the port: that behind the routes where there are some, else that behind any Service. Who may call is
    judged only where all peers plainly are those who fetch metrics.
    """
    policies = [p for p in snapshot.fact("service.networkpolicies") if about_ingress(p)]
    containers = [c for c in snapshot.fact("workload.containers") if c["role"] != "init"]
    entries = [*snapshot.fact_or("service.ingresses", ()), *snapshot.fact_or("service.routes", ())]
    called = _ports(snapshot.fact("service.services"), containers, entries)
    wanted = [port for port in called if opens(containers, port)]
    if not policies or not wanted:
        return
    subject = object_subject(policy_to_mend(policies))
    lost = [port for port in wanted if not lets_gateway_in(policies, port, containers)]
    rules = [rule for policy in policies for rule in rules_of(policy)]
    seen = Evidence("spec.ingress", rules, f"one that admits port {', '.join(map(str, lost or wanted))}")
    if (snapshot.fact("workload").template.get("spec") or {}).get("hostNetwork"):
        yield not_applicable(subject, "pods on the network of their node are not subject to it", seen)
    elif lost if entries else len(lost) == len(wanted):
        yield failed(subject, f"lets no caller in to port {lost[0]}, which the requests take", seen)
    else:
        yield passed(subject, "lets callers in", seen)


def _ports(
    services: list[Mapping[str, Any]], containers: list[Mapping[str, Any]], entries: list[Mapping[str, Any]]
) -> list[int]:
    """Ports of the pods behind the entries' backends; without entries, behind all Services."""
    called = {backend for entry in entries for backend in backends(entry)}
    found = []
    for service in services:
        for port in (service.get("spec") or {}).get("ports") or ():
            names = {(name_of(service), port.get("port")), (name_of(service), port.get("name"))}
            number, _ = port_behind(port, containers)
            if number is not None and (not entries or names & called):
                found.append(number)
    return list(dict.fromkeys(found))
