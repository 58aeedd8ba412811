"""What a comparison of two reports says, and what it refuses to say."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from inferaudit.cli.diff import app
from inferaudit.cli.session import baseline_facts
from inferaudit.errors import SnapshotError, UsageError
from inferaudit.golden_diff import MOST_NAMES, PATH, answers_of
from inferaudit.latency import tabulate
from inferaudit.model import Report
from inferaudit.performance_diff import compare_performance
from inferaudit.report_diff import FAIL_ON, compare, fails
from inferaudit.report_file import load_report

GOLDEN = Path(__file__).parent / "golden"


def _finding(check: str = "a-b", outcome: str = "fail", subject: str | None = "x/y", **more: Any) -> dict[str, Any]:
    key = more.pop("fingerprint", f"{check}|{subject}")
    return {"fingerprint": key, "check": check, "outcome": outcome, "severity": "high", "subject": subject,
            "message": "m", **more}  # fmt: skip


def _report(*findings: dict[str, Any], benchmark: dict[str, Any] | None = None, **more: Any) -> Report:
    return Report({"verdict": "GO", "findings": list(findings), "benchmark": benchmark, **more})


def _values(seed: int, count: int, median_ms: float) -> list[int]:
    generator = random.Random(seed)
    return [int(generator.lognormvariate(0, 0.3) * median_ms * 1000) for _ in range(count)]


def _benchmark(seed: int, count: int = 2000, median_ms: float = 100, failed: int = 0, **more: Any) -> dict[str, Any]:
    table = tabulate(_values(seed, count, median_ms))
    generator = random.Random(seed + 1)
    rate = more.pop("rate_per_s", 20.0)
    timeline = [{"rate": rate + generator.gauss(0, 1), "token_rate": None, "stage": "sustained"} for _ in range(102)]
    stage = {"name": "sustained", "measured": True, "arrival": "", "rate": None, "concurrency": 8,
             "requests": {"ok": count, "failed": failed}, "tokens": {"input": 128 * count, "output": 64 * count},
             "latency_table_us": table, "ttft_table_us": [], "itl_table_us": [],
             "client": {"falsifies": []}}  # fmt: skip
    return {"stages": [{**stage, **more}], "series": {"timeline": timeline}}


def _status(old: Report, new: Report) -> str:
    found = compare(old, new)
    assert len(found.findings) == 1
    assert found.summary[found.findings[0].status] == 1
    return found.findings[0].status


@pytest.mark.parametrize(
    ("old", "new", "status", "broke"),
    [
        ([], [_finding()], "new", True),
        ([_finding(outcome="pass")], [_finding()], "new", True),
        ([_finding(outcome="not_applicable")], [_finding(outcome="unknown")], "new", False),
        ([], [_finding(waiver={"owner": "ann"})], "new", False),
        ([], [_finding(cause="f00")], "new", False),
        ([_finding()], [_finding()], "unchanged", False),
        ([_finding()], [_finding(message="other")], "changed", False),
        ([_finding()], [_finding(severity="low")], "changed", False),
        ([_finding()], [_finding(waiver={"owner": "ann"})], "changed", False),
        ([_finding(waiver={"owner": "ann"})], [_finding()], "changed", True),
        ([_finding(outcome="unknown")], [_finding()], "changed", True),
        ([_finding()], [_finding(outcome="unknown")], "changed", False),
        ([_finding()], [_finding(outcome="pass")], "fixed", False),
        # The pass has another key than the failure had: same check, same subject, looked at again.
        ([_finding(fingerprint="k1")], [_finding(outcome="pass", fingerprint="k2")], "fixed", False),
        # The subject was removed, and the check looked at the others.
        ([_finding()], [_finding(outcome="pass", subject="x/z")], "fixed", False),
        ([_finding(subject=None, outcome="unknown")], [_finding(outcome="pass")], "fixed", False),
        ([_finding(check="audit-waiver")], [], "fixed", False),
        # Nobody looked: never fixed.
        ([_finding()], [], "unseen", False),
        ([_finding()], [_finding(outcome="not_applicable", message="outside the scope")], "unseen", False),
    ],
)
def test_a_finding_is_one_of_five(old: list[Any], new: list[Any], status: str, broke: bool) -> None:
    assert _status(_report(*old), _report(*new)) == status
    assert fails(compare(_report(*old), _report(*new)), "new") is broke


def test_an_endpoint_is_itself_at_another_address() -> None:
    def at(port: int, *findings: dict[str, Any]) -> Report:
        url = f"http://localhost:{port}" if port != 443 else "https://localhost/v1"
        return _report(*({**f, "subject": f"endpoint/localhost:{port}", "fingerprint": f"{f['fingerprint']}{port}"}
                         for f in findings), target={"url": url})  # fmt: skip

    two = [_finding("a-c", message="one", fingerprint="1"), _finding("a-c", message="two", fingerprint="2")]
    found = compare(at(8000, _finding(), *two), at(443, _finding(outcome="pass"), *two))
    assert found.summary == {"new": 0, "changed": 0, "fixed": 1, "unseen": 0, "unchanged": 2}
    assert any(note.startswith("another URL") for note in found.notes)
    broken = compare(at(8000, _finding(outcome="pass")), at(8001, _finding()))
    assert [(c.status, c.broke, c.old) for c in broken.findings] == [("new", True, "pass")]
    assert compare(at(8000, two[0]), at(8001, two[1])).summary["changed"] == 1
    assert _report(target={"url": "http://["}).data  # an address that is none is no address
    assert compare(_report(target={"url": "http://["}), at(8000, _finding())).summary["new"] == 1


def test_a_failure_behind_a_blind_check_is_out_of_sight_and_the_blindness_new() -> None:
    found = compare(_report(_finding()), _report(_finding(outcome="unknown", subject=None)))
    assert {(c.status, c.subject) for c in found.findings} == {("unseen", "x/y"), ("new", None)}


def test_what_passed_and_passes_is_left_out() -> None:
    assert compare(_report(_finding(outcome="pass")), _report(_finding(outcome="pass"))).findings == ()


def _golden(right: str = "", wrong: str = "", unanswered: str = "", **observed: Any) -> Report:
    shown = {"right": right.split(), "wrong": wrong.split(), "unanswered": unanswered.split()}
    shown["requests"] = sum(map(len, shown.values()))  # type: ignore[assignment]
    evidence = [{"path": "endpoint.golden score", "observed": 1, "expected": ""},
                {"path": PATH, "observed": observed or shown, "expected": ""}]  # fmt: skip
    return _report(_finding("endpoint-golden", "pass", evidence=evidence))


@pytest.mark.parametrize(
    ("old", "new", "outcome", "lost", "won", "reason"),
    [
        (_golden("a b"), _golden("a b"), "same", "", "", "2 golden requests are in both"),
        (_golden("a b"), _golden("a", "b"), "worse", "b", "", "2 golden requests are in both"),
        (_golden("a", "b"), _golden("a b"), "better", "", "b", "2 golden requests are in both"),
        (_golden("a", "b"), _golden("b", "a"), "worse", "a", "b", "2 golden requests are in both"),
        (_golden("a b"), _golden("a", unanswered="b"), "unknown", "", "", "2 golden requests are in both"),
        (_golden("a b"), _golden("b", "c d"), "same", "", "", "1 golden requests are in both (of 2 and 3)"),
        (_golden("a"), _golden("b"), "unknown", "", "", "0 golden requests are in both (of 1 and 1)"),
        (_report(), _golden("b"), "unknown", "", "", "no golden request was sent in the old report"),
        (_golden("b"), _report(), "unknown", "", "", "no golden request was sent in the new report"),
        (_golden("b"), _golden(requests=999), "unknown", "", "", "more than 300 golden requests"),
    ],
)
def test_golden_requests_are_compared_one_by_one(
    old: Report, new: Report, outcome: str, lost: str, won: str, reason: str
) -> None:
    found = compare(old, new)
    assert found.golden is not None
    assert (found.golden.outcome, found.golden.lost, found.golden.won) == (
        outcome, tuple(lost.split()), tuple(won.split())
    )  # fmt: skip
    assert reason in found.golden.reason
    assert fails(found, "regression") is (outcome == "worse")


def test_without_golden_requests_nothing_is_said_of_them() -> None:
    assert compare(_report(), _report()).golden is None
    with pytest.raises(SnapshotError, match="cannot be compared"):
        compare(_golden("a"), _golden(requests="many"))


def test_the_evidence_of_golden_requests_is_bounded() -> None:
    class Result:
        name, passed = "a", True

    assert answers_of([Result()] * 2) == {"requests": 2, "right": ["a", "a"], "wrong": [], "unanswered": []}
    assert answers_of([Result()] * (MOST_NAMES + 1)) == {"requests": MOST_NAMES + 1}


_findings = st.lists(
    st.builds(_finding, check=st.sampled_from(["a-b", "a-c"]), subject=st.sampled_from([None, "x/y", "x/z"]),
              outcome=st.sampled_from(["pass", "fail", "unknown", "review", "not_applicable"])),
    max_size=5, unique_by=lambda f: f["fingerprint"],
)  # fmt: skip


@given(_findings, _findings)
def test_nothing_that_nobody_looked_at_is_fixed(old: list[Any], new: list[Any]) -> None:
    found = compare(_report(*old), _report(*new))
    told = {f["check"] for f in new if f["outcome"] in ("pass", "fail")}
    assert all(c.check in told for c in found.findings if c.status == "fixed")
    open_now = {f["fingerprint"] for f in new if f["outcome"] in ("fail", "unknown", "review")}
    assert {c.fingerprint for c in found.findings if c.status in ("new", "changed", "unchanged")} == open_now
    assert compare(_report(*new), _report(*new)).summary["unchanged"] == len(open_now)


def test_the_same_distribution_is_the_same_and_a_slower_one_worse() -> None:
    base, again, slow = _benchmark(1), _benchmark(2), _benchmark(3, median_ms=130, rate_per_s=15.0)
    same = compare_performance(base, again, tolerance=0.2)
    assert same.outcome == "same", same.reason
    worse = compare_performance(base, slow)
    assert worse.outcome == "worse"
    by = {c.metric: c for c in worse.changes}
    assert {by["e2e_p50"].change, by["e2e_p95"].change, by["request_rate"].change} == {"worse"}
    assert by["e2e_p50"].low is not None
    assert by["e2e_p50"].low > 0
    assert by["e2e_p50"].superiority is not None
    assert by["e2e_p50"].superiority > 0.6
    better = compare_performance(slow, base)
    assert better.outcome == "better"


def test_a_false_alarm_is_rarer_than_one_run_in_twenty() -> None:
    alarms = [compare_performance(_benchmark(2 * s, 700), _benchmark(2 * s + 9001, 700)).outcome for s in range(60)]
    assert sum(a in ("worse", "better") for a in alarms) <= 3


def test_only_the_judged_stage_decides_where_both_have_it() -> None:
    def both(median_ms: float) -> dict[str, Any]:
        step = _benchmark(1, median_ms=median_ms, name="step-1")["stages"]
        return {**_benchmark(1), "stages": [*_benchmark(1)["stages"], *step], "judged_stage": "sustained"}

    assert compare_performance(both(100), both(200)).outcome == "same"
    assert compare_performance({**both(100), "judged_stage": None}, both(200)).outcome == "worse"


def test_too_few_samples_decide_nothing() -> None:
    found = compare_performance(_benchmark(1, 50), _benchmark(2, 50, median_ms=105))
    tail = next(c for c in found.changes if c.metric == "e2e_p99")
    assert (tail.change, tail.low) == ("undecided", None)
    assert "samples on both sides" in tail.reason
    assert tail.before is not None


def test_more_errors_are_worse() -> None:
    found = compare_performance(_benchmark(1, failed=2), _benchmark(1, failed=200))
    assert [c.change for c in found.changes if c.metric == "error_rate"] == ["worse"]


def test_a_limited_client_decides_nothing() -> None:
    limited = _benchmark(2, median_ms=200, client={"falsifies": ["latency_ms"]})
    changes = compare_performance(_benchmark(1), limited).changes
    assert {c.change for c in changes if c.metric.startswith("e2e")} == {"undecided"}


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"concurrency": 16}, "another load"),
        ({"latency_table_us": None}, "no count tables"),
        ({"tokens": {"input": 512 * 2000, "output": 1}}, "other prompts"),
        ({"name": "other"}, "no such stage"),
    ],
)
def test_what_is_not_the_same_test_is_not_compared(more: dict[str, Any], says: str) -> None:
    found = compare_performance(_benchmark(1), _benchmark(2, median_ms=300, **more))
    assert found.outcome == "unknown"
    assert not found.changes
    assert says in found.not_compared[0]


def test_without_load_performance_is_unknown() -> None:
    found = compare(_report(), _report(benchmark=_benchmark(1))).performance
    assert (found.outcome, found.reason) == ("unknown", "no load was measured in the old report")


def test_what_else_differs_is_noted() -> None:
    old = _report(target={"model": "a", "gpus": [{"product": "H100", "count": 2}]}, digests={"policy": "1"})
    new = _report(target={"model": "b", "gpus": [{"product": "L40S", "count": 2}]}, digests={"policy": "2"})
    notes = compare(old, new).notes
    assert "another model: a before, b now" in notes
    assert "another GPUs: 2× H100 before, 2× L40S now" in notes
    assert "another policy" in notes


def test_dates_that_cannot_be_right_are_noted() -> None:
    past, now, future = (_report(collected_at=f"2026-11-22T12:{minute}:00Z") for minute in ("00", "05", "40"))
    clock = datetime(2026, 11, 22, 12, 5, tzinfo=UTC)
    assert compare(past, now, now=clock).notes == ()
    (note,) = compare(past, future, now=clock).notes
    assert note.startswith(
        "the new report is dated 2026-11-22T12:40:00Z, 35 min after 2026-11-22T12:05:00Z, which is now"
    )
    assert compare(future, past).notes[0].endswith("collected after the new one: are they the wrong way round?")


def test_a_damaged_report_is_one_error() -> None:
    with pytest.raises(SnapshotError, match="cannot be compared"):
        compare(_report({"fingerprint": 3}), _report())
    with pytest.raises(SnapshotError):
        compare(_report(benchmark={"stages": 7}), _report(benchmark=_benchmark(1)))


def _run(*args: str) -> Any:
    return CliRunner().invoke(app, list(args))


@pytest.mark.parametrize("fail_on", FAIL_ON)
def test_the_verb_exits_by_what_it_was_asked(tmp_path: Path, fail_on: str) -> None:
    good, bad = str(GOLDEN / "go" / "report.json"), str(GOLDEN / "no_go" / "report.json")
    assert _run(good, bad).exit_code == 0
    assert _run(good, bad, "--fail-on", fail_on).exit_code == (0 if fail_on == "regression" else 1)
    assert _run(bad, good, "--fail-on", fail_on).exit_code == 0
    written = tmp_path / "d.json"
    assert _run(good, bad, "-o", f"json={written}", "-o", "markdown").exit_code == 0
    data = msgspec.json.decode(written.read_bytes())
    assert data["schema"] == "inferaudit.diff/v1"
    assert data["summary"]["new"] > 0


@pytest.mark.parametrize(
    "args", [["--fail-on", "high"], ["-o", "html"], ["-o", "json="], ["-o", "json", "-o", "markdown"]]
)
def test_the_verb_refuses_what_it_does_not_know(args: list[str]) -> None:
    report = str(GOLDEN / "go" / "report.json")
    assert isinstance(_run(report, report, *args).exception, UsageError)


def test_hostile_names_act_in_no_output(tmp_path: Path) -> None:
    evil = "</td><script>alert(1)</script> \x1b[31m\u202e| @all"
    path = tmp_path / "r.json"
    report = {"schema": "inferaudit.report/v1", "verdict": "GO", "collected_at": "2026-11-22T12:00:00Z",
              "findings": [_finding(subject=evil, message=evil)]}  # fmt: skip
    path.write_bytes(msgspec.json.encode(report))
    empty = tmp_path / "e.json"
    empty.write_bytes(msgspec.json.encode({**report, "findings": []}))
    for output in ("terminal", "markdown"):
        text = _run(str(empty), str(path), "-o", output).stdout
        assert "1 new" in text
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert "| <script>" not in text.replace("`", "")


def test_a_report_whose_findings_are_gone_is_damaged_and_not_a_service_without_faults(tmp_path: Path) -> None:
    data = msgspec.json.decode((GOLDEN / "no_go" / "report.json").read_bytes())
    wrong = {"findings": {}, "collected_at": "yesterday", "service": "chat", "target": [], "checklists": "none",
             "phase": "soon", "benchmark": {"series": {"gpu": [None]}}}  # fmt: skip
    for key, value in wrong.items():
        (tmp_path / "r.json").write_bytes(msgspec.json.encode({**data, key: value}))
        with pytest.raises(SnapshotError, match=rf"r.json is a damaged report: .*{key}"):
            load_report(tmp_path / "r.json")


def test_a_snapshot_in_the_place_of_a_report_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"PK\3\4")
    with pytest.raises(SnapshotError, match="is a snapshot and no report: `inferaudit evaluate "):
        load_report(tmp_path / "s")


def test_another_service_is_said_and_is_no_baseline() -> None:
    one, other = (_report(_finding(), service={"name": name}) for name in ("chat", "search"))
    assert compare(one, other).notes == ("another service: chat before, search now",)
    report = GOLDEN / "no_go" / "report.json"
    assert baseline_facts(report, "chat")["process.baseline"].value
    with pytest.raises(UsageError, match="a report of 'chat', and this audit is of 'search'"):
        baseline_facts(report, "search")


def test_gaps_of_one_answer_count_once() -> None:
    """Fifty gaps of an answer that was slow are one slow answer: equal runs must not differ by it."""
    generator = random.Random(5)
    runs = []
    for seed in range(16):
        paces = [generator.lognormvariate(0, 0.6) * 20_000 for _ in range(700)]
        gaps = tabulate(int(pace * generator.uniform(0.99, 1.01)) for pace in paces for _ in range(50))
        runs.append(_benchmark(seed, count=700, itl_table_us=gaps))
    for old, new in zip(runs[::2], runs[1::2], strict=True):
        found = compare_performance(old, new, tolerance=0.01)
        itl = {c.metric: c.change for c in found.changes if c.metric.startswith("itl")}
        assert set(itl.values()) <= {"same", "undecided"}, itl
    slow = [[int(gap * 1.2), count] for gap, count in runs[0]["stages"][0]["itl_table_us"]]
    worse = compare_performance(runs[0], _benchmark(0, count=700, itl_table_us=slow))
    assert {c.metric: c.change for c in worse.changes}["itl_p50"] == "worse"


def test_two_load_tests_are_compared_in_performance_alone(tmp_path: Path) -> None:
    def written(name: str, document: dict[str, Any]) -> str:
        (tmp_path / name).write_bytes(msgspec.json.encode(document))
        return str(tmp_path / name)

    fast, slow = (
        written(f"{median}.json", {"schema": "inferaudit.bench/v1", "benchmark": _benchmark(median, median_ms=median)})
        for median in (100, 130)
    )
    ran = CliRunner().invoke(app, [fast, slow, "--fail-on", "regression"])
    assert ran.exit_code == 1
    assert ran.stdout.startswith("Performance: worse; worse: sustained/e2e_p50")
    golden = str(GOLDEN / "no_go" / "report.json")
    mixed = CliRunner().invoke(app, [golden, slow, "-o", "json"])
    assert msgspec.json.decode(mixed.stdout)["findings"] == []
    for option in ("new", "any"):
        refused = CliRunner().invoke(app, [golden, slow, "--fail-on", option])
        assert isinstance(refused.exception, UsageError)
    with pytest.raises(SnapshotError, match="damaged"):
        load_report(Path(written("bad.json", {"schema": "inferaudit.bench/v1"})), or_bench=True)
    with pytest.raises(SnapshotError, match=r"not a report of inferaudit.report/v1"):
        load_report(Path(fast))
