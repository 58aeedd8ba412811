from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.engine_args import flag_value, serving_engines

_VARIABLES = (
    "VLLM_SERVER_DEV_MODE",
    "VLLM_ALLOW_INSECURE_SERIALIZATION",
    "FLASK_DEBUG",
    "MLSERVER_DEBUG",
    "UVICORN_RELOAD",
)
_FLAGS = ("--reload", "--debug", "--enable-debug")


@check(
    title="No development switch is on",
    severity=Severity.HIGH,
    needs=("workload.containers",),
    optional=("service.configmaps",),
    remediation="Remove the variable (or flag) that the finding names from the pod template.",
    references=("https://docs.vllm.ai/en/latest/usage/security/",),
)
def dev_mode(snapshot: Snapshot) -> Iterator[Judgement]:
    """Development modes open routes that put the engine to sleep, empty its cache or call into its workers.

    Anyone who reaches the port may then stop the service with one request.
    """
    maps = snapshot.fact_or("service.configmaps", ())
    for container, engine in serving_engines(snapshot.fact("workload.containers"), maps):
        subject = container["subject"]
        found = {
            name: engine.env[name]
            for name in _VARIABLES
            if engine.env.get(name, "").lower() not in ("", "0", "false", "off")
        }
        found |= {flag: "given" for flag in _FLAGS if flag_value(engine, flag) is not None}
        seen = Evidence("env, args", found or None, "no development switch")
        if found:
            yield failed(subject, f"runs with {', '.join(sorted(found))}", seen)
        else:
            snapshot.require_read("service.configmaps")
            yield passed(subject, "no development switch is on", seen)
