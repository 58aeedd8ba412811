from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown


@check(
    title="All replicas run one version",
    severity=Severity.MEDIUM,
    needs=("endpoint.replicas",),
    remediation="Pin the image by digest (`image: …@sha256:…`) and let the rollout end before the launch.",
    references=("https://kubernetes.io/docs/concepts/containers/images/#image-names",),
)
def replica_version(snapshot: Snapshot) -> Iterator[Judgement]:
    """Two versions behind one address answer one question in two ways, and no test of the address tells which.

    A tag that was moved does it without a rollout: each node keeps the image that it pulled. Each ready pod is asked
    for the version of its server, and the digest that its node runs is compared.
    """
    replicas = snapshot.fact("endpoint.replicas")
    answers, subject = replicas.answers, replicas.subject
    # The digest alone: the same image may have been pulled under several names, through a mirror for one.
    digests = {a.pod: a.image_id.rpartition("@")[2] for a in answers}
    versions = {a.pod: f"{a.runtime} {a.version}" for a in answers if a.version}
    seen = (
        Evidence("endpoint.replicas.answers[].version", versions, "one version"),
        Evidence("endpoint.replicas.answers[].image_id", digests, "one digest"),
    )
    several = f"{len(answers)} of {replicas.total} ready pods"
    if not answers:
        yield unknown(subject, "no pod was asked", *seen)
    elif len(found := sorted(set(versions.values()))) > 1:
        yield failed(subject, f"the replicas run {len(found)} versions: {', '.join(found[:4])}", *seen)
    elif len(known := {d for d in digests.values() if d}) > 1:
        yield failed(subject, f"the replicas run {len(known)} images: the same name, and not the same digest", *seen)
    elif len(answers) < replicas.total:
        yield unknown(subject, f"only {several} were asked; they are of one version", *seen)
    elif all(digests.values()):
        told = f"{found[0]}, " if found and len(versions) == len(answers) else ""
        yield passed(subject, f"all of {several} run {told}one image digest", *seen)
    elif len(versions) == len(answers):
        yield passed(subject, f"all of {several} run {found[0]}", *seen)
    else:
        silent = sorted(a.pod for a in answers if not a.version and not a.image_id)
        yield unknown(subject, f"{', '.join(silent[:4])}: neither the version nor the image's digest is told", *seen)
