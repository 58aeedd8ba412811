"""How requests come in: Services, Ingresses, routes and gateways; their TLS, time limits, authentication, rate limits.

Pure. Defaults are the controllers' own: https://kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/annotations/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inferaudit.errors import UsageError
from inferaudit.model import Snapshot
from inferaudit.probe_timing import port_number
from inferaudit.subjects import object_subject
from inferaudit.units import parse_duration_s

Object = Mapping[str, Any]

_NGINX = "nginx.ingress.kubernetes.io/"
_NGINX_READ_TIMEOUT_S = 60.0
_ALB_IDLE_TIMEOUT_S = 60.0
_AUTH_ANNOTATIONS = re.compile(
    r"(nginx\.ingress\.kubernetes\.io/(auth-url|auth-type|auth-secret|auth-tls-secret|auth-tls-verify-client|"
    r"whitelist-source-range)|alb\.ingress\.kubernetes\.io/auth-type|nginx\.org/(jwt-key|basic-auth-secret)|"
    r"haproxy\.org/(auth-type|allow-list)|ingress\.kubernetes\.io/auth-type)"
)
_LIMIT_ANNOTATIONS = re.compile(
    r"(nginx\.ingress\.kubernetes\.io/(limit-rps|limit-rpm|limit-connections)|nginx\.org/limit-req-rate|"
    r"haproxy\.org/rate-limit-requests|alb\.ingress\.kubernetes\.io/wafv2-acl-arn)"
)
_AUTH_KEYS = frozenset(
    {
        "jwt", "oidc", "apiKeyAuth", "basicAuth", "extAuth", "authorization", "forwardAuth", "digestAuth",
        "ipAllowList", "ipWhiteList", "apiKeyAuthentication", "jwtAuth",
    }
)  # fmt: skip
# Paths that say how a server is, and nothing of a model: to leave them open lets nobody use it.
_HARMLESS = re.compile(
    r"/\.well-known/.*|(/[\w.-]+)*/(health|live|ready|startup|ping|version|metrics|status|info\b|is_alive)[\w./*-]*"
)
_AUTH_PLUGINS = frozenset(
    {
        "key-auth", "key-auth-enc", "jwt", "oauth2", "basic-auth", "openid-connect", "hmac-auth", "ldap-auth",
        "mtls-auth", "ip-restriction",
    }
)  # fmt: skip
_LIMIT_PLUGINS = frozenset(
    ["rate-limiting", "rate-limiting-advanced", "ai-rate-limiting-advanced", "response-ratelimiting"]
)
_INTERNAL = re.compile(
    r"(load-balancer-(scheme|type)=internal|load-balancer-internal=true)",
    re.I,
)


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """A time limit on the way to the pods. `seconds` None = none is set there; `source` says where it stands.

    `idle`: the limit is between two reads, which a stream renews, and not for the whole answer.
    """

    subject: str
    source: str
    seconds: float | None
    idle: bool = False
    default: bool = False


def notes_of(obj: Object) -> Mapping[str, str]:
    """An object's annotations."""
    return (obj.get("metadata") or {}).get("annotations") or {}


def entries_of(snapshot: Snapshot) -> tuple[list[Object], list[Object]]:
    """The Ingresses and the routes to the service, those to a router in front of it included."""
    ingresses, routes = [*snapshot.fact("service.ingresses")], [*snapshot.fact("service.routes")]
    for entry in snapshot.fact_or("service.fronts", ()):
        (ingresses if entry.get("kind") == "Ingress" else routes).append(entry)
    return ingresses, routes


def ingress_class(ingress: Object) -> str:
    """The class of an Ingress, by field or by the older annotation; empty when neither names one."""
    named = (ingress.get("spec") or {}).get("ingressClassName") or notes_of(ingress).get("kubernetes.io/ingress.class")
    return str(named or "")


def is_nginx(ingress: Object) -> bool:
    """True for an Ingress of the community's ingress-nginx controller."""
    return "nginx" in ingress_class(ingress) or any(name.startswith(_NGINX) for name in notes_of(ingress))


def port_behind(service_port: Object, containers: Iterable[Object]) -> tuple[int | None, bool]:
    """The number behind a Service's ``targetPort``, and whether a container declares it. (None, False): a lost name."""
    wanted = service_port.get("targetPort")
    wanted = service_port.get("port") if wanted in (None, "", 0) else wanted
    numbers = [port_number(c, wanted) for c in containers]
    number = next((n for n in numbers if n is not None), None)
    declared = {p.get("containerPort") for c in containers for p in c.get("ports") or ()}
    return number, number in declared


def backends(obj: Object) -> Iterator[tuple[str, int | str | None]]:
    """(Service, port) of every backend of an Ingress, HTTPRoute, GRPCRoute or VirtualService in its own namespace."""
    spec, kind = obj.get("spec") or {}, obj.get("kind")
    if kind == "Ingress":
        paths = [p for rule in spec.get("rules") or () for p in (rule.get("http") or {}).get("paths") or ()]
        for backend in (spec.get("defaultBackend") or {}, *(p.get("backend") or {} for p in paths)):
            service = backend.get("service") or {}
            if service.get("name"):
                port = service.get("port") or {}
                yield str(service["name"]), port.get("number") or port.get("name")
    elif kind == "VirtualService":
        for route in (r for http in spec.get("http") or () for r in http.get("route") or ()):
            destination = route.get("destination") or {}
            yield str(destination.get("host", "")).partition(".")[0], (destination.get("port") or {}).get("number")
    else:
        for reference in (b for rule in spec.get("rules") or () for b in rule.get("backendRefs") or ()):
            here = (obj.get("metadata") or {}).get("namespace")
            if reference.get("kind", "Service") == "Service" and reference.get("namespace", here) == here:
                yield str(reference.get("name")), reference.get("port")


def exposed_services(services: Iterable[Object]) -> list[Object]:
    """Services that are reachable from outside the cluster by themselves."""
    return [s for s in services if (s.get("spec") or {}).get("type") in ("LoadBalancer", "NodePort")]


def is_internal(service: Object) -> bool:
    """True for a load balancer that its annotations keep inside the provider's network."""
    return any(
        _INTERNAL.search(f"{name}={value}") for name, value in notes_of(service).items() if "load-balancer" in name
    )


def tls_of(obj: Object, gateways: Sequence[Object]) -> bool | None:
    """Whether an entry ends TLS: True, False, or None where that is not in view (a gateway that was not found)."""
    spec, kind, notes = obj.get("spec") or {}, obj.get("kind"), notes_of(obj)
    if kind == "Ingress":
        by_note = ("alb.ingress.kubernetes.io/certificate-arn", "networking.gke.io/managed-certificates",
                   "ingress.gcp.kubernetes.io/pre-shared-cert", f"{_NGINX}ssl-passthrough")  # fmt: skip
        return bool(spec.get("tls")) or any(note in notes for note in by_note)
    if kind == "Service":
        return any("ssl-cert" in name or "tls" in name for name in notes)
    if kind == "VirtualService":
        names = [str(n).rpartition("/")[2] for n in spec.get("gateways") or () if n != "mesh"]
        found = [g for g in gateways if (g.get("metadata") or {}).get("name") in names]
        servers = [s for g in found for s in (g.get("spec") or {}).get("servers") or ()]
        return _istio_tls(servers) if found else None
    verdicts = [_listener_tls(parent, gateways) for parent in spec.get("parentRefs") or ()]
    if any(v is None for v in verdicts) or not verdicts:
        return None
    return all(verdicts)


def _istio_tls(servers: Sequence[Object]) -> bool:
    plain = [s for s in servers if not s.get("tls")]
    return bool(servers) and not plain


def _listener_tls(parent: Object, gateways: Sequence[Object]) -> bool | None:
    """Whether the listeners that a route attaches to all end TLS; a plain one beside them lets plain traffic in."""
    gateway = next((g for g in gateways if (g.get("metadata") or {}).get("name") == parent.get("name")), None)
    if gateway is None:
        return None
    listeners = (gateway.get("spec") or {}).get("listeners") or ()
    section = parent.get("sectionName")
    used = [each for each in listeners if section is None or each.get("name") == section]
    return all(each.get("protocol") in ("HTTPS", "TLS") for each in used) if used else None


def time_limits(
    ingresses: Iterable[Object], routes: Iterable[Object], policies: Iterable[Object] = ()
) -> list[TimeLimit]:
    """Every time limit that an entry or a policy of its gateway sets, or that its controller has where none is set."""
    found = []
    for ingress in ingresses:
        subject, notes = object_subject(ingress), notes_of(ingress)
        if is_nginx(ingress):
            given = notes.get(f"{_NGINX}proxy-read-timeout")
            seconds = _seconds(given) if given else _NGINX_READ_TIMEOUT_S
            found.append(TimeLimit(subject, f"{_NGINX}proxy-read-timeout", seconds, True, given is None))
        elif ingress_class(ingress) == "alb" or any(n.startswith("alb.ingress") for n in notes):
            attributes = notes.get("alb.ingress.kubernetes.io/load-balancer-attributes", "")
            hit = re.search(r"idle_timeout\.timeout_seconds=(\d+)", attributes)
            seconds = float(hit[1]) if hit else _ALB_IDLE_TIMEOUT_S
            source = "alb.ingress.kubernetes.io/load-balancer-attributes"
            found.append(TimeLimit(subject, source, seconds, True, hit is None))
        else:
            found.append(TimeLimit(subject, "metadata.annotations", None))
    for route in routes:
        found += _route_limits(route)
    return found + [limit for policy in policies for limit in _policy_limits(policy)]


def _policy_limits(policy: Object) -> Iterator[TimeLimit]:
    """Envoy Gateway's and kgateway's limit for a whole answer; zero switches it off."""
    for kind, path in (("BackendTrafficPolicy", "timeout.http.requestTimeout"), ("TrafficPolicy", "timeouts.request")):
        value: Any = policy.get("spec") if policy.get("kind") == kind else None
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value and (seconds := _seconds(value)):
            yield TimeLimit(object_subject(policy), f"spec.{path}", seconds)


def _route_limits(route: Object) -> list[TimeLimit]:
    subject, spec = object_subject(route), route.get("spec") or {}
    found = []
    if route.get("kind") == "VirtualService":
        for i, http in enumerate(spec.get("http") or ()):
            seconds = _seconds(http.get("timeout")) if http.get("timeout") else None
            found.append(TimeLimit(subject, f"spec.http[{i}].timeout", seconds))
        return found
    for i, rule in enumerate(spec.get("rules") or ()):
        limits = rule.get("timeouts") or {}
        given = {name: _seconds(limits[name]) for name in ("request", "backendRequest") if limits.get(name)}
        # Gateway API: "0s" switches a time limit off.
        counted = {name: value for name, value in given.items() if value}
        if counted:
            name = min(counted, key=lambda n: counted[n] or 0.0)
            found.append(TimeLimit(subject, f"spec.rules[{i}].timeouts.{name}", counted[name]))
        else:
            found.append(TimeLimit(subject, f"spec.rules[{i}].timeouts", None))
    return found


def authentication_in_front(ingresses: Iterable[Object], policies: Iterable[Object]) -> list[str]:
    """What asks callers who they are, or lets in known addresses only: one line each, with the object's name."""
    found = [f"{object_subject(i)}: {name}" for i in ingresses for name in notes_of(i) if _AUTH_ANNOTATIONS.match(name)]
    policies = list(policies)
    required = any(asks_callers(policy) for policy in policies)
    for policy in policies:
        spec, kind = policy.get("spec") or {}, policy.get("kind")
        keys = sorted(_AUTH_KEYS & set(spec))
        if kind == "RequestAuthentication" and not required:
            continue  # it refuses a bad token, and lets in who brings none
        if kind == "AuthorizationPolicy":
            if asks_callers(policy):
                found.append(object_subject(policy))
        elif kind in ("AuthPolicy", "RequestAuthentication"):
            found.append(object_subject(policy))
        elif keys:
            found.append(f"{object_subject(policy)}: {', '.join(keys)}")
        elif kind == "KongPlugin" and policy.get("plugin") in _AUTH_PLUGINS:
            found.append(f"{object_subject(policy)}: {policy['plugin']}")
        elif kind == "EnvoyFilter" and re.search(r"ext_authz|jwt_authn", str(spec)):
            found.append(object_subject(policy))
    return found


def asks_callers(policy: Object) -> bool:
    """True for an AuthorizationPolicy that lets in certain callers alone.

    One of ALLOW does, and one of CUSTOM, which asks another server. One of DENY leaves in whomever it does not name,
    unless it names all who show nothing: https://istio.io/latest/docs/tasks/security/authentication/authn-policy/
    """
    spec = policy.get("spec") or {}
    if policy.get("kind") != "AuthorizationPolicy":
        return False
    action, rules = spec.get("action") or "ALLOW", spec.get("rules") or ()
    if action == "DENY":
        return any(_denies_unknown(rule) for rule in rules)
    return action == "CUSTOM" or (action == "ALLOW" and not any(_lets_all_in(rule) for rule in rules))


def _lets_all_in(rule: Object) -> bool:
    """True for a rule that asks nobody who calls, unless it is about paths that lead to no model."""
    if rule.get("from") or rule.get("when"):
        return False
    paths = [(each.get("operation") or {}).get("paths") or ["*"] for each in rule.get("to") or ()]
    return not paths or not all(_HARMLESS.fullmatch(str(path)) for each in paths for path in each)


def _denies_unknown(rule: Object) -> bool:
    """True for a rule of DENY that names all without a token, or without a certificate of the mesh."""
    sources = [each.get("source") or {} for each in rule.get("from") or ()]
    bare = any(s == {name: ["*"]} for s in sources for name in ("notRequestPrincipals", "notPrincipals"))
    spared = [each.get("operation") or {} for each in rule.get("to") or ()]
    harmless = all(
        set(each) == {"notPaths"} and all(_HARMLESS.fullmatch(str(path)) for path in each["notPaths"])
        for each in spared
    )
    return bare and not rule.get("when") and harmless


def rate_limits(ingresses: Iterable[Object], policies: Iterable[Object]) -> list[str]:
    """What limits the rate of callers: one line each."""
    found = [
        f"{object_subject(i)}: {name}" for i in ingresses for name in notes_of(i) if _LIMIT_ANNOTATIONS.match(name)
    ]
    for policy in policies:
        spec, kind = policy.get("spec") or {}, policy.get("kind")
        limited = "rateLimit" in spec or kind == "RateLimitPolicy" or "inFlightReq" in spec
        plugin = kind == "KongPlugin" and policy.get("plugin") in _LIMIT_PLUGINS
        envoy = kind == "EnvoyFilter" and re.search(r"local_ratelimit|envoy\.filters\.http\.ratelimit", str(spec))
        if limited or plugin or envoy:
            found.append(object_subject(policy))
    return found


def _seconds(text: Any) -> float | None:
    try:
        return parse_duration_s(text)
    except UsageError:
        return None
