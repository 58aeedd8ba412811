"""Evidence that people give: what is verified of it, when it counts, and when it is a finding itself."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from inferaudit.catalog import load_catalog
from inferaudit.cli.app import app
from inferaudit.collect.attestations import MOST_LINKS, collect_attestations
from inferaudit.errors import PolicyError
from inferaudit.evaluate import Selection, evaluate
from inferaudit.evidence import headings, missing_sections
from inferaudit.facts.process import AttestationFact
from inferaudit.model import Fact, Outcome, Snapshot, Target
from inferaudit.policy import AttestationSection, Policy, load_policy, with_people

CATALOG = load_catalog()
RUNBOOK = """# Runbook of chat
## GPU OOM
## When the model fails to load
Latency spikes
--------------
```
# Traffic overload is no heading in here
```
**Too many requests**
"""
FOUND = ("Runbook of chat", "GPU OOM", "When the model fails to load", "Latency spikes", "Too many requests")


def _given(evidence: str, item: str = "after.runbook") -> AttestationSection:
    return AttestationSection(item=item, evidence=evidence, owner="ann", date="2026-11-01", expires="2027-01-01")


def _seen(evidence: str, base: Path, *, follow: bool = False) -> AttestationFact:
    (fact,) = collect_attestations([_given(evidence)], base, follow=follow)["process.attestations"].value
    assert isinstance(fact, AttestationFact)
    return fact


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            RUNBOOK,
            ("Runbook of chat", "GPU OOM", "When the model fails to load", "Latency spikes", "Too many requests"),
        ),
        ("= Runbook\n\n== Out of memory ==\n", ("Runbook", "Out of memory")),
        ("Overload\n~~~~~~~~\n\ntext\n\n----\n\nmore\n", ("Overload",)),
        ("<h1 class='a'>A &amp; <b>B</b></h1><p>no<h2>C\n d</h2>", ("A & B", "C d")),
        ("plain text\nand more\n", ()),
        ("# \x1b[31mred\u202e\n", ("[31mred",)),
        ("~~~\n# inside\n~~~\n# outside #\n", ("outside",)),
        ("", ()),
    ],
)
def test_headings(text: str, found: tuple[str, ...]) -> None:
    assert headings(text) == found


@given(st.text(max_size=400))
def test_headings_of_anything_are_short_and_few(text: str) -> None:
    found = headings(text * 3)
    assert len(found) <= 200
    assert all(0 < len(h) <= 200 and h.isprintable() for h in found)


def test_many_headings_do_not_take_long() -> None:
    assert len(headings("# a b\n" * 100_000 + "<h1>" * 100_000)) == 1


@pytest.mark.parametrize(
    "text",
    ["# a" + " " * 500_000 + "x", "<h1 " * 200_000, "<h1>" * 200_000, "<h1>" + "<" * 1_000_000, "# #" + "# " * 400_000],
    ids=["spaces", "open tags", "no ends", "brackets", "signs"],
)
def test_no_page_takes_long_to_read(text: str) -> None:
    start = time.process_time()
    headings(text)
    assert time.process_time() - start < 10.0


def test_a_link_with_no_valid_port_is_said(tmp_path: Path) -> None:
    assert _seen("http://127.0.0.1:99999/x", tmp_path, follow=True).verified is None


def test_sections_are_missed_only_where_headings_were_read() -> None:
    wanted = {"latency": "latenc", "oom": r"\boom\b"}
    assert missing_sections(None, wanted) == ()
    assert missing_sections(["GPU OOM"], wanted) == ("latency",)
    assert missing_sections([], wanted) == ("latency", "oom")
    assert missing_sections(["Oom and LATENCY"], wanted) == ()


def test_files(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/runbook.md").write_text(RUNBOOK)
    (tmp_path / "docs/empty.md").touch()
    (tmp_path / "docs/scan.pdf").write_bytes(b"%PDF")
    os.mkfifo(tmp_path / "docs/pipe.md")
    assert _seen("docs/runbook.md", tmp_path).headings == headings(RUNBOOK)
    assert _seen("docs/runbook.md", tmp_path).verified is True
    assert (_seen("docs/scan.pdf", tmp_path).verified, _seen("docs/scan.pdf", tmp_path).headings) == (True, None)
    for name, why in (("empty.md", "empty"), ("none.md", "no such file"), ("pipe.md", "no file"), ("a\0b", "name")):
        seen = _seen(f"docs/{name}", tmp_path)
        assert seen.verified is False, name
        assert why in seen.detail
    assert _seen("OPS-1234", tmp_path).verified is None


class _Pages(BaseHTTPRequestHandler):
    asked: list[tuple[str, dict[str, str]]] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.asked.append((self.path, dict(self.headers)))
        status, headers, body = {
            "/runbook": (200, {"Content-Type": "text/html"}, b"<h1>OOM</h1><h2>Latency</h2>"),
            "/moved": (302, {"Location": "/runbook"}, b""),
            "/away": (302, {"Location": "http://elsewhere.invalid/"}, b""),
            "/round": (302, {"Location": "/round?1"}, b""),
            "/bracket": (302, {"Location": "http://["}, b""),
            "/port": (302, {"Location": "http://127.0.0.1:99999/"}, b""),
            "/secret": (403, {}, b"no"),
            "/broken": (500, {}, b"oops"),
        }.get(self.path.partition("?")[0], (404, {}, b"none"))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def pages() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "verified", "says"),
    [
        ("/runbook", True, "answers"),
        ("/moved", True, "answers"),
        ("/away", None, "leads on to elsewhere.invalid"),
        ("/round", None, "HTTP 302"),
        ("/bracket", None, "leads to no valid address"),
        ("/port", None, "leads to no valid address"),
        ("/secret", None, "a person must look"),
        ("/broken", None, "HTTP 500"),
        ("/gone", False, "leads to nothing"),
    ],
)
def test_links_that_are_followed(pages: str, tmp_path: Path, path: str, verified: bool | None, says: str) -> None:
    seen = _seen(pages + path, tmp_path, follow=True)
    assert seen.verified is verified
    assert says in seen.detail
    assert seen.headings == (("OOM", "Latency") if verified else None)


def test_links_are_left_alone_unless_asked_and_are_few(pages: str, tmp_path: Path) -> None:
    _Pages.asked.clear()
    assert _seen(f"{pages}/runbook", tmp_path).detail == "a link; not followed (--follow-links)"
    assert _Pages.asked == []
    many = [_given(f"{pages}/runbook?{n % (MOST_LINKS + 9)}") for n in range(3 * MOST_LINKS)]
    found = collect_attestations(many, tmp_path, follow=True)["process.attestations"].value
    assert len(_Pages.asked) == MOST_LINKS
    assert {"Authorization", "Cookie"} & {name for _, sent in _Pages.asked for name in sent} == set()
    assert {f.verified for f in found} == {True, None}
    assert _seen("http://127.0.0.1:9/x", tmp_path, follow=True).detail == "the link did not answer (refused)"


def test_what_is_known_already_is_not_looked_at_again(tmp_path: Path) -> None:
    known = _seen("docs/none.md", tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/none.md").write_text("# here now\n")
    again = collect_attestations([_given("docs/none.md"), _given("docs/none.md", "c1")], tmp_path, known=[known])
    assert [fact.verified for fact in again["process.attestations"].value] == [False, True]


@pytest.mark.parametrize(
    "evidence",
    [
        pytest.param("https://ann:pw@wiki.example.com/r", id="user"),
        pytest.param("https://x.example.com/?token=ghp_0123456789abcdefghijABCDEFGHIJ012345", id="token"),
    ],
)
def test_evidence_with_a_credential_is_refused(evidence: str, tmp_path: Path) -> None:
    file = tmp_path / "inferaudit.yaml"
    file.write_text(f"attestations:\n  - {{item: c1, evidence: '{evidence}', owner: a, date: 2026-01-01}}\n")
    with pytest.raises(PolicyError, match=r"inferaudit.yaml:2: attestations.0.evidence: this holds what looks like"):
        load_policy(file)


def test_a_file_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "ops" / "people.yaml"
    file.parent.mkdir()
    file.write_text(
        "attestations:\n  - {item: after.runbook, evidence: runbook.md, owner: ann, date: 2026-11-01}\n"
        "  - {item: c1, evidence: 'https://w.example.com', owner: ann, date: 2026-11-01}\n"
        "waivers:\n  - {check: gpu-xid-last, owner: ann, reason: known, expires: 2027-01-01}\n"
    )
    policy = with_people(Policy(), [file], tmp_path)
    assert [a.evidence for a in policy.attestations] == ["ops/runbook.md", "https://w.example.com"]
    assert [w.check for w in policy.waivers] == ["gpu-xid-last"]
    file.write_text("atestations: []\n")
    with pytest.raises(PolicyError, match=r"people.yaml:1: atestations: unknown key; did you mean 'attestations'"):
        with_people(Policy(), [file], tmp_path)
    with pytest.raises(PolicyError, match="No such file"):
        with_people(Policy(), [tmp_path / "none.yaml"], tmp_path)


def _findings(*attestations: AttestationFact, select: tuple[str, ...], **facts: object) -> dict[str, list[str]]:
    every = {
        "process.attestations": Fact(list(attestations)),
        **{k.replace("__", "."): Fact(v) for k, v in facts.items()},
    }
    snapshot = Snapshot(collected_at="2026-11-22T12:00:00Z", target=Target(), facts=every)
    found = evaluate(CATALOG, snapshot, Policy(), Selection(select))
    said: dict[str, list[str]] = {}
    for finding in found:
        if finding.outcome is Outcome.FAIL:
            said.setdefault(finding.check, []).append(finding.message)
    return said


def _fact(item: str) -> AttestationFact:
    return AttestationFact(item=item, evidence="OPS-1", owner="ann", date="2026-11-01", expires="2027-01-01")


def test_a_word_that_a_check_contradicts_is_a_finding() -> None:
    found = _findings(_fact("operations.trend"), select=("process-trend",), process__history=_history(-20.0))
    assert found["audit-attestation"] == ["the attestation of ann: what was seen contradicts it"]


def test_a_word_that_nothing_needs_is_a_finding() -> None:
    found = _findings(_fact("operations.trend"), select=("process-trend",), process__history=_history(0.5))
    assert found["audit-attestation"] == [
        "the attestation of ann: it is not needed: every check of its row passes without it"
    ]
    taken = _findings(_fact("before.resources"), select=("process-trend", "workload-gpu-limit"))
    assert taken["audit-attestation"] == ["the attestation of ann: its row takes no attestation: its checks decide it"]


def test_a_word_that_is_needed_or_was_not_asked_about_is_none() -> None:
    assert "audit-attestation" not in _findings(_fact("operations.trend"), select=("process-trend",))
    assert "audit-attestation" not in _findings(_fact("operations.trend"), select=("gpu-xid-last",))
    assert "audit-attestation" not in _findings(_fact("c2"), select=("gpu-xid-last",))


def _history(step: float) -> list[object]:
    from inferaudit.trend import Run

    return [
        Run(id=str(n), service="chat", collected_at=f"2026-0{n + 1}-01", verdict="GO", token_rate=500 + step * n)
        for n in range(6)
    ]


def test_from_a_snapshot_to_a_settled_row_on_the_command_line(tmp_path: Path) -> None:
    """Audit once, write the runbook and attest it, judge the same snapshot again."""
    manifest = tmp_path / "deploy.yaml"
    manifest.write_text(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: chat}\nspec: {selector: {matchLabels: {a: b}}, "
        "template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: 'vllm/vllm-openai:v0.11.0'}]}}}\n"
    )
    run = CliRunner()
    snapshot, report = tmp_path / "s.snapshot", tmp_path / "r.json"
    args = ["--scope", "manifests", "-o", f"json={report}"]
    done = run.invoke(app, ["run", "--manifests", str(manifest), "--snapshot", str(snapshot), "--quiet", *args])
    assert done.exit_code in (0, 1, 3), done.output
    first = report.read_bytes()
    run.invoke(app, ["evaluate", str(snapshot), *args])
    assert report.read_bytes() == first
    (tmp_path / "people.yaml").write_text(
        "attestations:\n"
        "  - {item: after.runbook, evidence: runbook.md, owner: ann, date: 2026-01-01, expires: 2099-01-01}\n"
    )
    details = []
    for text in ("# OOM\n", RUNBOOK):
        (tmp_path / "runbook.md").write_text(text)
        done = run.invoke(app, ["evaluate", str(snapshot), "--attestations", str(tmp_path / "people.yaml"), *args])
        assert done.exit_code in (0, 1, 3), done.output
        items = next(c for c in json.loads(report.read_text())["checklists"] if c["id"] == "production")["items"]
        details.append(next(i for i in items if i["id"] == "after.runbook")["attestation"])
    assert [d["valid"] for d in details] == [False, True]
    assert "no section on model load failure, latency spike, traffic overload" in details[0]["detail"]
