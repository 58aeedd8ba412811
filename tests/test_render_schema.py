"""The published schema of the report: valid itself, met by the golden reports, and strict where it says so."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from inferaudit.catalog import load_catalog
from inferaudit.model import FactErrorKind, Outcome, Phase, Report, Scope, Severity, Snapshot, Target, Verdict
from inferaudit.policy import Policy
from inferaudit.render import FORMATS, render
from inferaudit.report import audit_report

ROOT = Path(__file__).parent.parent
SCHEMA: dict[str, Any] = json.loads((ROOT / "templates" / "report.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker())


def data(name: str) -> dict[str, Any]:
    file = ROOT / "tests" / "golden" / name / "report.json"
    loaded: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return loaded


def errors(report: dict[str, Any]) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(report)]


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", ["go", "no_go", "incomplete"])
def test_reports_hold_to_it(name: str) -> None:
    assert errors(data(name)) == []


@pytest.fixture(scope="module")
def built() -> dict[str, Any]:
    """The report of an audit that saw nothing: every key, and nearly every null."""
    nothing = Snapshot(collected_at="2026-03-14T09:26:53Z", target=Target(), facts={}, tool_version="0.1.0")
    report: dict[str, Any] = json.loads(json.dumps(audit_report(load_catalog(), nothing, Policy()).data))
    return report


def test_what_is_built_holds_to_it(built: dict[str, Any]) -> None:
    assert errors(built) == []


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_built_can_be_rendered(built: dict[str, Any], format: str) -> None:
    assert render(Report(built), format)


@pytest.mark.parametrize("key", SCHEMA["required"])
def test_every_key_is_asked_for(key: str) -> None:
    report = data("go")
    del report[key]
    assert errors(report) == [f"$: {key!r} is a required property"]


def test_every_word_of_an_enumeration_is_known() -> None:
    """A kind, severity or outcome added to the model is one of the report's too."""
    text = json.dumps(SCHEMA)
    for words in (FactErrorKind, Outcome, Severity, Verdict, Phase, Scope):
        assert all(f'"{word.value}"' in text for word in words), words


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("verdict",), "MAYBE"),
        (("surprise",), 1),
        (("reasons",), []),
        (("findings", 0, "outcome"), "warning"),
        (("findings", 0, "fingerprint"), "zz"),
        (("findings", 0, "evidence", 0, "extra"), 1),
        (("summary", "pass"), -1),
        (("benchmark", "ttft_ms", "p99"), -1),
        (("benchmark", "errors", "weather"), {}),
        (("scorecard", "score"), 1.5),
        (("digests", "policy"), "sha256:abc"),
    ],
)
def test_what_it_refuses(path: tuple[str | int, ...], value: Any) -> None:
    report: Any = data("go")
    place = report
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert errors(report) != []
