"""The built-in checklists hold every row of their source, and a row's status is what its evidence makes it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferaudit.catalog import load_catalog
from inferaudit.checklist_rows import checklist_section, unattested, unknown_rows
from inferaudit.checklists import Checklist, ChecklistItem, all_items, load_checklist, merged_items, worst
from inferaudit.errors import CatalogError
from inferaudit.facts.process import AttestationFact
from inferaudit.model import Fact, Finding, Outcome, Phase, Severity, Snapshot, Target, Waiver

CATALOG = load_catalog()
LISTS = ("production", "launch", "gpu-inference", "serving", "operations")

# The rows of the source by section, kept apart from the files on purpose: a row that is lost there fails here.
ROWS = {
    "production": {
        "Before": "precision benchmark warmup batching health resources rollback",
        "During": "shadow canary p99 gpu_memory quality",
        "After": "cost autoscaling alerts runbook",
    },
    "launch": {"Foundation": "c1 c2 c3", "Execution": "c4 c5 c6", "Launch & Review": "c7 c8 c9"},
    "gpu-inference": {
        "Scheduling": "node-labels node-match node-taints node-guests shared-devices",
        "Probes": "startup-budget ready-means-loaded health-and-ready no-early-traffic",
        "Secrets and images": "pull-secrets pull-failures no-exposed-secrets",
        "Diagnosis": "diagnosis-memory diagnosis-slow-start diagnosis-image-pull diagnosis-pending",
        "Telemetry": "telemetry logs",
        "Before autoscaling": "scale-signal scale-batching scale-ready-time scale-cache scale-provisioning"
        " scale-cold-starts",
        "The nineteen": "scheduling taints health-checks model-readiness image-access secrets storage timeouts"
        " rate-limiting tls ingress logging metrics-alerts memory-visibility autoscaling rollback disaster-recovery"
        " cost-monitoring failure-response",
        "Runtime": "runtime-known runtime-fit",
    },
    "serving": {
        "Duties": "accepts efficiency scales recovers observable updates",
        "Performance": "batching latency-budget caching",
        "Capacity": "autoscaling warm-minimum spot multi-model",
        "Release": "rollout",
        "Monitoring": "monitoring output-quality cost-per-model",
        "Failure": "fallback circuit-breaker retries timeouts",
        "Hardware": "throughput memory-headroom cpu-gpu-split",
        "Failure patterns": "path-bottleneck blind-spots tail-ignored cold-start-timeouts silent-quality-drop"
        " batch-starvation",
        "Economics": "maturity build-or-buy",
    },
    "operations": {
        "Interfaces": "components",
        "Priorities": "priorities rollback queueing-spikes gpu-under-utilisation cold-starts throughput-collapse",
        "Review": "scorecard trend risks decisions",
        "Contracts": "stage-contracts reversibility",
    },
}
PREFIX = {"launch": "", "gpu-inference": "gpu.", "serving": "serving.", "operations": "operations."}


def _expected(name: str) -> dict[str, str]:
    return {
        (f"{part.lower()}.{word}" if name == "production" else PREFIX[name] + word): part
        for part, words in ROWS[name].items()
        for word in words.split()
    }


def _finding(check: str, outcome: Outcome, waiver: Waiver | None = None) -> Finding:
    return Finding(
        check=check, title="", group="", severity=Severity.HIGH, outcome=outcome, subject=None, message="", evidence=(),
        remediation="", references=(), waiver=waiver, cause=None, fingerprint="", phase=Phase.BEFORE, due=True,
        gates=False,
    )  # fmt: skip


def _attestation(item: str, **more: object) -> AttestationFact:
    base = {"item": item, "evidence": "https://wiki/x", "owner": "ann", "date": "2026-11-01"}
    return msgspec.convert({**base, **more}, AttestationFact)


def _rows(
    *lists: Checklist, findings: tuple[Finding, ...] = (), attestations: tuple[AttestationFact, ...] = ()
) -> dict[str, dict[str, object]]:
    facts = {"process.attestations": Fact(list(attestations))}
    snapshot = Snapshot(collected_at="2026-11-22T12:00:00Z", target=Target(), facts=facts)
    return {i["id"]: i for c in checklist_section(lists, findings, snapshot) for i in c["items"]}


def _one(attest: str, *checks: str, **more: object) -> Checklist:
    item = msgspec.convert({"id": "a", "title": "A", "attest": attest, "checks": checks, **more}, ChecklistItem)
    return Checklist(id="own", title="Own", items=(item,))


@pytest.mark.parametrize("name", LISTS)
def test_every_row_of_the_source_is_there_in_its_section(name: str) -> None:
    assert {item.id: item.part for item in CATALOG.checklists[name].items} == _expected(name)


@pytest.mark.parametrize("name", LISTS)
def test_every_row_can_be_satisfied_by_what_exists(name: str) -> None:
    for item in CATALOG.checklists[name].items:
        assert set(item.checks) <= set(CATALOG.checks), item.id
        assert item.checks or item.attest != "none", item.id
        assert len(set(item.checks)) == len(item.checks), item.id
        assert item.effort, item.id
        assert item.ask.endswith(".") or item.attest == "none", f"{item.id} says which evidence it takes"
        assert all(CATALOG.checks[check].enabled for check in item.checks), f"{item.id} waits for a check that is off"


def test_ids_are_unique_over_all_lists() -> None:
    ids = [item.id for name in LISTS for item in CATALOG.checklists[name].items]
    assert len(ids) == len(set(ids))


def test_phases_and_priorities_of_the_source() -> None:
    rows = {item.id: item for name in LISTS for item in CATALOG.checklists[name].items}
    assert all(row.phase == row.id.partition(".")[0] for row in CATALOG.checklists["production"].items)
    critical = {item.id for item in CATALOG.checklists["launch"].items if item.priority == "critical"}
    assert critical == {"c1", "c4", "c5", "c9"}
    assert {rows[i].effort for i in critical} == {"1 day"}
    assert rows["c9"].phase is Phase.AFTER, "the first week's logs exist only after launch"


def test_go_live_holds_every_row_once_or_among_the_origins() -> None:
    merged = all_items(CATALOG.checklists["go-live"], CATALOG.checklists)
    origins = [origin for item in merged for origin in item.origins]
    assert sorted(origins) == sorted(f"{name}/{i.id}" for name in LISTS for i in CATALOG.checklists[name].items)
    sets = [frozenset(item.checks) for item in merged if item.checks]
    assert len(sets) == len(set(sets))


def test_a_merged_row_asks_as_much_as_its_strictest() -> None:
    late = msgspec.structs.replace(_one("either", "y", "x", phase="after", priority="critical"), id="late")
    (row,) = merged_items([_one("none", "x", "y", priority="low", ask="One."), late])
    assert (row.phase, row.priority, row.attest) == (Phase.BEFORE, "critical", "none")
    assert row.origins == ("own/a", "late/a")


def test_lists_merge_through_other_lists_and_never_themselves() -> None:
    inner = Checklist(id="inner", title="", merge=("own",))
    outer = Checklist(id="outer", title="", merge=("inner",))
    lists = {c.id: c for c in (_one("either", "x"), inner, outer)}
    assert [item.origins for item in all_items(outer, lists)] == [("own/a",)]
    with pytest.raises(CatalogError, match="no such checklist"):
        all_items(outer, {})
    loop = Checklist(id="loop", title="", merge=("loop",))
    with pytest.raises(CatalogError, match="merges itself"):
        all_items(loop, {"loop": loop})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("title: T\nitems: [{id: a, title: A}]", "nothing can satisfy"),
        ("title: T\nitems: [{id: a, title: A, attest: either}, {id: a, title: B, attest: either}]", "twice"),
        ("title: T\nitems: [{id: a, title: A, attest: often}]", "often"),
        ("title: T\nitems: [{id: a, title: A, chekcs: [x]}]", "chekcs"),
        ("- no", "list"),
        ("{", "l.yaml"),
    ],
)
def test_a_list_that_is_wrong_says_where(text: str, says: str) -> None:
    with pytest.raises(CatalogError, match=says):
        load_checklist(text, "l", "l.yaml")


@given(st.lists(st.sampled_from(list(Outcome)), max_size=6))
def test_worst_follows_the_order(outcomes: list[Outcome]) -> None:
    order = [Outcome.FAIL, Outcome.UNKNOWN, Outcome.REVIEW, Outcome.PASS, Outcome.NOT_APPLICABLE]
    expected = min(outcomes, key=order.index) if outcomes else Outcome.UNKNOWN
    assert worst(outcomes) is expected


GOOD = _attestation("a", expires="2027-01-01")


@pytest.mark.parametrize(
    ("attest", "outcomes", "given", "status", "credit"),
    [
        ("none", ["pass"], None, "pass", 1.0),
        ("none", ["unknown"], GOOD, "unknown", 0.0),
        ("either", ["pass"], None, "pass", 1.0),
        ("either", ["pass"], GOOD, "pass", 1.0),
        ("either", ["pass", "unknown"], None, "unknown", 0.0),
        ("either", ["pass", "unknown"], GOOD, "pass", 0.5),
        ("either", ["review"], GOOD, "pass", 0.5),
        ("either", ["pass", "fail"], GOOD, "fail", 0.0),
        ("either", ["not_applicable"], None, "not_applicable", 0.0),
        ("either", ["not_applicable", "pass"], None, "pass", 1.0),
        ("both", ["pass"], None, "review", 0.0),
        ("both", ["pass"], GOOD, "pass", 0.5),
        ("both", ["unknown"], GOOD, "unknown", 0.0),
        ("both", ["fail"], GOOD, "fail", 0.0),
        ("both", ["not_applicable"], GOOD, "pass", 0.5),
    ],
)
def test_checks_and_attestations_settle_a_row(
    attest: str, outcomes: list[str], given: AttestationFact | None, status: str, credit: float
) -> None:
    findings = tuple(_finding("x", Outcome(outcome)) for outcome in outcomes)
    row = _rows(_one(attest, "x"), findings=findings, attestations=(given,) if given else ())["a"]
    assert (row["status"], row["credit"]) == (status, credit), row["message"]


@pytest.mark.parametrize(
    ("more", "valid"),
    [
        ({}, True),
        ({"expires": "2026-11-22"}, True),  # the last day still counts
        ({"expires": "2026-11-21"}, False),
        ({"date": "2026-11-23"}, False),  # nobody attests tomorrow
        ({"verified": False, "detail": "no such file"}, False),
    ],
)
def test_only_a_current_attestation_counts(more: dict[str, object], valid: bool) -> None:
    row = _rows(_one("either"), attestations=(_attestation("a", **more),))["a"]
    assert (row["status"], row["credit"]) == (("pass", 0.5) if valid else ("review", 0.0))
    assert isinstance(row["attestation"], dict)
    assert row["attestation"]["valid"] is valid


def test_the_best_of_several_attestations_counts() -> None:
    old, new = _attestation("a", expires="2026-01-01"), _attestation("own.a", owner="bob")
    row = _rows(_one("either"), attestations=(new, old))["a"]
    assert isinstance(row["attestation"], dict)
    assert row["attestation"]["owner"] == "bob"


def test_an_attestation_of_one_origin_settles_the_merged_row() -> None:
    other = msgspec.structs.replace(_one("either", "x"), id="other")
    merged = Checklist(id="all", title="", merge=("own", "other"))
    rows = _rows(_one("either", "x"), other, merged, attestations=(_attestation("other.a"),),
                 findings=(_finding("x", Outcome.UNKNOWN),))  # fmt: skip
    assert rows["a"]["origins"] == ["own/a", "other/a"]
    assert rows["a"]["status"] == "pass"


def test_a_check_that_was_not_asked_leaves_the_row_open() -> None:
    row = _rows(_one("none", "x", "y"), findings=(_finding("x", Outcome.PASS),))["a"]
    assert row["status"] == "unknown"
    assert "not asked: y" in str(row["message"])


def test_evidence_is_asked_for_only_where_it_is_taken() -> None:
    assert [_rows(_one(attest, "x"))["a"]["ask"] for attest in ("none", "either", "both")] == [
        None, "Evidence that it is so.", "Evidence that it is so.",
    ]  # fmt: skip


def test_a_waived_failure_does_not_satisfy_a_row() -> None:
    waiver = Waiver("x", "ann", "later", "2027-01-01")
    row = _rows(_one("none", "x"), findings=(_finding("x", Outcome.FAIL, waiver),))["a"]
    assert row["status"] == "fail"
    assert "waived" in str(row["message"])


def test_rows_that_await_a_person_are_named_once_and_only_when_due() -> None:
    now, later = _one("either"), msgspec.structs.replace(_one("either", id="b", phase="after"), id="later")
    lists = [now, later, Checklist(id="all", title="", merge=("own", "later"))]
    snapshot = Snapshot(collected_at="2026-11-22T12:00:00Z", target=Target(), facts={})
    section = checklist_section(lists, (), snapshot)
    assert unattested(section, Phase.BEFORE) == ("a",)
    assert unattested(section, Phase.AFTER) == ("a", "b")


def test_an_attestation_that_names_no_row_is_told_the_nearest() -> None:
    lists = list(CATALOG.checklists.values())
    good = ["before.rollback", "production.before.rollback", "go-live.c2", "operations/operations.rollback"]
    assert unknown_rows(good, lists) == {}
    assert unknown_rows(["before.rolback", "zzz"], lists) == {"before.rolback": "before.rollback", "zzz": ""}
