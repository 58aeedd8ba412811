import re
from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Phase, Severity, Snapshot, check, failed, passed, review
from inferaudit.governance import attestation_valid, attested
from inferaudit.subjects import object_subject


@check(
    title="The new version ran in shadow beside the old",
    severity=Severity.MEDIUM,
    phase=Phase.DURING,
    needs=("workload", "service.rollouts", "service.routes"),
    optional=("process.attestations",),
    remediation=(
        "Mirror the traffic for 24 to 72 hours (`RequestMirror` of an HTTPRoute, `mirrors` of a VirtualService) "
        "and compare; attest it for `during.shadow`."
    ),
    references=("https://gateway-api.sigs.k8s.io/guides/http-request-mirroring/",),
)
def shadow(snapshot: Snapshot) -> Iterator[Judgement]:
    """A mirror shows how a version behaves under the real load and prompts, without any user seeing its answers.

    Whether the answers were compared no object tells: a person does.
    """
    workload = snapshot.fact("workload")
    mirrors = [
        object_subject(obj)
        for obj in (*snapshot.fact("service.routes"), *snapshot.fact("service.rollouts"))
        if re.search(r"'(RequestMirror|mirrors?|setMirrorRoute|mirrorWeight)'", str(obj.get("spec")))
    ]
    given = snapshot.fact_or("process.attestations", ())
    attests = attested(given, "during.shadow")
    seen = Evidence("mirrors", mirrors or None, "a mirror, and a comparison")
    valid = [a for a in attests if attestation_valid(a, snapshot.collected_at)]
    if valid:
        yield passed(workload.subject, f"{valid[0].owner} attests a shadow run", seen)
    elif attests and attests[0].verified is False:
        yield failed(workload.subject, f"the evidence of the shadow run does not hold: {attests[0].detail}", seen)
    elif mirrors:
        yield review(workload.subject, f"{', '.join(mirrors)} mirrors traffic: were the answers compared?", seen)
    else:
        yield review(workload.subject, "no mirror is in view: did the new version run in shadow?", seen)
