from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.kube.workloads import worker_templates
from inferaudit.pod_security import refusals

_LEVEL = "pod-security.kubernetes.io/enforce"


@check(
    title="The namespace's security level admits the pods",
    severity=Severity.HIGH,
    needs=("workload",),
    optional=("service.namespace",),
    remediation="Mend the fields that the finding names, or label the namespace with the level that the pods need.",
    references=("https://kubernetes.io/docs/concepts/security/pod-security-standards/",),
)
def level_admits(snapshot: Snapshot) -> Iterator[Judgement]:
    """Where a level is enforced, a pod that breaks it is refused as it is created: the workload is accepted, and no pod
    of it ever comes. Those that run already stay, until the next rollout.

    What a controller or a webhook adds to the pods is not in view; nor is who is exempted.
    """
    workload = snapshot.fact("workload")
    if workload.kind == "InferenceService":
        return  # KServe completes its pods
    found = snapshot.fact_or("service.namespace", None)
    if found is None:
        snapshot.require_read("service.namespace")
    level = (((found or {}).get("metadata") or {}).get("labels") or {}).get(_LEVEL)
    if level not in ("baseline", "restricted"):
        seen = Evidence(f"metadata.labels.{_LEVEL}", level, "baseline or restricted")
        yield not_applicable(workload.subject, "no level is seen to be enforced", seen)
        return
    templates = (workload.template, *worker_templates(workload.object))
    wrong = list(dict.fromkeys(why for each in templates for why in refusals(level, each.get("spec") or {})))
    seen = Evidence("spec.template.spec", wrong or "as the level asks", f"nothing that {level} refuses")
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        yield failed(workload.subject, f"its pods are refused by the level {level}: {wrong[0]}{more}", seen)
    else:
        yield passed(workload.subject, f"its pods are as the level {level} asks", seen)
