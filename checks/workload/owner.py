from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed

_OWNER_NAMES = frozenset({"owner", "team", "contact", "maintainer", "oncall", "on-call", "squad", "owned-by"})


@check(
    title="The workload says who owns it",
    severity=Severity.MEDIUM,
    needs=("workload",),
    optional=("policy",),
    remediation="Label or annotate the workload with `owner` or `team`, or set `service.owner` in the policy.",
    references=("https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/",),
)
def owner(snapshot: Snapshot) -> Iterator[Judgement]:
    """At three in the morning somebody must know whom to call.

    An owner on the object itself is found by whoever sees it fail.
    """
    workload = snapshot.fact("workload")
    metadata = workload.object.get("metadata") or {}
    stated = {
        f"metadata.{field}.{name}": value
        for field in ("labels", "annotations")
        for name, value in (metadata.get(field) or {}).items()
        if name.rpartition("/")[2].lower() in _OWNER_NAMES and value
    }
    named = (snapshot.fact_or("policy", {}).get("service") or {}).get("owner")
    if stated:
        path, value = next(iter(sorted(stated.items())))
        yield passed(workload.subject, f"owned by {value}", Evidence(path, value, "an owner"))
    elif named:
        yield passed(workload.subject, f"owned by {named}", Evidence("policy service.owner", named, "an owner"))
    else:
        names = Evidence("metadata.labels, metadata.annotations", sorted(metadata.get("labels") or {}), "owner or team")
        yield failed(workload.subject, "neither a label, an annotation nor the policy names an owner", names)
