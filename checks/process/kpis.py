from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.governance import KPIS, entry, figure, slug
from inferaudit.slo import TEMPLATE

_SLO_METRICS = {
    "latency": ("ttft_", "itl_", "tpot_", "e2e_", "latency_"),
    "throughput": ("throughput", "token_throughput", "goodput"),
}


@check(
    title="Figures of success are set for latency, throughput, accuracy drift and adoption",
    severity=Severity.LOW,
    needs=("policy",),
    remediation=(
        "Give each a number under `kpis:`, for example `kpis: {accuracy_drift: 1%, adoption: 200 users a week}`."
    ),
    references=("https://sre.google/workbook/implementing-slos/",),
    tags=("layer:change",),
)
def kpis(snapshot: Snapshot) -> Iterator[Judgement]:
    """A launch without a figure for success cannot fail, and cannot be called a success either.

    Latency and throughput may stand as objectives under `slo:`; drift and adoption have their only place here.
    """
    policy = snapshot.fact("policy")
    section, slo = policy.get("kpis") or {}, policy.get("slo") or {}
    if not section:
        yield unknown(None, "the policy sets no KPIs; name them under kpis:")
        return
    for name in KPIS:
        subject, value = f"kpi/{slug(name)}", entry(section, name)
        prefixes = _SLO_METRICS.get(name, ())
        objectives = [o for o in (TEMPLATE if slo == "template" else slo) if o.startswith(prefixes)]
        seen = Evidence(f"policy kpis.{name}", value, "a number with its unit")
        if figure(value):
            yield passed(subject, f"{name}: {value}", seen)
        elif value is None and objectives:
            yield passed(subject, f"{name} has an objective", Evidence("policy slo", objectives, "an objective"))
        elif value is None:
            yield failed(subject, f"no figure is set for {name}", seen)
        else:
            yield failed(subject, f"{name} is set without a number", seen)
