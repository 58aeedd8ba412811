from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.redact import is_marker


@check(
    title="No secret stands in a command line",
    severity=Severity.HIGH,
    needs=("workload.containers",),
    remediation=(
        "Hand the secret over as a variable from a Secret (for vLLM `VLLM_API_KEY`), and replace the value that "
        "was shown."
    ),
    references=("https://kubernetes.io/docs/concepts/security/secrets-good-practices/",),
)
def secret_in_args(snapshot: Snapshot) -> Iterator[Judgement]:
    """A key on the command line is in the pod template and in every process list.

    Some servers even show their launch command to whoever asks.
    """
    for container in snapshot.fact("workload.containers"):
        words = [str(w) for field in ("command", "args") for w in container.get(field) or ()]
        hooks = (container.get("lifecycle") or {}).values()
        words += [str(w) for hook in hooks for w in ((hook or {}).get("exec") or {}).get("command") or ()]
        exposed = [
            f"{words[at - 1]} {word}"
            if at and words[at - 1].startswith("-") and not word.startswith("-")
            else word[:200]
            for at, word in enumerate(words)
            if is_marker(word)
        ]
        seen = Evidence("command, args", exposed or len(words), "no secret")
        if exposed:
            count = len(exposed)
            yield failed(container["subject"], f"{count} secret{'s' * (count > 1)} on the command line", seen)
        else:
            yield passed(container["subject"], "no secret on the command line", seen)
