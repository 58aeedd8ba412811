from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown


@check(
    title="What the files leave out is known to exist",
    severity=Severity.MEDIUM,
    needs=("workload", "service.references"),
    remediation="Add the objects to --manifests, or give --context, so that the names can be looked up.",
    references=("https://kubernetes.io/docs/concepts/configuration/overview/",),
)
def outside_references(snapshot: Snapshot) -> Iterator[Judgement]:
    """A rendered chart names pull secrets, classes and volumes that come from elsewhere.

    Whether they exist in the cluster no file tells; each is a pod that may not start. A name that the files lack while
    they hold one very like it, which nothing names, is a slip of the pen, or the hash of an older version.
    """
    workload = snapshot.fact("workload")
    refs = [r for r in snapshot.fact("service.references") if not r.optional]
    lost = sorted({f"{r.kind} {r.name}" for r in refs if r.found is None})
    gone = sorted({f"{r.kind} {r.name}" for r in refs if r.found is False})
    seen = Evidence("references", lost or len(refs), "all in view")
    slips = {f"{r.kind} {r.name}": r.like for r in refs if r.found is None and r.like}
    if slips:
        text = "; ".join(f"{name} is not in the files, which hold {like} for nobody" for name, like in slips.items())
        yield failed(workload.subject, text, Evidence("references", sorted(slips), sorted(set(slips.values()))))
    elif lost:
        yield unknown(workload.subject, f"not in view: {', '.join(lost)}", seen)
    elif gone:
        why = Evidence("references", gone, "all there")
        yield failed(
            workload.subject, f"do not exist: {', '.join(gone)}", why, cause=("workload-references", workload.subject)
        )
    elif refs:
        yield passed(workload.subject, f"all {len(refs)} references are in view", seen)
