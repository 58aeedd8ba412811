from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="Requests are told apart by model",
    severity=Severity.LOW,
    needs=("endpoint.target", "endpoint.concepts"),
    remediation="Add the model (and version) as a label, in the server or by relabelling at scrape time.",
)
def model_label(snapshot: Snapshot) -> Iterator[Judgement]:
    """With two versions side by side, a canary's errors drown in the stable version's count without a label."""
    subject = snapshot.fact("endpoint.target").subject
    requests = next((c for c in snapshot.fact("endpoint.concepts") if c.concept == "requests" and c.name), None)
    if requests is None:
        return
    found = [label for label in requests.labels if "model" in label or label in ("deployment", "service_name")]
    seen = Evidence(f"{requests.name} labels", requests.labels, "a label that names the model")
    if found:
        yield passed(subject, f"{requests.name} has the label {found[0]}", seen)
    else:
        yield failed(subject, f"{requests.name} has no label that names the model", seen)
