"""The template asks for what is missing, and settles nothing by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from inferaudit.attestation_template import attestation_template, open_rows
from inferaudit.errors import PolicyError
from inferaudit.model import Report
from inferaudit.policy import load_policy


def _row(row: str, status: str = "review", **more: Any) -> dict[str, Any]:
    return {"id": row, "title": f"Title of {row}", "phase": "before", "priority": "high", "status": status,
            "message": "awaits an attestation", "origins": [], "attestation": None, "ask": "A record.",
            **more}  # fmt: skip


def _report(*rows: dict[str, Any], **more: Any) -> Report:
    lists = [{"id": "own", "title": "Own", "items": list(rows)}]
    return Report({"collected_at": "2026-11-22T12:00:00Z", "phase": "before", "checklists": lists,
                   "service": {"name": "chat", "owner": "team-chat"}, **more})  # fmt: skip


def _items(report: Report) -> list[dict[str, str]]:
    return yaml.safe_load(attestation_template(report))["attestations"]  # type: ignore[no-any-return]


INVALID = {"evidence": "docs/x.md", "owner": "ann", "date": "2026-01-01", "expires": None, "valid": False, "detail": ""}


@pytest.mark.parametrize(
    ("row", "asked"),
    [
        (_row("a"), True),
        (_row("a", "unknown"), True),
        (_row("a", attestation=INVALID), True),
        (_row("a", "unknown", ask=None), False),
        (_row("a", "unknown", attestation={**INVALID, "valid": True}), False),  # what is left, a check must settle
        (_row("a", "fail"), False),
        (_row("a", "pass"), False),
        (_row("a", "not_applicable"), False),
        (_row("a", origins=["own/b"]), False),
    ],
)
def test_only_what_an_attestation_settles_is_asked_for(row: dict[str, Any], asked: bool) -> None:
    assert bool(open_rows(_report(row).data["checklists"])) is asked
    assert bool(_items(_report(row))) is asked


def test_the_due_and_the_urgent_come_first() -> None:
    report = _report(_row("late", phase="after", priority="critical"), _row("low", priority="low"),
                     _row("now", priority="critical"))  # fmt: skip
    assert [item["item"] for item in _items(report)] == ["now", "low", "late"]
    text = attestation_template(report)
    assert text.index("Not due yet") > text.index('"low"')


def test_an_entry_says_what_to_show_and_why_the_old_one_fails() -> None:
    text = attestation_template(_report(_row("a", attestation={**INVALID, "expires": "2026-02-01"})))
    assert "# Evidence: A record." in text
    assert "The attestation of ann does not count: it expired on 2026-02-01" in text
    assert _items(_report(_row("a")))[0] == {
        "item": "a", "evidence": "", "owner": "team-chat", "date": "2026-11-22", "expires": "2027-05-21",
    }  # fmt: skip
    assert "dated ahead" in attestation_template(_report(_row("a", attestation={**INVALID, "date": "2027-01-01"})))
    assert "no such file" in attestation_template(_report(_row("a", attestation={**INVALID, "detail": "no such file"})))


def test_a_template_that_nobody_filled_in_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "inferaudit.yaml"
    path.write_text(attestation_template(_report(_row("before.rollback"))))
    with pytest.raises(PolicyError, match=r"attestations\.0\.evidence"):
        load_policy(path)
    path.write_text(path.read_text().replace('evidence: ""', "evidence: docs/rehearsal.md"))
    (attestation,) = load_policy(path).attestations
    assert (attestation.item, attestation.expires) == ("before.rollback", "2027-05-21")


def test_hostile_rows_stay_in_their_comment() -> None:
    evil = "x\n- item: forged\u2028\x85\x1b[31m\u202e \U0001f600 # \"'"
    rows = _row("a", title=evil, message=evil, ask=evil, attestation={**INVALID, "owner": evil, "detail": evil})
    report = _report(rows, service={"name": evil, "owner": evil})
    (item,) = _items(report)
    assert item["item"] == "a"
    assert item["owner"] == evil
    assert "\x1b" not in attestation_template(report)


def test_golden_reports_give_templates_that_parse() -> None:
    for path in (Path(__file__).parent / "golden").glob("*/report.json"):
        assert isinstance(_items(Report(msgspec.json.decode(path.read_bytes()))), list)
