"""What every format owes its reader: valid syntax, the scope first, nothing hostile, no number out of nothing."""

import csv
import gzip
import io
import json
import re
import sys
import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import xmlschema
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from inferaudit.errors import SnapshotError, UsageError
from inferaudit.model import Report
from inferaudit.render import FORMATS, render
from inferaudit.render.csv import COLUMNS

GOLDEN = Path(__file__).parent / "golden"
NAMES = ("go", "no_go", "incomplete")
HOSTILE = (
    "<script>alert(1)</script>\x1b[31m\x1b]0;t\x07\u202egnp.exe\u2066\x00\ud800 @team [x](javascript:x) `|` =1+1 ]]> "
    * 120
)


def data(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((GOLDEN / name / "report.json").read_text(encoding="utf-8"))
    return loaded


def poison(value: Any, key: str = "") -> Any:
    """Every free text of a report made hostile; enumerations and digests stay."""
    fixed = {
        "schema",
        "verdict",
        "outcome",
        "severity",
        "phase",
        "unit",
        "status",
        "priority",
        "fail_on",
        "fingerprint",
    }
    if isinstance(value, dict):
        return {k: poison(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [poison(v, key) for v in value]
    return HOSTILE if isinstance(value, str) and key not in fixed | {"cause"} else value


def nulled(value: dict[str, Any]) -> dict[str, Any]:
    """Everything the schema lets be null is."""
    kept = {"check", "outcome", "severity"}
    findings = [{k: v if k in kept else None for k, v in f.items()} for f in value["findings"]]
    return {**dict.fromkeys(value), "schema": value["schema"], "verdict": value["verdict"], "findings": findings}


def sarif_errors(text: str) -> list[str]:
    schema = json.loads((GOLDEN / "schemas" / "sarif-2.1.0-rtm.5.json").read_text(encoding="utf-8"))
    return [e.message for e in jsonschema.Draft4Validator(schema).iter_errors(json.loads(text))]


@cache
def junit_schema() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(GOLDEN / "schemas" / "junit-10.xsd")


def junit_errors(text: str) -> list[str]:
    """What the schema of the Jenkins xUnit plugin forbids; and what the Ant task's asks beyond it, by hand.

    The Ant task's own (``JUnit.xsd``) is under the LGPL and not kept here: attributes, their patterns, order and number
    of children follow it.
    """
    wrong = [str(error.reason) for error in junit_schema().iter_errors(text)]
    for number, suite in enumerate(ET.fromstring(text)):  # noqa: S314
        needed = {"name", "package", "id", "hostname", "timestamp", "tests", "failures", "errors", "skipped", "time"}
        kinds = [child.tag for case in suite.iter("testcase") for child in case]
        wrong += [f"attributes {set(suite.keys()) ^ needed}"] * (set(suite.keys()) != needed)
        wrong += ["id"] * (suite.get("id") != str(number))
        wrong += ["time stamp"] * (not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp", "")))
        order = re.sub(r"(testcase )+", "testcases ", " ".join(child.tag for child in suite) + " ")
        wrong += [order] * (
            order not in ("properties testcases system-out system-err ", "properties system-out system-err ")
        )
        counted = [suite.get(k) for k in ("tests", "failures", "errors", "skipped")]
        cases = list(suite.iter("testcase"))
        wrong += ["counts"] * (
            counted != [str(n) for n in (len(cases), *map(kinds.count, ("failure", "error", "skipped")))]
        )
        for case in cases:
            wrong += ["case"] * (set(case.keys()) != {"classname", "name", "time"} or len(case) > 1)
            wrong += ["token"] * any(" ".join(v.split()) != v or not v for v in case.attrib.values())
            wrong += ["type"] * any(c.tag in ("failure", "error") and not c.get("type") for c in case)
    return wrong


def markdown_acts(text: str) -> list[str]:
    """HTML that is not ours, links that are not to the web, mentions outside of code."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    flat = [t for token in tokens for t in (token, *(token.children or ()))]
    ours = re.compile(r"(<!-- -->|</?(details|summary)>|[^<>])*")
    html = [t.content for t in flat if t.type in ("html_inline", "html_block") and not ours.fullmatch(t.content)]
    links = [str(t.attrGet("href")) for t in flat if t.type == "link_open"]
    words = [t.content for t in flat if t.type == "text" and "@team" in t.content]
    return html + [link for link in links if not link.startswith("https://")] + words


def visible(format: str, text: str) -> str:
    """The text without the escape sequences of our own colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text) if format == "terminal" else text


def test_formats_are_the_modules() -> None:
    assert set(FORMATS) >= {"terminal", "json", "markdown", "junit", "sarif", "csv"}
    folder = Path(sys.modules["inferaudit.render"].__path__[0])
    assert set(FORMATS) == {p.stem for p in folder.glob("[!_]*.py")}


def test_an_unknown_format_names_the_known() -> None:
    with pytest.raises(UsageError, match="markdown"):
        render(Report(data("go")), "pdf")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", NAMES)
def test_the_same_report_gives_the_same_bytes(name: str, format: str) -> None:
    again = json.loads(render(Report(data(name)), "json"))
    assert render(Report(data(name)), format) == render(Report(again), format)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("color", [False, True])
def test_hostile_text_does_nothing(format: str, color: bool) -> None:
    report = poison(data("no_go"))
    text = visible(format, render(Report(report), format, color=color))
    text.encode("utf-8")
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)
    if format == "html":
        assert "<script>alert" not in text
        assert 'href="javascript' not in text
    if format == "markdown":
        assert len(text.encode()) < 60_000
        assert markdown_acts(text) == []
    if format in ("sarif", "codescanning"):
        assert sarif_errors(text) == []
    if format == "junit":
        assert junit_errors(text) == []
    if format == "csv":
        assert all(not cell.startswith(("=", "+", "-", "@")) for row in csv.reader(io.StringIO(text)) for cell in row)


@pytest.mark.parametrize("format", FORMATS)
def test_everything_null_is_not_measured(format: str) -> None:
    for name in NAMES:
        text = render(Report(nulled(data(name))), format)
        assert text
        if format in ("sarif", "codescanning"):
            assert sarif_errors(text) == []
        if format == "junit":
            assert junit_errors(text) == []


@pytest.mark.parametrize("format", FORMATS)
def test_an_empty_report_is_incomplete(format: str) -> None:
    text = render(Report({"schema": "inferaudit.report/v1", "verdict": None, "findings": None}), format)
    assert format not in ("terminal", "markdown", "html", "sarif", "junit") or "INCOMPLETE" in text
    assert not re.search(r"\bGO\b", re.sub(r"NO.GO", "", text)) or format in ("html", "prometheus")


@pytest.mark.parametrize("format", [f for f in FORMATS if f != "json"])
@pytest.mark.parametrize(
    ("broken", "named"),
    [
        ({"findings": "none"}, "findings"),
        ({"findings": [{"check": "a", "outcome": "maybe", "severity": "high"}]}, "outcome"),
        ({"verdict": "YES"}, "verdict"),
        ({"reasons": {"a": 1}}, "reasons"),
    ],
)
def test_what_is_no_report_is_one_error(format: str, broken: dict[str, Any], named: str) -> None:
    with pytest.raises(SnapshotError, match=named):
        render(Report({**data("go"), **broken}), format)


@pytest.mark.parametrize("name", NAMES)
def test_sarif_holds_to_the_schema(name: str) -> None:
    text = render(Report(data(name)), "sarif")
    assert sarif_errors(text) == []
    (run,) = json.loads(text)["runs"]
    assert run["properties"]["scope"] == data(name)["reasons"][0]
    for result in run["results"]:
        assert (result["level"] == "none") == (result["kind"] != "fail")
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]


def test_sarif_points_at_lines_and_suppresses_what_is_waived() -> None:
    (run,) = json.loads(render(Report(data("go")), "sarif"))["runs"]
    by_rule = {r["ruleId"]: r for r in run["results"]}
    place = by_rule["workload-gpu-limit"]["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "deploy/chat.yaml"}, "region": {"startLine": 41}}
    assert by_rule["network-default-deny"]["suppressions"][0]["status"] == "accepted"
    assert "suppressions" not in by_rule["workload-gpu-limit"]


@pytest.mark.parametrize("name", NAMES)
def test_junit_holds_to_the_schema(name: str) -> None:
    text = render(Report(data(name)), "junit")
    assert junit_errors(text) == []
    for suite in ET.fromstring(text):  # noqa: S314
        assert suite.find("properties/property[@name='scope']").get("value") == data(name)["reasons"][0]  # type: ignore[union-attr]


def test_junit_maps_outcomes() -> None:
    root = ET.fromstring(render(Report(data("no_go")), "junit"))  # noqa: S314
    kinds = {c.get("name"): c[0].tag if len(c) else None for c in root.iter("testcase")}
    assert kinds["sla-ttft-p99 [slo/ttft_p99]"] == "failure"
    assert kinds["process-runbook"] == "error"
    assert kinds["rollout-canary"] == "skipped"
    assert kinds["gpu-xid [gpu/node-a/GPU-5f0c]"] is None
    waived = ET.fromstring(render(Report(data("go")), "junit"))  # noqa: S314
    assert [c[0].tag for c in waived.iter("testcase") if c.get("name", "").startswith("network")] == ["skipped"]


@pytest.mark.parametrize("format", ["terminal", "markdown", "html"])
@pytest.mark.parametrize("name", NAMES)
def test_the_scope_is_the_first_visible_sentence(name: str, format: str) -> None:
    text = render(Report(data(name)), format, width=200)
    if format == "html":
        body = text[text.index("<body") :]
        text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", re.sub(r"<(a|svg) class=\"skip.*?</\1>", "", body))).strip()
    assert text.startswith(data(name)["reasons"][0])


@pytest.mark.parametrize("width", [20, 40, 79, 80, 200])
@pytest.mark.parametrize("name", NAMES)
def test_the_terminal_keeps_to_its_width(name: str, width: int) -> None:
    lines = render(Report(data(name)), "terminal", width=width).splitlines()
    assert max(map(len, lines)) <= width


def test_the_terminal_writes_out_what_a_person_reads_and_counts_the_rest() -> None:
    report = data("no_go")
    (one,) = (f for f in report["findings"] if f["check"] == "workload-memory-limit")
    many = [
        {**one, "fingerprint": f"{i:016x}", "outcome": "fail" if i % 2 else "pass", "gates": bool(i % 2), "cause": None}
        for i in range(1000)
    ]
    text = render(Report({**report, "findings": many}), "terminal")
    assert "400 more block it; they are in the JSON report" in text
    assert "300 more; they are in the JSON report" in text


def test_the_terminal_without_unicode_and_colour() -> None:
    text = render(Report(data("no_go")), "terminal", unicode=False)
    assert text.isascii()
    assert "\x1b" not in text
    assert "\x1b[" in render(Report(data("no_go")), "terminal", color=True)


def test_colour_changes_nothing_but_colour() -> None:
    report = Report(data("no_go"))
    colored = visible("terminal", render(report, "terminal", color=True))
    assert [s.rstrip() for s in colored.splitlines()] == render(report, "terminal").splitlines()


def test_the_terminal_ignores_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    before = render(Report(data("go")), "terminal")
    for name, value in {"COLUMNS": "33", "FORCE_COLOR": "1", "TERM": "dumb", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    assert render(Report(data("go")), "terminal") == before


def test_what_is_explained_stands_under_its_cause() -> None:
    text = render(Report(data("incomplete")), "terminal")
    assert "explains 3 more: gpu-node-labels, gpu-node-taints, gpu-stacking" in text
    assert not re.search(r"^\? gpu-node-labels", text, re.MULTILINE)


def test_a_circle_of_causes_hides_nothing() -> None:
    report = data("incomplete")
    first, second = report["findings"][:2]
    first["cause"], second["cause"] = second["fingerprint"], first["fingerprint"]
    text = render(Report(report), "terminal")
    assert first["check"] in text
    assert second["check"] in text


def test_csv_has_a_row_a_finding() -> None:
    rows = list(csv.reader(io.StringIO(render(Report(data("no_go")), "csv"), newline="")))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == len(data("no_go")["findings"]) + 1


def test_json_is_the_report() -> None:
    assert json.loads(render(Report(data("go")), "json")) == data("go")
    with pytest.raises(SnapshotError):
        render(Report({**data("go"), "duration_s": float("nan")}), "json")


def test_markdown_stays_below_the_limit_and_says_what_it_left_out() -> None:
    report = data("no_go")
    blocker = report["findings"][0]
    report["findings"] += [
        {**blocker, "fingerprint": f"{i:016x}", "message": "m" * 900, "group": f"g{i}", "gates": i % 2 == 0}
        for i in range(400)
    ]
    text = render(Report(report), "markdown")
    assert len(text.encode()) < 60_000
    assert "Left out" in text


@settings(max_examples=25, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=60))
def test_any_name_gives_a_valid_document(text: str) -> None:
    report = data("incomplete")
    for finding in report["findings"]:
        finding.update(subject=text, message=text, check=f"a{text}", group=text, location=f"{text}:3")
        finding["evidence"] = [{"path": text, "observed": {text: [text]}, "expected": text}]
    for format in FORMATS:
        render(Report(report), format).encode("utf-8")
    assert sarif_errors(render(Report(report), "sarif")) == []
    assert junit_errors(render(Report(report), "junit")) == []
    assert markdown_acts(render(Report(report), "markdown")) == []


def many(count: int, **more: Any) -> dict[str, Any]:
    """A report with `count` failures, each of another object, one long in every text."""
    report = data("no_go")
    one = next(f for f in report["findings"] if f["outcome"] == "fail" and not f["waiver"])
    text = "x" * 300
    report["findings"] = [
        {**one, "fingerprint": f"{i:016x}", "subject": f"deployment/ns/{i}", "message": text, "cause": None, **more}
        for i in range(count)
    ]
    return report


def test_code_scanning_gets_what_it_can_take() -> None:
    """Failures at a file, each with one physical location; everything else would be an alert, or refuse the file."""
    report = data("go")
    total = len(report["findings"])
    waived = next(f for f in report["findings"] if f["waiver"])
    assert waived["outcome"] == "fail"
    failed = {**waived, "waiver": None, "fingerprint": "f" * 16}
    report["findings"] += [{**failed, "location": "chart/a b.yaml:12"}, {**failed, "location": None}]
    (run,) = json.loads(render(Report(report), "codescanning"))["runs"]
    (result,) = run["results"]
    assert (result["kind"], "suppressions" in result) == ("fail", False)
    place = result["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "chart/a%20b.yaml"}, "region": {"startLine": 12}}
    assert run["properties"]["omitted"] == total + 1
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == [failed["check"]]


def test_the_readers_limits_hold() -> None:
    """GitHub: 5 000 results shown of at most 25 000, 10 MB zipped, 20 tags a rule, 1 000 locations a result, 65 536
    characters a comment. GitLab: JUnit below 30 MB."""
    report = Report(many(6_000, location="chart/all.yaml:7"))
    text = render(report, "codescanning")
    (run,) = json.loads(text)["runs"]
    assert len(run["results"]) == 5_000
    assert run["properties"]["omitted"] == 1_000
    assert len(gzip.compress(text.encode())) < 10_000_000
    assert all(len(rule["properties"]["tags"]) <= 20 for rule in run["tool"]["driver"]["rules"])
    assert all(len(result["locations"]) == 1 for result in run["results"])
    assert sarif_errors(text) == []
    assert len(render(report, "junit").encode()) < 30_000_000
    assert len(render(Report(many(400)), "markdown").encode()) < 60_000


def test_trends_say_what_was_not_measured() -> None:
    report = data("go")
    report["trends"]["figures"] = [
        {**f, "direction": "unknown", "change": None, "p_value": None, "first": None, "last": None, "runs": 0}
        for f in report["trends"]["figures"]
    ]
    for run in report["trends"]["runs"]:
        run |= dict.fromkeys(("token_rate", "gpu_utilisation", "e2e_p95_ms", "per_1000_tokens_usd"))
    html = render(Report(report), "html")
    assert "No run like this one measured anything." in html
    assert "chart-trend" not in html
    assert "8 runs of this service" in render(Report(report), "terminal")
    report["trends"] = None
    assert "Trend" not in render(Report(report), "terminal")
    assert "--store" in render(Report(report), "html")


def test_a_trends_direction_is_escaped() -> None:
    report = data("go")
    for figure in report["trends"]["figures"]:
        figure["direction"] = "<img src=x>[a](b)"
    text = render(Report(report), "markdown")
    assert "<img" not in text
    assert "[a](b)" not in text
