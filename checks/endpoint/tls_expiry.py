from collections.abc import Iterator
from datetime import datetime

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown


@check(
    title="The certificate does not expire soon",
    severity=Severity.HIGH,
    needs=("endpoint.target", "endpoint.tls"),
    remediation="Renew the certificate now, and let cert-manager or the load balancer renew it from here on.",
    tags=("security",),
)
def tls_expiry(snapshot: Snapshot, *, min_days: int = 21) -> Iterator[Judgement]:
    """An expired certificate is a whole outage on a date that was known all along.

    Automatic renewal acts a month ahead; a certificate with less than three weeks left is one that nobody renews.
    """
    answer = snapshot.fact("endpoint.tls")
    if answer is None:
        return
    target = snapshot.fact("endpoint.target")
    subject = target.subject
    seen = Evidence("endpoint.tls.not_after", answer.not_after, f"at least {min_days} days ahead")
    if answer.not_after is None:
        yield unknown(subject, "the certificate's dates could not be read", seen)
        return
    left = (_moment(answer.not_after) - _moment(snapshot.collected_at)).total_seconds() / 86400
    if left < min_days and target.loopback:
        yield unknown(subject, f"{left:.1f} days are left, of a certificate on loopback that clients do not meet", seen)
    elif left < 0:
        yield failed(subject, f"the certificate expired {-left:.0f} days ago", seen)
    elif left < min_days:
        yield failed(subject, f"the certificate expires in {left:.1f} days", seen)
    else:
        yield passed(subject, f"the certificate is good for {left:.0f} more days", seen)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
