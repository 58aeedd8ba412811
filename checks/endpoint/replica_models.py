from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown


@check(
    title="All replicas serve the same models",
    severity=Severity.HIGH,
    needs=("endpoint.replicas",),
    remediation="Give every replica the same model and revision; restart the ones that differ.",
)
def replica_models(snapshot: Snapshot) -> Iterator[Judgement]:
    """A load balancer sends every request somewhere else: where one replica lacks the model, a share of all fails.

    An adapter loaded into one replica at run time, or a volume that one node could not mount, looks like that. Each
    ready pod is asked for its own list.
    """
    replicas = snapshot.fact("endpoint.replicas")
    answers, subject = replicas.answers, replicas.subject
    listed = {a.pod: a.models for a in answers if a.models is not None}
    silent = {a.pod: a.error or a.models_error for a in answers if a.models is None}
    seen = Evidence("endpoint.replicas.answers[].models", listed, "the same on every replica")
    sets = {tuple(models) for models in listed.values()}
    if len(sets) > 1:
        usual = max(sets, key=lambda models: sum(tuple(m) == models for m in listed.values()))
        odd = next(pod for pod, models in listed.items() if tuple(models) != usual)
        said = f"{odd} serves {_names(listed[odd])}, others {_names(list(usual))}"
        yield failed(subject, said, seen)
    elif not listed:
        why = next(iter(silent.values()), "no pod was asked")
        yield unknown(subject, f"no replica tells its models: {why}", seen)
    elif silent or len(answers) < replicas.total:
        why = f"{next(iter(silent))}: {next(iter(silent.values()))}" if silent else "not all were asked"
        yield unknown(subject, f"{len(listed)} of {replicas.total} ready pods tell their models; {why}", seen)
    elif not next(iter(sets)):
        yield failed(subject, "every replica answers, and none lists a model", seen)
    else:
        yield passed(subject, f"all {len(listed)} ready pods serve {_names(next(iter(listed.values())))}", seen)


def _names(models: list[str]) -> str:
    return ", ".join(models[:4]) or "no model"
