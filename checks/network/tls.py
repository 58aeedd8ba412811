from collections.abc import Iterator, Mapping
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.engine_args import serving_engines
from inferaudit.entrypoints import entries_of, exposed_services, is_internal, tls_of
from inferaudit.subjects import object_subject


@check(
    title="Traffic from outside is encrypted",
    severity=Severity.HIGH,
    needs=("service.services", "service.ingresses", "service.routes", "service.gateways"),
    optional=("workload.containers", "service.configmaps", "service.fronts"),
    remediation=(
        "Terminate TLS at the gateway: an HTTPS listener with a certificate, `spec.tls` of the Ingress, or the "
        "load balancer's certificate."
    ),
    references=(
        "https://kubernetes.io/docs/concepts/services-networking/ingress/#tls",
        "https://gateway-api.sigs.k8s.io/guides/tls/",
    ),
)
def tls(snapshot: Snapshot) -> Iterator[Judgement]:
    """Prompts, answers and keys go through networks that others run.

    A listener without TLS beside one with it still takes them in clear. Judged are also the entries to a router of the
    namespace that passes requests on.
    """
    gateways = snapshot.fact("service.gateways")
    services, (ingresses, routes) = snapshot.fact("service.services"), entries_of(snapshot)
    outside = [s for s in exposed_services(services) if not is_internal(s)]
    if not outside and not ingresses and not routes:
        yield not_applicable(None, "no Ingress, route or load balancer leads in from outside")
    for obj in (*ingresses, *routes, *outside):
        subject, tls = object_subject(obj), tls_of(obj, gateways)
        seen = Evidence("TLS", tls, True)
        internal = obj.get("kind") == "VirtualService" and set((obj.get("spec") or {}).get("gateways") or ["mesh"]) == {
            "mesh"
        }
        if internal:
            yield not_applicable(subject, "routes inside the mesh only", seen)
        elif tls is None:
            cause = ("network-route-resolved", subject)
            yield unknown(subject, "the gateway it attaches to is not in view", seen, cause=cause)
        elif tls and (bare := _without_certificate(obj)):
            shown = Evidence("spec.tls[].hosts", [each.get("hosts") for each in obj["spec"]["tls"]], bare)
            yield failed(subject, f"no certificate is named for {bare}: callers get the controller's own", shown)
        elif tls:
            yield passed(subject, "TLS ends at the entry", seen)
        elif obj.get("kind") == "Service" and _engine_tls(snapshot):
            yield passed(subject, "the server itself speaks TLS", seen)
        else:
            yield failed(subject, "takes requests in clear", seen)


def _without_certificate(obj: Mapping[str, Any]) -> str:
    """The first host of an Ingress that none of its certificates is for; empty where one may be for all."""
    spec = obj.get("spec") or {}
    named = [each.get("hosts") or ["*"] for each in spec.get("tls") or ()] if obj.get("kind") == "Ingress" else []
    covered = {str(host) for hosts in named for host in hosts}
    for rule in spec.get("rules") or () if covered and "*" not in covered else ():
        host = str(rule.get("host") or "")
        if host and not covered & {host, f"*.{host.partition('.')[2]}"}:
            return host
    return ""


def _engine_tls(snapshot: Snapshot) -> bool:
    if snapshot.error("workload.containers") is not None:
        return False
    maps = snapshot.fact_or("service.configmaps", ())
    engines = serving_engines(snapshot.fact("workload.containers"), maps)
    if engines and all("tls" in engine.settings for _, engine in engines):
        return True
    snapshot.require_read("service.configmaps")
    return False
