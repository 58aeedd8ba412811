from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.redact import is_marker
from inferaudit.subjects import object_subject


@check(
    title="No secret stands in a ConfigMap",
    severity=Severity.HIGH,
    needs=("service.configmaps",),
    remediation="Move the entry into a Secret, mount that instead, and replace the value that was shown.",
    references=("https://kubernetes.io/docs/concepts/configuration/configmap/",),
)
def secret_in_configmap(snapshot: Snapshot) -> Iterator[Judgement]:
    """ConfigMaps are read by far more people and programs than Secrets are, and are backed up in clear.

    A credential in one has to be taken as known.
    """
    for obj in snapshot.fact("service.configmaps"):
        data = obj.get("data") or {}
        exposed = sorted(name for name, text in data.items() if is_marker(str(text)))
        seen = Evidence("data", exposed or len(data), "no secret")
        if exposed:
            yield failed(object_subject(obj), f"holds a secret in {', '.join(exposed)}", seen)
        else:
            yield passed(
                object_subject(obj), f"no secret among {len(data)} entr{'ies' if len(data) != 1 else 'y'}", seen
            )
