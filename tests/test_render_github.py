"""GitHub workflow commands: one a line, what blocks first, nothing a name could smuggle in."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from inferaudit.model import Report
from inferaudit.render import render

GOLDEN = Path(__file__).parent / "golden"
COMMAND = re.compile(r"::(error|warning|notice) (?:[a-z]+=[^,:\n]*,?)+::[^\n]+")


def data(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((GOLDEN / name / "report.json").read_text(encoding="utf-8"))
    return loaded


def lines(report: dict[str, Any]) -> list[str]:
    return render(Report(report), "github").splitlines()


@pytest.mark.parametrize("name", ["go", "no_go", "incomplete"])
def test_every_line_is_a_command(name: str) -> None:
    found = lines(data(name))
    assert all(COMMAND.fullmatch(line) for line in found)
    assert data(name)["reasons"][0] in found[0]


def test_what_blocks_comes_first_and_points_at_its_line() -> None:
    found = lines(data("no_go"))
    levels = [line.split(" ")[0] for line in found]
    assert levels[:4] == ["::error"] * 4
    assert "::error" not in levels[4:]
    assert any("file=deploy/chat.yaml,line=31,title=workload-memory-limit" in line for line in found)


def test_what_is_explained_waived_or_passed_is_not_annotated() -> None:
    assert not any("endpoint-traffic-unready" in line for line in lines(data("no_go")))
    assert not any("network-default-deny" in line for line in lines(data("go")))


def test_a_name_cannot_start_a_command() -> None:
    report = data("no_go")
    for finding in report["findings"]:
        finding["message"] = "x\n::set-output name=a::b\r\n::stop-commands::t"
        finding["location"] = "a,title=b::c\n::error::d:7"
    assert all(COMMAND.fullmatch(line) for line in lines(report))
