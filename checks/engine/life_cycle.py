from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.engine_args import serving_engines


@check(
    title="The runtime is still maintained",
    severity=Severity.LOW,
    needs=("workload.containers",),
    optional=("service.configmaps",),
    remediation="Plan the move to a maintained runtime before the next vulnerability is published.",
    references=("https://github.com/pytorch/serve", "https://github.com/huggingface/text-generation-inference"),
)
def life_cycle(snapshot: Snapshot) -> Iterator[Judgement]:
    """A server that reads what strangers send needs somebody who still mends it.

    A project in maintenance mode gets fixes and no new models; an archived one gets nothing.
    """
    maps = snapshot.fact_or("service.configmaps", ())
    for container, engine in serving_engines(snapshot.fact("workload.containers"), maps):
        subject = container["subject"]
        life = engine.profile.life_cycle
        seen = Evidence(
            "image, command", f"{engine.title}: {life.status}", f"maintained (as of {life.as_of}, {life.source})"
        )
        if not engine.known:
            snapshot.require_read("service.configmaps")  # what it runs may be named there
        if not engine.known or life.status == "not_applicable":
            yield not_applicable(subject, "the runtime is not recognised", seen)
        elif life.status == "maintained":
            yield passed(subject, f"{engine.title} is maintained", seen)
        else:
            yield failed(subject, f"{engine.title}: {life.note or life.status}", seen)
