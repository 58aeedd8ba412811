from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.engine_args import serving_engines
from inferaudit.entrypoints import asks_callers
from inferaudit.subjects import object_subject


@check(
    title="The engine asks for a key",
    severity=Severity.LOW,
    needs=("workload.containers",),
    optional=("service.configmaps", "service.trafficpolicies"),
    remediation=(
        "Set the key from a Secret (for vLLM the variable VLLM_API_KEY), or keep the engine behind a gateway that "
        "authenticates and a NetworkPolicy."
    ),
    references=("https://docs.vllm.ai/en/latest/usage/security/",),
)
def auth(snapshot: Snapshot) -> Iterator[Judgement]:
    """Inside the cluster every pod reaches the engine's own port, past the gateway that authenticates.

    A key on the engine is the second lock; a NetworkPolicy that lets in the gateway alone is another, and so is
    the mesh that asks every caller.
    """
    maps = snapshot.fact_or("service.configmaps", ())
    name = "service.trafficpolicies"
    policies = snapshot.fact_or(name, ())
    mesh = [object_subject(policy) for policy in policies if asks_callers(policy)]
    for container, engine in serving_engines(snapshot.fact("workload.containers"), maps):
        subject = container["subject"]
        setting, known = engine.settings.get("auth"), engine.profile.settings.get("auth")
        seen = Evidence(setting.source if setting else "args, env", bool(setting), "a key")
        if not engine.known:
            yield not_applicable(subject, "the runtime is not recognised", seen)
        elif known is None:
            yield not_applicable(subject, f"{engine.title} has no authentication of its own", seen)
        elif setting and not setting.off:
            yield passed(subject, f"a key is asked for ({setting.source})", seen)
        elif mesh:
            shown = Evidence("AuthorizationPolicy", mesh, "who may call")
            yield passed(subject, f"{mesh[0]} has the mesh ask who calls", shown)
        elif setting is None and known.default == "on":
            snapshot.require_read("service.configmaps")
            yield passed(subject, f"{engine.title} asks for a token by default", seen)
        else:
            snapshot.require_read(name)  # the mesh may ask who calls
            if setting is None:
                snapshot.require_read("service.configmaps")
            yield failed(subject, f"{engine.title} answers whoever reaches its port", seen)
