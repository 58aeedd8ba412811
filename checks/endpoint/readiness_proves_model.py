from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.endpoint_judgements import asked


@check(
    title="Readiness proves that the model is loaded",
    severity=Severity.MEDIUM,
    needs=("endpoint.target", "endpoint.health", "endpoint.runtime"),
    remediation="Probe a route that names the model (`/v2/models/NAME/ready`), or one of your own that runs it once.",
)
def readiness_proves_model(snapshot: Snapshot) -> Iterator[Judgement]:
    """Some servers say ready as soon as their web server runs.

    A Service routes traffic to a pod whose readiness says nothing of the model, and every request until the weights
    are loaded fails or hangs.
    """
    subject, runtime = snapshot.fact("endpoint.target").subject, snapshot.fact("endpoint.runtime")
    answers = [a for a in snapshot.fact("endpoint.health") if a.status not in (404, 405)]
    proving = [a for a in answers if a.proves == "model" and a.ready]
    if proving:
        seen = Evidence(f"endpoint.health[{proving[0].route}].proves", "model", "model")
        yield passed(subject, f"{asked(proving[0].route)} is ready only with the model loaded", seen)
    elif answers:
        said = {a.route: a.proves for a in answers}
        title = runtime.title if runtime.name != "unknown" else "this server"
        seen = Evidence("endpoint.health[].proves", said, "model")
        yield failed(subject, f"no health route of {title} that is ready speaks of the model", seen)
