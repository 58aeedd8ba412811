from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.log_lines import decisive_line, gpu_out_of_memory, lines_of
from inferaudit.pod_state import ended, is_current, waiting

_MEANING = {
    1: " (the program gave up)",
    126: " (the command cannot be run)",
    127: " (there is no such command)",
    134: " (aborted)",
    137: " (killed: memory, or a probe)",
    139: " (segmentation fault)",
    143: " (told to stop)",
}


@check(
    title="No container crashes again and again",
    severity=Severity.CRITICAL,
    needs=("workload", "workload.pods"),
    optional=("workload.logs",),
    remediation="Read the line of the log that the finding shows; `kubectl logs --previous` has the rest.",
    references=("https://kubernetes.io/docs/tasks/debug/debug-application/debug-running-pod/",),
)
def crash_loop(snapshot: Snapshot) -> Iterator[Judgement]:
    """A server that ends a few seconds after each start serves nobody; Kubernetes only waits longer each time.

    The exit code and the last error of its log say why.
    """
    workload = snapshot.fact("workload")
    pods = [pod for pod in snapshot.fact("workload.pods") if is_current(pod)]
    looping = {(w.pod, w.container) for w in waiting(pods, "CrashLoopBackOff")}
    if not looping and pods:
        yield passed(workload.subject, f"none of {len(pods)} pods is in a crash loop", Evidence("waiting", 0, "none"))
    logs = snapshot.fact_or("workload.logs", [])
    for name in sorted({container for _, container in looping}):
        ends = [e for e in ended(pods) if (e.pod, e.container) in looping and e.container == name]
        lines = lines_of(logs, name)
        line = decisive_line(lines)
        last = ends[0] if ends else None
        code = f"exit code {last.exit_code}" if last else "no exit code"
        told = f"{code}{_MEANING.get(last.exit_code or 0, '') if last else ''}"
        seen = Evidence(
            "lastState.terminated", {"reason": last.reason, "exitCode": last.exit_code} if last else None, "runs"
        )
        subject = f"{workload.subject}/{name}"
        cause = None
        if last and last.reason == "OOMKilled":
            cause = ("state-oom-killed", subject)
        elif gpu_out_of_memory(lines):
            cause = ("state-gpu-oom", subject)
        evidence = (seen, Evidence("log", line, "no error")) if line else (seen,)
        pods_hit = len({pod for pod, container in looping if container == name})
        why = f": {line}" if line else "; its log is not in view" if snapshot.error("workload.logs") else ""
        yield failed(subject, f"{pods_hit} pods in a crash loop, {told}{why}", *evidence, cause=cause)
