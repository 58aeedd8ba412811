"""What leads to a Service: the names in Ingresses and routes, and the routers that pass on what they are sent. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from inferaudit.kube.selectors import matches_labels

# A client of the service, such as a web page for it, has users of its own; these pass on what they are sent.
_ROUTER = re.compile(
    r"router|litellm|envoy|nginx|openresty|haproxy|traefik|kong\b|caddy|oauth2-proxy|gateway", re.IGNORECASE
)
_DISCOVERY = "--k8s-label-selector"  # of vLLM's router: https://github.com/vllm-project/production-stack


def ingress_backends(ingress: Mapping[str, Any]) -> Iterator[str]:
    """Names of the Services behind an Ingress."""
    spec = _spec(ingress)
    paths = [path for rule in spec.get("rules") or () for path in (rule.get("http") or {}).get("paths") or ()]
    for backend in (spec.get("defaultBackend"), *(path.get("backend") for path in paths)):
        yield str(((backend or {}).get("service") or {}).get("name") or "")


def virtual_hosts(virtual_service: Mapping[str, Any]) -> Iterator[str]:
    """Hosts that an Istio VirtualService routes to."""
    for protocol in ("http", "tcp", "tls"):
        for rule in _spec(virtual_service).get(protocol) or ():
            for route in rule.get("route") or ():
                yield str((route.get("destination") or {}).get("host") or "")


def passes_on(
    template: Mapping[str, Any],
    files: Iterable[str],
    services: Collection[str],
    namespace: str,
    labels: Mapping[str, str],
) -> bool:
    """Whether pods are a router to one of `services` of their namespace, or to pods with these `labels`.

    A router by its image or command, that is told a host of the service in its arguments, variables or `files`, or
    the labels by which it finds the pods.
    """
    containers = _spec(template).get("containers") or ()
    words = [str(word) for each in containers for word in (*(each.get("command") or ()), *(each.get("args") or ()))]
    if not any(_ROUTER.search(text) for text in (*(str(each.get("image")) for each in containers), *words[:3])):
        return False
    values = [str(entry.get("value") or "") for each in containers for entry in each.get("env") or ()]
    host = _host(services, namespace)
    if host is not None and any(host.search(text) for text in (*words, *values, *files)):
        return True
    text = " ".join(words).replace(f"{_DISCOVERY}=", f"{_DISCOVERY} ")
    chosen = text.partition(f"{_DISCOVERY} ")[2].partition(" ")[0]
    pairs = dict(part.split("=", 1) for part in chosen.split(",") if "=" in part)
    return bool(pairs) and matches_labels(pairs, labels)


def _host(services: Collection[str], namespace: str) -> re.Pattern[str] | None:
    """One of the Services as a host: behind a scheme, with the namespace, or before a port. A bare word is none."""
    if not services:
        return None
    name = f"(?:{'|'.join(re.escape(each) for each in sorted(services))})"
    inside = rf"{name}(?:\.{re.escape(namespace)}(?:\.svc(?:\.cluster\.local)?)?)"
    return re.compile(rf"://(?:{inside}|{name})(?![\w.-])|(?<![\w./-])(?:{inside}(?![\w.-])|{name}:\d{{2,5}}(?!\d))")


def _spec(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    found = obj.get("spec")
    return found if isinstance(found, Mapping) else {}
