"""For which hosts requests come in, with whose certificate, and what keeps a route from its gateways. Pure.

Hosts with a wildcard: https://gateway-api.sigs.k8s.io/reference/spec/#hostname and
https://istio.io/latest/docs/reference/config/networking/gateway/#Server
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Object = Mapping[str, Any]


def hosts_by_secret(
    ingresses: Iterable[Object], routes: Iterable[Object], gateways: Iterable[Object]
) -> Iterator[tuple[list[tuple[str, str]], str]]:
    """Each host that requests come for, with the Secrets (namespace, name) whose certificates are served to it.

    Of a Gateway they are the hosts of the routes that attach to its listeners, or the listeners' own.
    """
    for ingress in ingresses:
        spec, (home, _) = ingress.get("spec") or {}, _named(ingress)
        parts = spec.get("tls") or ()
        for tls in parts:
            alone = [rule.get("host") for rule in spec.get("rules") or ()] if len(parts) == 1 else []
            for host in (tls.get("hosts") or alone) if tls.get("secretName") else ():
                if host:
                    yield [(home, str(tls["secretName"]))], str(host).lower()
    routes = list(routes)
    for gateway in gateways:
        home, name = _named(gateway)
        for listener in (gateway.get("spec") or {}).get("listeners") or ():
            refs = (listener.get("tls") or {}).get("certificateRefs") or ()
            secrets = [(str(ref.get("namespace") or home), str(ref.get("name"))) for ref in refs]
            for host in sorted(_hosts_on(listener, routes, (home, name))) if secrets else ():
                yield secrets, host.lower()


def _hosts_on(listener: Object, routes: Iterable[Object], gateway: tuple[Any, Any]) -> set[str]:
    """The hosts of the routes on a listener; that of the listener where a route has none of its own."""
    own = listener.get("hostname")
    found: set[str] = set()
    for route in routes:
        spec, (home, _) = route.get("spec") or {}, _named(route)
        for parent in spec.get("parentRefs") or ():
            if (parent.get("namespace") or home, parent.get("name")) != gateway:
                continue
            if parent.get("sectionName") in (None, listener.get("name")):
                hosts = spec.get("hostnames") or [own]
                found |= {str(own if own and _covers(str(h), own) else h) for h in hosts if h and _share_host(own, [h])}
    return found


def attachment_faults(route: Object, gateways: Sequence[Object]) -> Iterator[str]:
    """What keeps a route of the Gateway API from its gateways, which are all that exist of those that it names."""
    meta, spec = route.get("metadata") or {}, route.get("spec") or {}
    for parent in spec.get("parentRefs") or ():
        name, section = parent.get("name"), parent.get("sectionName")
        home = parent.get("namespace") or meta.get("namespace")
        if (parent.get("kind") or "Gateway") != "Gateway":
            continue
        found = next((g for g in gateways if _named(g) == (home, name)), None)
        listeners = ((found or {}).get("spec") or {}).get("listeners") or ()
        used = [each for each in listeners if section is None or each.get("name") == section]
        if found is None:
            yield f"the Gateway {name} does not exist"
        elif listeners and not used:
            yield f"the Gateway {name} has no listener called {section}"
        elif used and not any(_share_host(each.get("hostname"), spec.get("hostnames") or ()) for each in used):
            yield f"no listener of the Gateway {name} is for {', '.join(map(str, spec['hostnames']))}"


def mesh_attachment_faults(route: Object, gateways: Sequence[Object]) -> Iterator[str]:
    """What keeps a VirtualService from its gateways, which are all that exist of those that it names."""
    spec, (home, _) = route.get("spec") or {}, _named(route)
    hosts = [str(host) for host in spec.get("hosts") or ()]
    for ref in spec.get("gateways") or ():
        space, _, name = str(ref).rpartition("/")
        if name == "mesh":
            continue
        found = next((g for g in gateways if _named(g) == (space or home, name)), None)
        listed = [
            str(host) for each in ((found or {}).get("spec") or {}).get("servers") or () for host in each["hosts"]
        ]
        # A server may be for the hosts of one namespace: "." is the gateway's own.
        open_to = ("", "*", home, *(["."] if (space or home) == home else []))
        served = [host.rpartition("/")[2] for host in listed if host.rpartition("/")[0] in open_to]
        if found is None:
            yield f"the Gateway {name} does not exist"
        elif listed and hosts and not any(s == "*" or _share_host(s, hosts) for s in served):
            yield f"no server of the Gateway {name} is for {', '.join(hosts)}"


def _named(obj: Object) -> tuple[Any, Any]:
    meta = obj.get("metadata") or {}
    return meta.get("namespace"), meta.get("name")


def _share_host(listener: str | None, hosts: Iterable[str]) -> bool:
    """Whether a request may be for both; ``*.`` stands for one label or more in either."""
    return not listener or not hosts or any(_covers(listener, host) or _covers(host, listener) for host in hosts)


def _covers(pattern: str, host: str) -> bool:
    return pattern == host or (pattern.startswith("*.") and host.endswith(pattern[1:]))
