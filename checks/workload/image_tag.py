from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown

_MOVING = frozenset({"latest", "nightly", "main", "master", "dev", "edge", "stable"})


@check(
    title="Images are pinned to a version",
    severity=Severity.HIGH,
    needs=("workload.containers",),
    remediation="Name a version tag, best with a digest: `image: registry/name:v1.2.3@sha256:…`.",
    references=("https://kubernetes.io/docs/concepts/containers/images/#image-names",),
)
def image_tag(snapshot: Snapshot) -> Iterator[Judgement]:
    """An image that moves makes two replicas of one revision differ, and a rollback go nowhere.

    The next node that pulls it runs what nobody tested.
    """
    for container in snapshot.fact("workload.containers"):
        image = container.get("image") or ""
        name, _, digest = image.partition("@")
        tag = name.rpartition("/")[2].partition(":")[2]
        seen = Evidence("image", image or None, "a version tag or a digest")
        if not image:
            yield unknown(
                container["subject"], "the image is not named here: a ServingRuntime or a webhook sets it", seen
            )
        elif digest:
            yield passed(container["subject"], "the image is pinned by digest", seen)
        elif not tag:
            yield failed(container["subject"], "the image has no tag, which means latest", seen)
        elif tag in _MOVING or tag.startswith(("latest-", "nightly-")) or tag.endswith(("-latest", "-nightly")):
            yield failed(container["subject"], f"the tag {tag} moves", seen)
        else:
            yield passed(container["subject"], f"the image is pinned to {tag}", seen)
