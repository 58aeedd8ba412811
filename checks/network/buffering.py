from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.engine_args import serving_engines
from inferaudit.entrypoints import is_nginx, notes_of
from inferaudit.subjects import object_subject

_BUFFERING = "nginx.ingress.kubernetes.io/proxy-buffering"


@check(
    title="Streams are passed on as they come",
    severity=Severity.MEDIUM,
    needs=("workload.containers", "service.ingresses"),
    optional=("service.fronts",),
    remediation='Remove the annotation `proxy-buffering: "on"` from the Ingress (off is the default).',
    references=("https://kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/annotations/",),
)
def buffering(snapshot: Snapshot) -> Iterator[Judgement]:
    """A proxy that buffers holds the tokens back and gives them out in blocks: time to first token becomes time to
    last.

    The Ingress may lead to a router that passes requests on. Only settings that the Ingress itself shows can be judged.
    """
    engines = [engine for _, engine in serving_engines(snapshot.fact("workload.containers"))]
    streams = any(engine.profile.stream.framing != "none" for engine in engines) or not any(e.known for e in engines)
    in_front = [obj for obj in snapshot.fact_or("service.fronts", ()) if obj.get("kind") == "Ingress"]
    for ingress in (*snapshot.fact("service.ingresses"), *in_front):
        subject = object_subject(ingress)
        value = notes_of(ingress).get(_BUFFERING)
        seen = Evidence(f"metadata.annotations.{_BUFFERING}", value, "off")
        if not streams:
            yield not_applicable(subject, "the runtime does not stream", seen)
        elif not is_nginx(ingress):
            yield not_applicable(subject, "no setting of this controller is known that would buffer", seen)
        elif value == "on":
            yield failed(subject, "holds tokens back until a buffer is full", seen)
        else:
            yield passed(subject, "passes tokens on as they come", seen)
