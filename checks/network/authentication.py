from collections.abc import Iterator

from inferaudit.api import Evidence, FactErrorKind, Judgement, Severity, Snapshot, check, failed, passed, review
from inferaudit.engine_args import serving_engines
from inferaudit.entrypoints import authentication_in_front, exposed_services, is_internal
from inferaudit.subjects import object_subject


@check(
    title="Nobody uses the model without saying who they are",
    severity=Severity.HIGH,
    needs=("workload", "workload.containers", "service.services", "service.ingresses", "service.routes"),
    optional=("service.trafficpolicies", "service.configmaps"),
    remediation=(
        "Put authentication in front (an API key, JWT or OIDC policy of the gateway), or give the engine a key."
    ),
    references=("https://genai.owasp.org/llm-top-10/",),
)
def authentication(snapshot: Snapshot) -> Iterator[Judgement]:
    """An open model is found within days and used by others at your cost, and its prompts and answers with it.

    A load balancer straight to the pods without a key is open for sure. Behind a gateway the authentication may
    stand where no object shows it: a person must say so.
    """
    workload = snapshot.fact("workload")
    ingresses = snapshot.fact("service.ingresses")
    routes = snapshot.fact("service.routes")
    name = "service.trafficpolicies"
    policies = snapshot.fact_or(name, [])
    maps = snapshot.fact_or("service.configmaps", ())
    engines = serving_engines(snapshot.fact("workload.containers"), maps)
    keyed = [e.settings["auth"].source for _, e in engines if "auth" in e.settings and not e.settings["auth"].off]
    in_front = authentication_in_front(ingresses, policies)
    outside = [s for s in exposed_services(snapshot.fact("service.services")) if not is_internal(s)]
    open_doors = [s for s in outside if not (s.get("spec") or {}).get("loadBalancerSourceRanges")]
    seen = Evidence("authentication", in_front or keyed or None, "a key, a token or a policy")
    doors = Evidence("entries", [object_subject(o) for o in (*outside, *ingresses, *routes)], "with authentication")
    if keyed:
        yield passed(workload.subject, f"the engine asks for a key ({keyed[0]})", seen, doors)
    elif open_doors:
        snapshot.require_read("service.configmaps")  # the engine's key may be set there
        named = object_subject(open_doors[0])
        yield failed(workload.subject, f"{named} leads straight to an engine that asks nobody", doors, seen)
    elif not ingresses and not routes and not outside:
        yield passed(workload.subject, "nothing leads in from outside the cluster", doors)
    elif in_front:
        yield passed(workload.subject, f"{in_front[0]} asks who calls", seen, doors)
    else:
        error = snapshot.error(name)
        if error is not None and error.kind is not FactErrorKind.OUT_OF_VIEW:
            snapshot.fact(name)  # the policy may be among those that were not read
        yield review(
            workload.subject, "no object shows authentication in front of the model: where is it?", doors, seen
        )
