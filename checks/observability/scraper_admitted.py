from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.network_peers import about_ingress, lets_scraper_in, opens, policy_to_mend, rules_of
from inferaudit.scraping import scrapes_of
from inferaudit.subjects import object_subject


@check(
    title="The NetworkPolicy lets Prometheus in",
    severity=Severity.MEDIUM,
    needs=("workload", "workload.containers", "service.services", "service.networkpolicies", "service.monitors"),
    remediation=(
        "Add a rule under `spec.ingress` with the port of the metrics and, as `from`, the namespace of Prometheus."
    ),
    references=("https://kubernetes.io/docs/concepts/services-networking/network-policies/",),
)
def scraper_admitted(snapshot: Snapshot) -> Iterator[Judgement]:
    """A monitor that is right in everything fetches nothing past a policy that lets the gateway in alone.

    Judged is the port, and who may call it where all peers plainly are gateways.
    """
    workload = snapshot.fact("workload")
    containers = [c for c in snapshot.fact("workload.containers") if c["role"] != "init"]
    policies = [p for p in snapshot.fact("service.networkpolicies") if about_ingress(p)]
    found = scrapes_of(snapshot.fact("service.monitors"), snapshot.fact("service.services"), containers, workload)
    ports = list(dict.fromkeys(s.port for s in found if s.port and not s.faults and opens(containers, s.port)))
    if not policies or not ports or (workload.template.get("spec") or {}).get("hostNetwork"):
        return
    subject = object_subject(policy_to_mend(policies))
    rules = [rule for policy in policies for rule in rules_of(policy)]
    seen = Evidence("spec.ingress", rules, f"one that admits port {', '.join(map(str, ports))}")
    if any(lets_scraper_in(policies, port, containers) for port in ports):
        yield passed(subject, "lets who fetches metrics in", seen)
    else:
        text = f"lets nobody fetch the metrics of port {ports[0]}"
        yield failed(subject, text, seen, cause=("network-policy-admits", subject))
