from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="Prometheus evaluates its rules without errors",
    severity=Severity.HIGH,
    needs=("prometheus.rules",),
    remediation="Open the rule in Prometheus, read its error, and correct the expression or the metrics it needs.",
)
def rule_health(snapshot: Snapshot) -> Iterator[Judgement]:
    """A rule that errors never fires; the dashboard stays green."""
    rules = snapshot.fact("prometheus.rules")
    broken = [r for r in rules if r.health == "err"]
    for rule in broken:
        seen = Evidence(f"prometheus.rules[{rule.name}].health", "err", "ok")
        said = rule.last_error or "no reason is given"
        where = f"{rule.group}/{rule.name}"
        yield failed("endpoint/prometheus", f"the rule {where} cannot be evaluated: {said}", seen, key=where)
    if rules and not broken:
        seen = Evidence("prometheus.rules[].health", "ok", "ok")
        yield passed("endpoint/prometheus", f"{len(rules)} rules are evaluated without errors", seen)
