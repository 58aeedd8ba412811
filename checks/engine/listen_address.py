import re
from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.engine_args import serving_engines

_LOOPBACK = re.compile(r"(127\.|localhost|::1|\[::1\])")
# Their images set no address of their own, so that the engine's default holds.
_BARE = frozenset({"sglang", "tensorrt-llm", "transformers-serve"})


@check(
    title="The server listens on the pod's address",
    severity=Severity.HIGH,
    needs=("workload.containers",),
    optional=("service.configmaps",),
    remediation="Let it listen on all addresses, for example `--host=0.0.0.0`.",
    references=("https://kubernetes.io/docs/concepts/services-networking/",),
)
def listen_address(snapshot: Snapshot) -> Iterator[Judgement]:
    """A server on 127.0.0.1 works in a shell inside the pod and for nobody else.

    Probes and Services ask the pod's address. Several engines listen on the other one unless told otherwise.
    """
    maps = snapshot.fact_or("service.configmaps", ())
    for container, engine in serving_engines(snapshot.fact("workload.containers"), maps):
        subject = container["subject"]
        setting, known = engine.settings.get("listen_address"), engine.profile.settings.get("listen_address")
        if setting is None:
            snapshot.require_read("service.configmaps")
        host = setting.value if setting else ""
        default = known.default if known else ""
        seen = Evidence(setting.source if setting else "args", host or None, "0.0.0.0, or the pod's address")
        if not engine.known or known is None:
            yield not_applicable(subject, "where it listens is not known", seen)
        elif setting and _LOOPBACK.match(host):
            yield failed(subject, f"listens on {host}: neither probe nor Service reaches it", seen)
        elif setting:
            yield passed(subject, f"listens on {host}", seen)
        elif _LOOPBACK.match(default) and engine.profile.name in _BARE and engine.visible:
            yield failed(subject, f"{engine.title} listens on {default} unless told otherwise", seen)
        elif _LOOPBACK.match(default):
            yield not_applicable(
                subject, f"{engine.title} listens on {default} by default; its images set another address", seen
            )
        else:
            yield passed(subject, f"{engine.title} listens on {default or 'all addresses'} by default", seen)
