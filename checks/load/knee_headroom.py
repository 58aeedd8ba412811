from collections.abc import Iterator
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.facts.load import LoadResult
from inferaudit.load_readings import client_limits
from inferaudit.load_stages import KNEE_PREFIX, endpoint_subject
from inferaudit.policy import Policy
from inferaudit.records import RecordTable
from inferaudit.units import parse_rate_per_s


@check(
    title="The expected rate leaves headroom below the knee",
    severity=Severity.MEDIUM,
    needs=("policy", "load.result", "load.records"),
    remediation="Add replicas or a faster GPU, or promise a lower rate: above the knee queues grow without bound.",
    references=("https://sre.google/sre-book/addressing-cascading-failures/",),
)
def knee_headroom(snapshot: Snapshot, *, headroom: float = 0.2) -> Iterator[Judgement]:
    """Load varies and replicas fail; a service sized for exactly its mean rate is overloaded half of the time.

    The knee is the highest rate at which the objectives held. The expected rate is `load.rate` or a throughput
    objective of the policy, whichever is higher.
    """
    result, records = snapshot.fact("load.result"), snapshot.fact("load.records")
    subject, knee = endpoint_subject(result), result.knee
    expected = _expected(snapshot.fact("policy"))
    if knee is None or not knee.probes:
        yield not_applicable(None, "the knee was not searched for; the load profile full does (bench: --find-knee)")
        return
    shown = Evidence("load.result.knee", {"rate": knee.rate, "broken_at": knee.broken_at}, knee.criterion)
    if expected is None:
        found = "no rate held" if knee.rate is None else f"the knee is at {knee.rate:.1f} requests/s"
        yield unknown(subject, f"no expected rate: give load.rate or a throughput objective; {found}", shown)
        return
    wanted = (1 + headroom) * expected
    seen = Evidence("load.result.knee.rate", knee.rate, f">= {wanted:g}/s, {headroom:.0%} above {expected:g}/s")
    if knee.rate is not None and knee.rate >= wanted:
        yield passed(
            subject, f"the knee, {knee.rate:.1f}/s, lies {knee.rate / expected - 1:.0%} above {expected:g}/s", seen
        )
        return
    if knee.broken_at is None or knee.broken_at > wanted:
        held = "no rate" if knee.rate is None else f"{knee.rate:.1f}/s"
        ended = "was never reached" if knee.broken_at is None else f"lies below {knee.broken_at:.1f}/s"
        yield unknown(subject, f"{held} held and the knee {ended}: {wanted:g}/s was not tried", seen, shown)
        return
    limit = _client_limit(result, records, knee.broken_at)
    if limit:
        yield unknown(subject, f"the client was the limit where it broke: {limit}", seen, shown)
        return
    held = "no rate that was tried held" if knee.rate is None else f"the knee is at {knee.rate:.1f}/s"
    yield failed(subject, f"{held}, and {expected:g}/s with {headroom:.0%} headroom takes {wanted:g}/s", seen, shown)


def _expected(data: Any) -> float | None:
    policy = Policy.model_validate(data)
    rates = [o.target for o in policy.objectives if o.metric == "throughput"]
    if policy.load is not None and policy.load.rate is not None:
        rates.append(parse_rate_per_s(policy.load.rate))
    return max(rates, default=None)


def _client_limit(result: LoadResult, records: RecordTable, rate: float) -> str | None:
    """Why the client falsified the probe at `rate`, if it did."""
    probes = [stage for stage in result.stages if stage.name.startswith(KNEE_PREFIX) and stage.rate == rate]
    for stage in probes:
        why, advice = client_limits(result, records, stage, "latency_ms", "request_rate")
        if why:
            return f"{why[0]}; {advice}"
    return None
