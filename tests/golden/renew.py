"""Writes the golden outputs anew: ``python tests/golden/renew.py``. Read the difference like a screenshot."""

import json
from pathlib import Path

from inferaudit.model import Report
from inferaudit.render import FORMATS, render

SUFFIXES = {
    "json": "json",
    "terminal": "txt",
    "markdown": "md",
    "junit": "junit.xml",
    "sarif": "sarif.json",
    "codescanning": "codescanning.sarif.json",
    "github": "github.txt",
    "prometheus": "prom",
}
HERE = Path(__file__).parent
NAMES = ("go", "no_go", "incomplete")


def load(name: str) -> Report:
    return Report(json.loads((HERE / name / "report.json").read_text(encoding="utf-8")))


def outputs(name: str) -> dict[str, str]:
    """File name → text, for one report in every format, and the terminal at 40 columns."""
    report = load(name)
    texts = {f"report.{SUFFIXES.get(format, format)}": render(report, format) for format in FORMATS}
    return {**texts, "report.40-columns.txt": render(report, "terminal", width=40)}


if __name__ == "__main__":
    for name in NAMES:
        for file, text in outputs(name).items():
            (HERE / name / file).write_text(text, encoding="utf-8", newline="")
