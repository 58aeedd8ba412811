from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.subjects import object_subject


@check(
    title="The gateway is programmed",
    severity=Severity.HIGH,
    needs=("service.gateways", "workload.pods"),
    remediation=(
        "Look at the gateway's conditions and its controller's log; a certificate that does not exist is the "
        "usual reason."
    ),
    references=("https://gateway-api.sigs.k8s.io/api-types/gateway/",),
)
def gateway_programmed(snapshot: Snapshot) -> Iterator[Judgement]:
    """A gateway that its controller could not set up routes nothing, whatever its routes say.

    Conditions of the gateway and of its listeners count.
    """
    for gateway in snapshot.fact("service.gateways"):
        subject, status = object_subject(gateway), gateway.get("status") or {}
        found = [("gateway", c) for c in status.get("conditions") or ()]
        found += [(each.get("name"), c) for each in status.get("listeners") or () for c in each.get("conditions") or ()]
        bad = [
            f"{where}: {c['type']} is {c.get('status')} ({c.get('reason')})"
            for where, c in found
            if c.get("type") in ("Accepted", "Programmed", "ResolvedRefs") and c.get("status") != "True"
        ]
        seen = Evidence("status.conditions", bad or len(found), "Accepted and Programmed")
        if str(gateway.get("apiVersion", "")).startswith("networking.istio.io"):
            yield not_applicable(subject, "an Istio Gateway has no status", seen)
        elif bad:
            yield failed(subject, "; ".join(bad), seen)
        elif found:
            yield passed(subject, "is accepted and programmed", seen)
        else:
            yield unknown(subject, "shows no conditions", seen)
