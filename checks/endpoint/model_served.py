from collections.abc import Iterator

from inferaudit.api import Evidence, FactErrorKind, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="The model that is to go live is the one served",
    severity=Severity.CRITICAL,
    needs=("endpoint.target",),
    optional=("endpoint.models", "endpoint.plain", "endpoint.golden"),
    remediation="Deploy the right model, or correct --model (or target.model) to the name that is served.",
)
def model_served(snapshot: Snapshot) -> Iterator[Judgement]:
    """An audit of another model than the one that goes live proves nothing, and a wrong name fails every request.

    A server that lists no models, or those it has downloaded, may serve it all the same: it counts as served when a
    real request, or better the golden ones, are answered.
    """
    target = snapshot.fact("endpoint.target")
    unlisted = snapshot.error("endpoint.models")
    if unlisted and unlisted.kind is FactErrorKind.OUT_OF_VIEW and (proof := _answered(snapshot)):
        yield passed(
            target.subject, f"the list cannot tell; {proof}", Evidence("endpoint.models", None, unlisted.reason)
        )
        return
    served = [model.id for model in snapshot.fact("endpoint.models")]
    if target.model_source != "given":
        if served:
            seen = Evidence("endpoint.models[].id", served)
            yield passed(target.subject, f"serves {', '.join(served[:5])}; no model was asked for by name", seen)
        else:
            yield failed(target.subject, "the server lists no model at all", Evidence("endpoint.models[].id", []))
        return
    seen = Evidence("endpoint.models[].id", served, target.model)
    if any(_same(name, target.model) for name in served):
        yield passed(target.subject, f"{target.model} is served", seen)
    else:
        listed = ", ".join(served[:5]) or "nothing"
        yield failed(target.subject, f"{target.model} is not served; the server lists {listed}", seen)


def _answered(snapshot: Snapshot) -> str:
    """What shows that a model answers, or nothing."""
    if snapshot.error("endpoint.golden") is None:
        results = snapshot.fact("endpoint.golden")
        if results and all(result.passed for result in results):
            return f"{len(results)} golden requests were answered as expected"
    if snapshot.error("endpoint.plain") is None:
        plain = snapshot.fact("endpoint.plain")
        if plain.status == 200 and plain.error is None and plain.sample == "known":
            return "a real request was answered"
    return ""


def _same(served: str, asked: str) -> bool:
    """Ollama adds ``:latest``, transformers ``@main``."""
    return served == asked or served.removesuffix(":latest") == asked or served.partition("@")[0] == asked
