"""The three verdicts in every format, byte for byte; ``python tests/golden/renew.py`` after a wanted change."""

import runpy
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"
RENEW = runpy.run_path(str(GOLDEN / "renew.py"))


@pytest.mark.parametrize("name", RENEW["NAMES"])
def test_outputs_are_as_reviewed(name: str) -> None:
    outputs = RENEW["outputs"](name)
    differing = [file for file, text in outputs.items() if (GOLDEN / name / file).read_bytes() != text.encode("utf-8")]
    assert differing == [], f"{name}: run python tests/golden/renew.py and read the difference"


@pytest.mark.parametrize("name", RENEW["NAMES"])
def test_no_golden_file_is_left_over(name: str) -> None:
    assert {p.name for p in (GOLDEN / name).iterdir()} == set(RENEW["outputs"](name))
