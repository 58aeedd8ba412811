"""Prompts from files: what cannot be sent is refused with its line, and never becomes an empty or another prompt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from inferaudit.bench.prepare import prepare
from inferaudit.bench.requests import read_dataset
from inferaudit.errors import UsageError
from inferaudit.plan import LoadPlan, StagePlan

PLAN = LoadPlan("http://127.0.0.1:1", "openai-chat", "m", "bench", (StagePlan("s", concurrency=1, requests=1),))


def test_lines_end_in_line_feeds_alone() -> None:
    text = '\ufeff{"prompt": "a\u2028b"}\r\n\n"c"\n{"messages": [{"role": "user", "content": []}], "max_tokens": 3}'
    assert len(read_dataset(text, "d")) == 3


@pytest.mark.parametrize(
    "line",
    [
        '{"prompt": 5}',
        '{"prompt": null, "messages": []}',
        '{"messages": "hi"}',
        '{"messages": ["hi"]}',
        '{"body": "hi"}',
        '{"prompt": "a", "max_tokens": "x"}',
        '{"prompt": "a", "max_tokens": -4}',
        '"half \\ud83d"',
        "[" * 100_000,
        "9" * 5_000,
        "null",
    ],
)
def test_a_row_that_says_no_request_is_refused_with_its_line(line: str) -> None:
    with pytest.raises(UsageError, match="d:2: "):
        read_dataset(f'"good"\n{line}\n', "d")


@pytest.mark.parametrize(("text", "said"), [("", "is empty"), ('{"x": "{{promt}}"}', "{{promt}}, which nothing fills")])
def test_a_template_that_asks_for_nothing_is_refused(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "t.json"
    file.write_text(text)
    with pytest.raises(UsageError, match=said):
        prepare(replace(PLAN, template=str(file)))
