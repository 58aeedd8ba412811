"""The judge: what blocks, what is explained by what, and what nobody looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inferaudit.api import check, failed, passed, review, unknown
from inferaudit.catalog import Catalog
from inferaudit.errors import UsageError
from inferaudit.evaluate import Selection, evaluate
from inferaudit.model import (
    Check,
    Fact,
    FactError,
    FactErrorKind,
    Finding,
    Judgement,
    Outcome,
    Param,
    Phase,
    Severity,
    Snapshot,
    Target,
    Verdict,
)
from inferaudit.policy import Policy, load_policy
from inferaudit.policy_names import check_names
from inferaudit.verdict import decide, reasons, scope_sentence

DENIED = FactError(FactErrorKind.DENIED, "may not list nodes", verb="list", resource="nodes", remedy="ask for it")
NO_TARGET = FactError(FactErrorKind.NO_TARGET, "no endpoint was given", source="endpoint target", remedy="give --url")


def make(check_id: str, judgements: Iterable[Judgement], **changes: Any) -> Check:
    """A check that says `judgements`; it needs the cluster unless told otherwise."""

    def judge(snapshot: Snapshot) -> Iterator[Judgement]:
        """Because."""
        for name in made.needs:
            snapshot.fact(name)
        yield from judgements

    decorated = check(title=check_id, severity=Severity.HIGH, needs=("service.services",), remediation="Mend it.")(
        judge
    )
    made = replace(decorated, id=check_id, group=check_id.partition("-")[0], **changes)
    return made


def catalog(*checks: Check) -> Catalog:
    return Catalog({c.id: c for c in checks}, {}, "sha256:0")


def snapshot(**facts: Any) -> Snapshot:
    named = {"service.services": [], **{k.replace("__", "."): v for k, v in facts.items()}}
    wrapped = {
        k: Fact(error=v) if isinstance(v, FactError) else v if isinstance(v, Fact) else Fact(v)
        for k, v in named.items()
    }
    return Snapshot(collected_at="2026-11-22T12:00:00Z", target=Target(), facts=wrapped)


def judged(checks: Iterable[Check], seen: Snapshot | None = None, **policy: Any) -> dict[str, Finding]:
    policy = {"scope": ["cluster"], **policy}
    findings = evaluate(catalog(*checks), seen or snapshot(), Policy.model_validate(policy))
    return {f.check: f for f in findings}


def verdict(checks: Iterable[Check], seen: Snapshot | None = None, **policy: Any) -> Verdict:
    return decide(tuple(judged(checks, seen, **policy).values()))


OK = make("a-ok", [passed("x/1", "right")])
BAD = make("a-bad", [failed("x/1", "wrong")])
DARK = make("a-dark", [unknown("x/1", "cannot tell")])
ASK = make("a-ask", [review("x/1", "a person must look")])


@pytest.mark.parametrize(
    ("checks", "expected"),
    [
        ([OK], Verdict.GO),
        ([OK, BAD], Verdict.NO_GO),
        ([OK, DARK], Verdict.INCOMPLETE),
        ([OK, ASK], Verdict.INCOMPLETE),
        ([OK, BAD, DARK], Verdict.NO_GO),
        ([OK, replace(BAD, severity=Severity.MEDIUM)], Verdict.GO),
        ([OK, replace(DARK, severity=Severity.LOW)], Verdict.GO),
        ([OK, replace(BAD, phase=Phase.AFTER)], Verdict.GO),
    ],
)
def test_verdict(checks: list[Check], expected: Verdict) -> None:
    assert verdict(checks) is expected


def test_fail_on_moves_the_gate_and_severity_can_be_overridden() -> None:
    low = replace(BAD, severity=Severity.LOW)
    assert verdict([OK, low], gate={"fail_on": "low"}) is Verdict.NO_GO
    assert verdict([OK, low], severity={"a-bad": "critical"}) is Verdict.NO_GO
    assert verdict([OK, BAD], severity={"a-bad": "low"}) is Verdict.GO


def test_what_is_due_later_is_judged_and_does_not_gate() -> None:
    late = replace(BAD, phase=Phase.DURING)
    finding = judged([OK, late])["a-bad"]
    assert (finding.outcome, finding.due, finding.gates) == (Outcome.FAIL, False, False)
    assert verdict([OK, late], phase="during") is Verdict.NO_GO


def test_a_scope_word_without_pass_or_fail_is_incomplete() -> None:
    finding = judged([OK], scope=["cluster", "gpu"])["audit-scope"]
    assert (finding.subject, finding.outcome, finding.severity) == ("scope/gpu", Outcome.UNKNOWN, Severity.CRITICAL)
    assert verdict([make("a-silent", [])]) is Verdict.INCOMPLETE
    assert verdict([OK], scope=["process"]) is Verdict.INCOMPLETE


def test_a_check_outside_the_scope_is_not_applicable_even_when_its_facts_fail() -> None:
    gpu = make("gpu-x", [failed("x", "wrong")], needs=("nvml.gpus",))
    finding = judged([OK, gpu], snapshot(nvml__gpus=DENIED))["gpu-x"]
    assert finding.outcome is Outcome.NOT_APPLICABLE
    assert "outside the scope" in finding.message


def test_the_manifests_scope_leaves_out_what_needs_a_live_cluster() -> None:
    live = make("a-live", [failed("x", "wrong")], needs=("cluster.nodes",))
    said = judged([OK, live], snapshot(cluster__nodes=[]), scope=["manifests"])
    assert said["a-live"].outcome is Outcome.NOT_APPLICABLE
    assert "audit-scope" not in said


def test_the_manifests_scope_asks_no_cluster_of_a_check_that_only_prefers_one() -> None:
    def judge(seen: Snapshot) -> Iterator[Judgement]:
        seen.fact("cluster.nodes")
        yield passed("x", "right")

    wants = replace(make("a-wants", []), optional=("cluster.nodes",), judge=judge)
    seen = snapshot(
        cluster__nodes=FactError(FactErrorKind.NO_TARGET, "only a live cluster shows nodes", source="files")
    )
    assert verdict([OK, wants], seen) is Verdict.INCOMPLETE
    assert judged([OK, wants], seen, scope=["manifests"])["a-wants"].outcome is Outcome.NOT_APPLICABLE
    assert verdict([OK, wants], seen, scope=["manifests"]) is Verdict.GO


def test_what_the_files_do_not_hold_is_unknown_of_a_cluster_and_no_question_of_the_files() -> None:
    error = FactError(FactErrorKind.OUT_OF_VIEW, "the manifests hold no Ingress", source="files")
    asks = make("a-ingress", [passed("x", "right")], needs=("service.ingresses",))
    seen = snapshot(service__ingresses=error)
    assert judged([OK, asks], seen)["a-ingress"].outcome is Outcome.UNKNOWN
    assert verdict([OK, asks], seen) is Verdict.INCOMPLETE
    assert judged([OK, asks], seen, scope=["manifests"])["a-ingress"].outcome is Outcome.NOT_APPLICABLE
    assert verdict([OK, asks], seen, scope=["manifests"]) is Verdict.GO


def test_a_question_that_comes_to_hang_on_the_nodes_is_none_of_the_files() -> None:
    def ask(view: Snapshot) -> Iterator[Judgement]:
        yield passed("x", f"{len(view.fact('cluster.nodes'))} nodes")

    asks = replace(make("a-fits", []), optional=("cluster.nodes",), judge=ask)
    seen = snapshot(cluster__nodes=FactError(FactErrorKind.NO_TARGET, "only a live cluster shows nodes"))
    assert judged([OK, asks], seen)["a-fits"].outcome is Outcome.UNKNOWN
    assert judged([OK, asks], seen, scope=["manifests"])["a-fits"].outcome is Outcome.NOT_APPLICABLE
    assert judged([OK, asks], snapshot(cluster__nodes=DENIED), scope=["manifests"])["a-fits"].outcome is Outcome.UNKNOWN


def test_what_an_unfinished_container_lacks_is_unknown() -> None:
    model, own = (f"inferenceservice.serving.kserve.io/a/b/{name}" for name in ("kserve-container", "own"))
    containers = [{"subject": model, "name": "kserve-container"}, {"subject": own, "image": "vllm:v1"}]
    lacks = make("a-lacks", [failed(model, "no probe"), failed(own, "no probe")])
    said = evaluate(
        catalog(OK, lacks), snapshot(workload__containers=containers), Policy.model_validate({"scope": ["cluster"]})
    )
    outcomes = {f.subject: f.outcome for f in said if f.check == "a-lacks"}
    assert outcomes == {model: Outcome.UNKNOWN, own: Outcome.FAIL}


STALLED = FactError(FactErrorKind.FAILED, "the list of nodes stalled after 40 000", verb="list", resource="nodes")


@pytest.mark.parametrize("error", [DENIED, STALLED], ids=["denied", "stalled in the middle of a list"])
def test_a_denied_or_failed_read_is_one_finding_that_gates_and_explains_the_rest(error: FactError) -> None:
    blind = [make(f"a-{i}", [passed("x", "right")], needs=("cluster.nodes",), severity=Severity.LOW) for i in range(3)]
    findings = evaluate(
        catalog(OK, *blind), snapshot(cluster__nodes=error), Policy.model_validate({"scope": ["cluster"]})
    )
    causes = [f for f in findings if f.check == "audit-collection"]
    assert len(causes) == 1
    assert causes[0].gates
    assert error.reason in causes[0].message
    assert all(
        f.cause == causes[0].fingerprint and not f.gates
        for f in findings
        if f.check.startswith("a-") and f.check != "a-ok"
    )
    assert decide(findings) is Verdict.INCOMPLETE


def test_what_had_no_target_is_explained_by_its_scope_word() -> None:
    asks = make("endpoint-x", [passed("x", "right")], needs=("endpoint.health",))
    said = judged([OK, asks], snapshot(endpoint__health=NO_TARGET), scope=["cluster", "endpoint"])
    assert "give --url" in said["audit-scope"].message
    assert said["audit-collection"].cause == said["audit-scope"].fingerprint
    assert [f.check for f in said.values() if f.gates] == ["audit-scope"]


def test_opt_in_evidence_that_nobody_asked_for_does_not_gate() -> None:
    not_asked = FactError(FactErrorKind.NOT_ASKED, "bad requests were not sent", remedy="--active")
    asks = make("endpoint-active", [passed("x", "right")], needs=("endpoint.active",), severity=Severity.CRITICAL)
    said = judged([OK, asks], snapshot(endpoint__active=not_asked), scope=["cluster"], severity={})
    assert said["endpoint-active"].outcome is Outcome.NOT_APPLICABLE  # outside this scope
    fine = make("endpoint-ok", [passed("x", "right")], needs=("endpoint.health",))
    seen = snapshot(endpoint__active=not_asked, endpoint__health=[])
    said = judged([OK, fine, asks], seen, scope=["cluster", "endpoint"])
    assert said["endpoint-active"].outcome is Outcome.UNKNOWN
    assert not any(f.gates for f in said.values())


def test_a_judgement_with_a_cause_neither_gates_nor_hides() -> None:
    effect = make("a-effect", [failed("x/1", "so this too", cause=("a-bad", "x/1"))])
    said = judged([OK, BAD, effect])
    assert said["a-effect"].cause == said["a-bad"].fingerprint
    assert said["a-effect"].outcome is Outcome.FAIL
    assert not said["a-effect"].gates


def test_a_cause_that_was_not_found_explains_nothing() -> None:
    effect = make("a-effect", [failed("x/1", "so this too", cause=("a-bad", "x/1"))])
    assert judged([OK, effect])["a-effect"].gates


@pytest.mark.parametrize("subject", [None, "x/1", "x/*"])
def test_a_waived_failure_stays_visible_and_does_not_gate(subject: str | None) -> None:
    waiver = {"check": "a-bad", "subject": subject, "owner": "me", "reason": "known", "expires": "2026-11-22"}
    said = judged([OK, BAD], waivers=[waiver])
    assert said["a-bad"].outcome is Outcome.FAIL
    assert said["a-bad"].waiver is not None
    assert not said["a-bad"].gates
    assert "audit-waiver" not in said


def test_an_expired_waiver_covers_nothing_and_is_a_finding() -> None:
    waiver = {"check": "a-bad", "owner": "me", "reason": "known", "expires": "2026-11-21"}
    said = judged([OK, BAD], waivers=[waiver])
    assert said["a-bad"].gates
    assert "expired 1 day ago" in said["audit-waiver"].message


def test_an_unused_waiver_is_a_finding_and_waives_no_unknown() -> None:
    waiver = {"check": "a-dark", "owner": "me", "reason": "known", "expires": "2027-01-01"}
    said = judged([OK, DARK], waivers=[waiver])
    assert said["a-dark"].gates
    assert "matches no failure" in said["audit-waiver"].message
    assert "audit-waiver" not in judged([OK, DARK], waivers=[waiver], scope=["endpoint"])


def test_a_baseline_failure_is_shown_and_does_not_gate() -> None:
    print_ = judged([OK, BAD])["a-bad"].fingerprint
    assert verdict([OK, BAD], snapshot(process__baseline=[print_])) is Verdict.GO


def test_a_crash_names_the_check_and_passes_nothing() -> None:
    def judge(snapshot: Snapshot) -> Iterator[Judgement]:
        """Because."""
        yield passed("x/1", "right")
        raise ZeroDivisionError("oops")

    crashing = replace(
        check(title="t", severity=Severity.HIGH, needs=("service.services",), remediation="R.")(judge), id="a-crash"
    )
    finding = judged([OK, crashing])["a-crash"]
    assert finding.outcome is Outcome.UNKNOWN
    assert "a-crash" in finding.message
    assert "ZeroDivisionError: oops at test_evaluate.py" in finding.message


def test_reading_an_undeclared_fact_is_a_bug_of_the_check() -> None:
    def judge(snapshot: Snapshot) -> Iterator[Judgement]:
        """Because."""
        yield passed("x/1", str(snapshot.fact("cluster.nodes")))

    sly = replace(
        check(title="t", severity=Severity.HIGH, needs=("service.services",), remediation="R.")(judge), id="a-sly"
    )
    assert "does not declare" in judged([OK, sly], snapshot(cluster__nodes=[]))["a-sly"].message


def test_two_judgements_about_one_thing_are_a_bug_of_the_check() -> None:
    twice = make("a-twice", [passed("x/1", "right"), failed("x/1", "wrong")])
    assert "two judgements" in judged([OK, twice])["a-twice"].message


def test_fingerprints_do_not_depend_on_what_was_observed() -> None:
    one, two = make("a-x", [failed("x/1", "3 errors")]), make("a-x", [failed("x/1", "4 errors")])
    assert judged([OK, one])["a-x"].fingerprint == judged([OK, two])["a-x"].fingerprint
    other = make("a-x", [failed("x/1", "3 errors", key="port")])
    assert judged([OK, other])["a-x"].fingerprint != judged([OK, one])["a-x"].fingerprint


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        (Selection(("a-bad",)), {"a-bad"}),
        (Selection(("a",), ("a-bad",)), {"a-ok"}),
        (Selection(("slow",)), {"a-ok"}),
        (Selection(), {"a-ok", "a-bad"}),
    ],
)
def test_selection(selection: Selection, names: set[str]) -> None:
    off = replace(DARK, enabled=False, group="b")
    findings = evaluate(
        catalog(replace(OK, tags=("slow",)), BAD, off),
        snapshot(),
        Policy.model_validate({"scope": ["cluster"]}),
        selection,
    )
    assert {f.check for f in findings} - {"audit-scope"} == names


def test_unknown_ids_are_usage_errors_with_a_suggestion() -> None:
    with pytest.raises(UsageError, match="did you mean a-bad"):
        catalog(OK, BAD).select(("a-bda",))
    with pytest.raises(UsageError, match="no check is called"):
        judged([OK], severity={"nope": "low"})
    with pytest.raises(UsageError, match="no such parameter"):
        judged([OK], parameters={"a-ok": {"limit": 1}})
    with pytest.raises(UsageError, match=r"parameters.a-ok.limit: a whole number is wanted, not 'lots'"):
        judged([replace(OK, params=(Param("limit", "int", 1),))], parameters={"a-ok": {"limit": "lots"}})


def test_a_name_that_means_nothing_is_told_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("# a-bda\nseverity:\n  a-bda: low\n")
    with pytest.raises(UsageError, match=rf"^{path}:3: severity: no check is called 'a-bda' \(did you mean a-bad"):
        check_names(catalog(BAD), load_policy(path), [path])


def test_the_scope_sentence_says_what_is_left_out() -> None:
    policy = Policy.model_validate({"scope": ["endpoint", "load"]})
    assert (
        scope_sentence(policy.scope) == "This verdict covers endpoint, load; it does not cover cluster, gpu, metrics."
    )
    findings = tuple(judged([OK, BAD]).values())
    said = reasons(findings, Verdict.NO_GO, policy)
    assert said[0] == scope_sentence(policy.scope)
    assert said[1] == "fail (high) a-bad: x/1: wrong"


def test_the_order_of_checks_changes_nothing() -> None:
    policy = Policy.model_validate({"scope": ["cluster"]})
    assert evaluate(catalog(OK, BAD, DARK), snapshot(), policy) == evaluate(catalog(DARK, BAD, OK), snapshot(), policy)
