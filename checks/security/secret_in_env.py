from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.redact import is_marker


@check(
    title="No secret stands in an environment variable",
    severity=Severity.HIGH,
    needs=("workload.containers",),
    remediation=(
        "Keep the value in a Secret, and refer to it with `valueFrom.secretKeyRef`; replace the value that was shown."
    ),
    references=("https://kubernetes.io/docs/concepts/security/secrets-good-practices/",),
)
def secret_in_env(snapshot: Snapshot) -> Iterator[Judgement]:
    """A literal in a pod template is in the repository, in etcd, and in front of everyone who may read deployments.

    Whoever has seen it keeps it: after moving it into a Secret, it must be changed too.
    """
    for container in snapshot.fact("workload.containers"):
        literals = [e for e in container.get("env") or () if e.get("value") is not None]
        exposed = {str(e["name"]): str(e["value"]) for e in literals if is_marker(str(e["value"]))}
        seen = Evidence("env[].value", exposed or len(literals), "no secret among the literals")
        if exposed:
            yield failed(container["subject"], f"secrets as literals: {', '.join(sorted(exposed))}", seen)
        else:
            count = len(literals)
            yield passed(container["subject"], f"no secret among {count} literal{'s' * (count != 1)}", seen)
