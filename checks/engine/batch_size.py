from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.engine_args import serving_engines


@check(
    title="The batch size is chosen, not left to the default",
    severity=Severity.LOW,
    needs=("workload.containers",),
    optional=("service.configmaps",),
    remediation=(
        "Set the limit from a load test, for example `--max-num-seqs=128`: the largest at which the latency "
        "objective still holds."
    ),
    references=("https://docs.vllm.ai/en/latest/configuration/optimization/",),
)
def batch_size(snapshot: Snapshot) -> Iterator[Judgement]:
    """How many requests run at once decides between latency and throughput.

    A default depends on GPU and version: an upgrade changes the latency without a line of difference.
    """
    maps = snapshot.fact_or("service.configmaps", ())
    for container, engine in serving_engines(snapshot.fact("workload.containers"), maps):
        subject = container["subject"]
        setting = engine.settings.get("batch_size") or engine.settings.get("token_budget")
        known = engine.profile.settings.get("batch_size")
        if setting is None:
            snapshot.require_read("service.configmaps")
        seen = Evidence(
            setting.source if setting else "args", setting.value if setting else None, "a number of your own"
        )
        if not engine.known or known is None or not (known.flags or known.env):
            yield not_applicable(subject, "no batch limit can be set on its command line", seen)
        elif setting:
            yield passed(subject, f"{setting.source} = {setting.value or 'on'}", seen)
        else:
            yield failed(subject, f"the batch limit is {engine.title}'s default ({known.default or 'unstated'})", seen)
