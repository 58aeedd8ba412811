from collections.abc import Iterator

from inferaudit.api import (
    Evidence,
    FactErrorKind,
    Judgement,
    Severity,
    Snapshot,
    check,
    failed,
    not_applicable,
    passed,
    unknown,
)


@check(
    title="Every object that the workload names exists",
    severity=Severity.CRITICAL,
    needs=("workload", "service.references"),
    optional=("workload.pods",),
    remediation="Create the object or the entry that the finding names, or correct the name in the pod template.",
    references=("https://kubernetes.io/docs/concepts/configuration/secret/",),
)
def references(snapshot: Snapshot) -> Iterator[Judgement]:
    """A pod that names a Secret, ConfigMap, claim or class that does not exist never starts.

    Running pods hide it: the fault shows at the next restart, on the worst day. Where there are only files, what they
    do not hold is left to a check of its own, for it may well be in the cluster.
    """
    workload = snapshot.fact("workload")
    files = snapshot.error("workload.pods")
    files_alone = files is not None and files.kind in (FactErrorKind.NO_TARGET, FactErrorKind.OUT_OF_VIEW)
    seen_names: set[tuple[str, str, str | None]] = set()
    for ref in snapshot.fact("service.references"):
        identity = (ref.kind, ref.name, ref.key)
        if identity in seen_names:
            continue
        seen_names.add(identity)
        key = f"{ref.kind}/{ref.name}{f'#{ref.key}' if ref.key else ''}"
        there = ref.found if ref.found is not True or ref.key is None else ref.key_found
        seen = Evidence(ref.path, "found" if there else "not in view" if there is None else "missing", "found")
        what = f"{ref.kind} {ref.name}" + (f" with the entry {ref.key}" if ref.key else "")
        if ref.optional and not there:
            yield passed(workload.subject, f"{what} is optional and not there", seen, key=key)
        elif there is None and ref.found:
            # The object is there and its entries cannot be listed (a Secret is never read): what can be seen is right.
            yield passed(
                workload.subject, f"{ref.kind} {ref.name} exists; its entries are not looked at", seen, key=key
            )
        elif there is None and files_alone:
            yield not_applicable(workload.subject, f"{what} may be in the cluster; there are only files", seen, key=key)
        elif there is None:
            yield unknown(workload.subject, f"{what}: {ref.reason or 'could not be looked for'}", seen, key=key)
        elif there:
            yield passed(workload.subject, f"{what} exists", seen, key=key)
        elif ref.found:
            yield failed(workload.subject, f"{ref.kind} {ref.name} has no entry {ref.key}", seen, key=key)
        else:
            yield failed(workload.subject, f"{what} does not exist", seen, key=key)
