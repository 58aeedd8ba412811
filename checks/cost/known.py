from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Phase, Severity, Snapshot, check, passed, unknown
from inferaudit.benchmark import judged_stage
from inferaudit.cost import cost_figures, own_prices
from inferaudit.errors import UsageError
from inferaudit.load_readings import success_rate
from inferaudit.load_stages import endpoint_subject
from inferaudit.policy import Cost, Policy
from inferaudit.prices import chosen_price


@check(
    title="What a request costs is known",
    severity=Severity.LOW,
    phase=Phase.AFTER,
    needs=("policy", "load.result", "load.records"),
    optional=("nvml.gpus", "workload"),
    remediation="Give the price of a GPU-hour (`cost.hourly_usd` in the policy, or --hourly), the number of GPUs "
    "(`cost.gpus`) and run a load test.",
    references=("https://www.finops.org/framework/capabilities/unit-economics/",),
    tags=("never-fails",),
)
def known(snapshot: Snapshot) -> Iterator[Judgement]:
    """Whoever does not know what a request costs learns it from the bill, after the price was promised.

    Price of a GPU-hour × GPUs ÷ the measured rate of the stage that stands for the whole.
    """
    result, records = snapshot.fact("load.result"), snapshot.fact("load.records")
    cost, stage = Policy.model_validate(snapshot.fact("policy")).cost, judged_stage(result)
    subject = endpoint_subject(result)
    hourly, gpus = _hourly(snapshot, cost), cost.gpus or _gpus(snapshot)
    rate = success_rate(records, stage) if stage else None
    inputs = {"hourly_usd": hourly, "gpus": gpus, "rate_per_s": None if rate is None else round(rate, 3)}
    seen = Evidence("cost", inputs, "all three known")
    missing = [name for name, value in inputs.items() if not value]
    if not hourly or not gpus or not rate:
        yield unknown(subject, f"cost per request is not computed without {', '.join(missing)}", seen)
        return
    figures = cost_figures(hourly_usd=hourly, gpus=gpus, rate_per_s=rate, utilisation=cost.utilisation)
    said = f"${figures.per_request_usd:.6f} a request at {rate:.1f}/s, ${figures.monthly_usd:,.0f} a month"
    yield passed(subject, f"{said} for {gpus} GPUs at ${hourly:g} an hour", seen)


def _gpus(snapshot: Snapshot) -> int | None:
    """The GPUs the workload holds, else those that were seen."""
    workload = None if snapshot.error("workload") else snapshot.fact("workload")
    if workload is not None and workload.gpus_per_pod and workload.replicas:
        return int(workload.gpus_per_pod * workload.pods_per_replica * workload.replicas)
    return None if snapshot.error("nvml.gpus") else len(snapshot.fact("nvml.gpus"))


def _hourly(snapshot: Snapshot, cost: Cost) -> float | None:
    if cost.hourly_usd or not cost.cloud or snapshot.error("nvml.gpus"):
        return cost.hourly_usd
    products = {gpu.product for gpu in snapshot.fact("nvml.gpus") if gpu.product}
    try:
        price = chosen_price(products.pop(), cost.cloud, own_prices(cost)) if len(products) == 1 else None
    except UsageError:  # the report says which cloud the sheet does not know
        return None
    return price.usd if price else None
