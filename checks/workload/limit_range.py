from collections.abc import Iterator, Mapping
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.kube.quantity import parse_quantity
from inferaudit.placement import container_defaults, with_defaults


@check(
    title="The LimitRange admits the containers",
    severity=Severity.HIGH,
    needs=("workload", "workload.containers", "service.quotas"),
    remediation="Mend the bound of the LimitRange that is named, or state request and limit that lie inside it.",
    references=("https://kubernetes.io/docs/concepts/policy/limit-range/",),
)
def limit_range(snapshot: Snapshot) -> Iterator[Judgement]:
    """A container outside the LimitRange is refused when its pod is made: no pod appears, and only an event of the
    ReplicaSet says why. Pods that run already stay, so that the next restart or rollout meets it first.
    """
    for quota in snapshot.fact("service.quotas"):
        if quota.get("kind") != "LimitRange":
            continue
        name = (quota.get("metadata") or {}).get("name")
        limits = [each for each in (quota.get("spec") or {}).get("limits") or () if each.get("type") == "Container"]
        for container in snapshot.fact("workload.containers"):
            wrong = [text for limit in limits for text in _outside(limit, container.get("resources") or {})]
            seen = Evidence(f"limitrange/{name} spec.limits", wrong or "inside", "inside min and max")
            if wrong:
                yield failed(container["subject"], "; ".join(wrong), seen, key=str(name))
            elif limits:
                yield passed(container["subject"], f"is inside {name}", seen, key=str(name))


def _outside(limit: Mapping[str, Any], resources: Mapping[str, Any]) -> Iterator[str]:
    """What the API server would refuse. What the container leaves open is given a default that lies inside."""
    limits, requests = with_defaults(resources, container_defaults(limit))
    for name in sorted(set(requests) & set(limits)):
        asked, bound = parse_quantity(requests[name]), parse_quantity(limits[name])
        if asked is not None and bound is not None and asked > bound:
            whose = "its own" if name in (resources.get("limits") or {}) else "the LimitRange's default"
            yield f"a request of {requests[name]} of {name}, and {whose} limit is {limits[name]}"
    for name, most in (limit.get("max") or {}).items():
        asked, bound = parse_quantity(limits.get(name)), parse_quantity(most)
        if asked is not None and bound is not None and asked > bound:
            yield f"{limits[name]} of {name}, and max is {most}"
    for name, least in (limit.get("min") or {}).items():
        asked, bound = parse_quantity(requests.get(name)), parse_quantity(least)
        if asked is not None and bound is not None and asked < bound:
            yield f"{requests[name]} of {name}, and min is {least}"
    for name, most in (limit.get("maxLimitRequestRatio") or {}).items():
        asked, given, bound = (parse_quantity(each) for each in (requests.get(name), limits.get(name), most))
        if not asked or not given:
            yield f"no request and limit of {name}, and the ratio of the two is bounded by {most}"
        elif bound is not None and given / asked > bound:
            ratio = f"{float(given / asked):g} × the request of {requests[name]}"
            yield f"a limit of {limits[name]} of {name} is {ratio}, and {most} × is allowed"
