from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="The pull policy fits the image's name",
    severity=Severity.MEDIUM,
    needs=("workload.containers",),
    remediation=(
        "Use `imagePullPolicy: IfNotPresent` with a pinned image; `Never` only on nodes that are known to hold it."
    ),
    references=("https://kubernetes.io/docs/concepts/containers/images/#image-pull-policy",),
)
def image_pull_policy(snapshot: Snapshot) -> Iterator[Judgement]:
    """Never starts a pod only where somebody put the image by hand: a new node cannot run it.

    IfNotPresent beside a tag that moves runs a different image on each node, by the day it was first pulled.
    """
    for container in snapshot.fact("workload.containers"):
        image = container.get("image") or ""
        tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
        moves = "@" not in image and tag in ("", "latest")
        policy = container.get("imagePullPolicy")
        effective = policy or ("Always" if moves else "IfNotPresent")
        seen = Evidence("imagePullPolicy", policy, "IfNotPresent with a pinned image")
        if effective == "Never":
            yield failed(container["subject"], "the image is never pulled: a new node cannot start the pod", seen)
        elif effective == "IfNotPresent" and moves:
            why = "each node runs the image that its moving tag meant when it was first pulled"
            tag_moves = ("workload-image-tag", container["subject"])  # which fails for exactly these names
            yield failed(container["subject"], why, seen, cause=tag_moves)
        else:
            yield passed(container["subject"], f"{effective}{'' if policy else ' by default'}", seen)
