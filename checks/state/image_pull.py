import re
from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.pod_state import Waiting, is_current, waiting


@check(
    title="Every image can be pulled",
    severity=Severity.CRITICAL,
    needs=("workload", "workload.pods"),
    remediation="Mend the image's name, or the pull secret: `kubectl describe pod` shows the registry's own words.",
    references=("https://kubernetes.io/docs/tasks/configure-pod-container/pull-image-private-registry/",),
)
def image_pull(snapshot: Snapshot) -> Iterator[Judgement]:
    """A pod whose image cannot be pulled never runs; replicas that still run hide it until the first restart.

    The registry's answer tells the cause: credentials, a name that does not exist, or the way there.
    """
    workload = snapshot.fact("workload")
    pods = [pod for pod in snapshot.fact("workload.pods") if is_current(pod)]
    stuck = waiting(
        pods, "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"
    )
    if not stuck and pods:
        yield passed(workload.subject, f"the images of {len(pods)} pods are there", Evidence("waiting", 0, "none"))
    by_container: dict[str, list[Waiting]] = {}
    for each in stuck:
        by_container.setdefault(each.container, []).append(each)
    for name, found in by_container.items():
        shown = [f"{w.pod}: {w.reason}: {w.message}" for w in found[:3]]
        why = next((words for w in found for words in [_why(w)] if words), "the registry's answer is not in the status")
        seen = Evidence("state.waiting", shown, "pulled")
        yield failed(f"{workload.subject}/{name}", f"{found[0].image or 'the image'} cannot be pulled: {why}", seen)


def _why(state: Waiting) -> str:
    if state.reason == "InvalidImageName":
        return "the name is not valid"
    if state.reason == "ErrImageNeverPull":
        return "the pull policy is Never and the node has no copy"
    for pattern, words in (
        (r"unauthorized|authentication required|403|401|denied|no basic auth", "the registry refuses the credentials"),
        (r"manifest unknown|not found|404|name unknown|repository does not exist", "there is no such image or tag"),
        (r"429|toomanyrequests|rate limit", "the registry limits the pulls"),
        (r"no space left", "the node's disk is full"),
        (r"no match for platform|exec format", "there is no image for the node's architecture"),
        (r"timeout|no such host|connection refused|i/o|TLS|x509|EOF", "the registry cannot be reached"),
    ):
        if re.search(pattern, state.message, re.IGNORECASE):
            return words
    return ""
