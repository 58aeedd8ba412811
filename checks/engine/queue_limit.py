import re
from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.engine_args import serving_engines
from inferaudit.entrypoints import rate_limits


@check(
    title="The queue has an end",
    severity=Severity.MEDIUM,
    needs=("workload.containers",),
    optional=("workload", "service.configmaps", "service.ingresses", "service.trafficpolicies", "service.lostbackends"),
    remediation=(
        "Limit the queue, for example `--max-num-queued-reqs=64` (vLLM) or `--max-queued-requests` (SGLang), so "
        "that overload is answered with 503 at once."
    ),
    references=("https://sre.google/sre-book/handling-overload/",),
)
def queue_limit(snapshot: Snapshot) -> Iterator[Judgement]:
    """An endless queue turns too much traffic into time-outs for everybody: at its turn, a request's user has gone.

    A short queue and a fast refusal keep throughput where it was. A rate limit in front does the same.
    """
    maps = snapshot.fact_or("service.configmaps", ())
    for container, engine in serving_engines(snapshot.fact("workload.containers"), maps):
        subject = container["subject"]
        setting, known = engine.settings.get("queue_limit"), engine.profile.settings.get("queue_limit")
        ingresses = snapshot.fact_or("service.ingresses", ())
        policies = snapshot.fact_or("service.trafficpolicies", ())
        in_front = rate_limits(ingresses, policies)
        seen = Evidence(setting.source if setting else "args", setting.value if setting else None, "a limit")
        if setting is None and not in_front:
            snapshot.require_read("service.configmaps")
        if setting and setting.value not in ("", "-1", "0"):
            yield passed(subject, f"{setting.source} = {setting.value}", seen)
        elif engine.profile.name == "ray-serve" and (length := _of_deployments(snapshot)):
            shown = Evidence("spec.serveConfigV2: max_queued_requests", length, "a limit")
            yield passed(subject, f"its deployments queue up to {length} requests", shown)
        elif in_front:
            yield passed(subject, "a rate limit stands in front", Evidence("rate limit", in_front[0], "a limit"))
        elif not engine.known:
            yield unknown(subject, "the runtime is not recognised, and nothing in front limits the rate", seen)
        elif engine.profile.overload.bounded or (known and known.default.isdigit()):
            limit = known.default if known and known.default else "bounded"
            yield passed(subject, f"{engine.title}'s queue has a limit by default ({limit})", seen)
        else:
            snapshot.require_read("service.ingresses", "service.trafficpolicies")  # a limit may stand in front
            # What leads to no Service limits nothing for this one, though it was meant to.
            lost = [each.subject for each in snapshot.fact_or("service.lostbackends", ()) if each.found is False]
            cause = ("network-route-resolved", lost[0]) if lost and not ingresses else None
            yield failed(subject, f"{engine.title} queues without end", seen, cause=cause)


def _of_deployments(snapshot: Snapshot) -> str:
    """The limit that Ray Serve's own configuration gives to queues; empty where it gives none."""
    workload = snapshot.fact_or("workload", None)
    text = str((workload.object.get("spec") or {}).get("serveConfigV2")) if workload else ""
    found = re.search(r"max_queued_requests[\"']?\s*:\s*([1-9]\d*)", text)
    return found[1] if found else ""
