from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="The model that is to go live is the one served",
    severity=Severity.CRITICAL,
    needs=("endpoint.target", "endpoint.models"),
    remediation="Deploy the right model, or correct --model (or target.model) to the name that is served.",
)
def model_served(snapshot: Snapshot) -> Iterator[Judgement]:
    """An audit of another model than the one that goes live proves nothing, and a wrong name fails every request."""
    target = snapshot.fact("endpoint.target")
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


def _same(served: str, asked: str) -> bool:
    """Ollama adds ``:latest``, transformers ``@main``."""
    return served == asked or served.removesuffix(":latest") == asked or served.partition("@")[0] == asked
