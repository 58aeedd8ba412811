from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="Answers state how many tokens they used",
    severity=Severity.MEDIUM,
    needs=("endpoint.target", "endpoint.plain"),
    optional=("endpoint.stream",),
    remediation="Switch usage on (vLLM: `--enable-force-include-usage`), and let gateways pass the last event on.",
)
def usage(snapshot: Snapshot) -> Iterator[Judgement]:
    """Without token counts there is no cost per request, no tokens per second and no quota.

    Counting events instead is wrong: an event may hold several tokens or none. An answer that is broken as a whole is
    the fault of another check, and is not asked for its counts.
    """
    subject = snapshot.fact("endpoint.target").subject
    answers = [("plain", snapshot.fact("endpoint.plain"))]
    if snapshot.error("endpoint.stream") is None and snapshot.fact("endpoint.stream") is not None:
        answers.append(("stream", snapshot.fact("endpoint.stream")))
    for name, answer in answers:
        broken = answer.wire is not None if name == "plain" else answer.well_formed is False
        if answer.error is not None or broken or not answer.usage_expected:
            continue
        stated = answer.usage.prompt_tokens if answer.usage is not None else None
        if answer.usage is not None and answer.usage.completion_tokens is not None:
            stated = answer.usage.completion_tokens
        seen = Evidence(f"endpoint.{name}.usage", stated, "token counts")
        if stated is None:
            yield failed(subject, f"the {name} answer states no token counts", seen, key=name)
        else:
            yield passed(subject, f"the {name} answer states its token counts", seen, key=name)
