from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Phase, Severity, Snapshot, check, passed, unknown


@check(
    title="The measured cost stands beside a hosted price",
    severity=Severity.LOW,
    phase=Phase.BEFORE,
    needs=("process.report",),
    remediation=(
        "Measure the cost (--load sla, --hourly), and give the hosted model's prices as `cost.hosted_input_usd` and "
        "`cost.hosted_output_usd` where the price sheet does not know it."
    ),
    references=("https://www.finops.org/framework/capabilities/unit-economics/",),
    tags=("never-fails",),
)
def hosted(snapshot: Snapshot) -> Iterator[Judgement]:
    """Own GPUs are cheaper than a hosted model above some use of them, and dearer below: the figure decides.

    The same traffic is priced both ways; the price sheet has its day and its source.
    """
    cost = snapshot.fact("process.report")["cost"]
    own = cost.get("per_million_usd")
    offers = [each for each in cost.get("hosted") or () if each.get("per_million_usd") is not None]
    shown = {each["provider"]: each["per_million_usd"] for each in offers}
    seen = Evidence("cost", {"own, per million requests": own, "hosted": shown}, "both")
    if own is None or not offers:
        missing = [what for what, given in (("the own cost", own), ("a hosted price", offers)) if not given]
        yield unknown(None, f"{' and '.join(missing)} of the same traffic is not known", seen)
    else:
        best = min(offers, key=lambda each: each["per_million_usd"])
        text = f"${own:,.2f} a million requests, ${best['per_million_usd']:,.2f} at {best['provider']}"
        yield passed(None, f"{text} (price of {best.get('date') or 'the policy'})", seen)
