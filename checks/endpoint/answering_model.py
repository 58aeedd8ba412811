from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="The answer names the model that was asked",
    severity=Severity.HIGH,
    needs=("endpoint.target", "endpoint.plain"),
    remediation="Find what rewrites the model's name on the way: a router, an alias, or a fallback to another model.",
)
def answering_model(snapshot: Snapshot) -> Iterator[Judgement]:
    """A router that falls back silently answers with another model: other quality, other cost, and nobody notices."""
    target, plain = snapshot.fact("endpoint.target"), snapshot.fact("endpoint.plain")
    if plain.model is None or not target.model:
        return
    seen = Evidence("endpoint.plain.model", plain.model, target.model)
    names = {plain.model, plain.model.partition("@")[0], plain.model.removesuffix(":latest")}
    if target.model in names or target.model.removesuffix(":latest") in names:
        yield passed(target.subject, f"the answer comes from {plain.model}", seen)
    else:
        yield failed(target.subject, f"{target.model} was asked and {plain.model} answered", seen)
