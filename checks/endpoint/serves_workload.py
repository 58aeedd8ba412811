from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, passed, unknown

_OBJECTS = ("workload.pods", "service.services", "service.ingresses", "service.routes", "service.gateways")


@check(
    title="The endpoint that was asked is the workload's",
    severity=Severity.LOW,
    needs=("endpoint.target", "workload"),
    optional=(*_OBJECTS, "endpoint.reach"),
    remediation="Give --url the address of the workload's Service, Ingress or route: both halves are then one thing.",
    tags=("never-fails",),
)
def serves_workload(snapshot: Snapshot) -> Iterator[Judgement]:
    """A cluster audited here and an endpoint measured there prove nothing about each other.

    The address counts as proven when it is that of a pod, a Service, an Ingress or a route of the workload, and when
    the audit itself opened a port-forward to a pod of it.
    """
    target, workload = snapshot.fact("endpoint.target"), snapshot.fact("workload")
    reach = snapshot.fact_or("endpoint.reach", None)
    if reach is not None and reach.how == "port_forward" and reach.workload == workload.subject:
        way = Evidence("endpoint.reach.pod", f"{reach.pod}:{reach.pod_port}", "a pod of the workload")
        yield passed(target.subject, f"asked through a port-forward to pod {reach.pod}, port {reach.pod_port}", way)
        return
    known = _addresses(snapshot, workload.namespace)
    seen = Evidence("endpoint.target.host", f"{target.host}:{target.port}", "an address of the workload's")
    how = known.get(target.host) or known.get(f"node-port:{target.port}")
    if how:
        yield passed(target.subject, f"{target.host}:{target.port} is {how}", seen)
    else:
        text = f"nothing shows that {target.host}:{target.port} is served by {workload.subject}"
        yield unknown(target.subject, text, seen)


def _addresses(snapshot: Snapshot, namespace: str) -> dict[str, str]:
    """Host names and addresses of the workload with what they are; ``node-port:N`` for a port of the nodes."""
    objects = {name: [] if snapshot.error(name) else snapshot.fact(name) for name in _OBJECTS}
    known: dict[str, str] = {}
    for pod in objects["workload.pods"]:
        for address in (pod.get("status") or {}).get("podIPs") or ():
            known[str(address.get("ip"))] = f"pod {pod['metadata']['name']}"
    for service in objects["service.services"]:
        name, spec = service["metadata"]["name"], service.get("spec") or {}
        what = f"Service {name}"
        names = [f"{name}.{namespace}{suffix}" for suffix in ("", ".svc", ".svc.cluster.local")]
        balancers = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
        entries = [e.get("ip") or e.get("hostname") for e in balancers]
        for host in (*names, *(spec.get("clusterIPs") or ()), *(spec.get("externalIPs") or ()), *entries):
            if host and host != "None":
                known[str(host)] = what
        for port in spec.get("ports") or ():
            if port.get("nodePort"):
                known[f"node-port:{port['nodePort']}"] = f"the NodePort of {what}"
    for ingress in objects["service.ingresses"]:
        for rule in (ingress.get("spec") or {}).get("rules") or ():
            known[str(rule.get("host"))] = f"a host of Ingress {ingress['metadata']['name']}"
    for route in objects["service.routes"]:
        spec = route.get("spec") or {}
        for host in (*(spec.get("hostnames") or ()), *(spec.get("hosts") or ())):
            known[str(host)] = f"a host of {route.get('kind')} {route['metadata']['name']}"
    return known
