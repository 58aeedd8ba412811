from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.entrypoints import ingress_class, is_nginx, notes_of
from inferaudit.subjects import object_subject


@check(
    title="The ingress controller is maintained",
    severity=Severity.LOW,
    needs=("service.ingresses",),
    remediation="Move to a maintained controller or to the Gateway API.",
    references=("https://kubernetes.io/blog/2025/11/11/ingress-nginx-retirement/",),
)
def ingress_controller(snapshot: Snapshot) -> Iterator[Judgement]:
    """ingress-nginx was retired in March 2026: no more releases, no fixes of vulnerabilities.

    It stands at the very door of the service.
    """
    for ingress in snapshot.fact("service.ingresses"):
        seen = Evidence("spec.ingressClassName", ingress_class(ingress) or None, "a maintained controller")
        if is_nginx(ingress) and not any(name.startswith("nginx.org/") for name in notes_of(ingress)):
            yield failed(object_subject(ingress), "is served by ingress-nginx, which is retired", seen)
        else:
            yield passed(object_subject(ingress), f"class {ingress_class(ingress) or 'by default'}", seen)
