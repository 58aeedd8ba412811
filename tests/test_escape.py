"""Hostile text is harmless wherever it lands, and what was removed can still be seen."""

import csv
import io
import re
import unicodedata
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from inferaudit import escape

# Surrogates included: a JSON report may hold them.
ANY = st.text(alphabet=st.characters(exclude_categories=()), max_size=300)
MARKUP = st.text(alphabet="ab1 .-+=#*_`[]()!|~<>&$@:/\\\n\thtpsw\u202e\x1b", max_size=80)
_ACTS = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def acting(text: str, allowed: str = "") -> list[str]:
    return [c for c in text if unicodedata.category(c) in _ACTS and c not in allowed]


@given(ANY)
def test_block_keeps_nothing_that_acts(text: str) -> None:
    shown = escape.block(text)
    assert acting(shown, "\n\t") == []
    assert shown.encode("utf-8").decode() == shown


@given(ANY)
def test_line_is_one_line(text: str) -> None:
    shown = escape.line(text)
    assert acting(shown) == []
    assert len(shown.splitlines()) <= 1


@given(st.text(alphabet=st.characters(categories=("L", "N", "P")), max_size=50))
def test_harmless_text_is_left_alone(text: str) -> None:
    assert escape.block(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\", "click"),
        ("\x1b]0;title\x07x", "x"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u202eb", "a\\u202eb"),
        ("a\u200bb", "a\\u200bb"),
        ("a\ud800b", "a\\ud800b"),
        ("a\U000e0041b", "a\\U000e0041b"),
        ("a\x00b\x7f", "a\\x00b\\x7f"),
        ("a\ufffeb", "a\\ufffeb"),
        ("a\rb", "a\\x0db"),
        ("größe 日本 🚀", "größe 日本 🚀"),
    ],
)
def test_what_is_removed_is_shown(text: str, shown: str) -> None:
    assert escape.block(text) == shown


def test_length_is_bounded_and_said() -> None:
    assert escape.line("x" * 10_000) == "x" * escape.LINE_LIMIT + "… (10000 characters)"
    assert len(escape.block("\x00" * 10_000)) <= escape.BLOCK_LIMIT * 10 + 40


@given(ANY)
def test_xml_reads_back(text: str) -> None:
    element = ET.Element("a", {"b": escape.xml(text)})
    element.text = escape.xml(text)
    assert ET.fromstring(ET.tostring(element)).text in (escape.xml(text), None if not escape.xml(text) else "")  # noqa: S314


@given(st.one_of(ANY, MARKUP))
def test_markdown_is_only_text(text: str) -> None:
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(escape.markdown(text))
    assert [t.type for t in tokens] in ([], ["paragraph_open", "inline", "paragraph_close"])
    inline = tokens[1].children or [] if tokens else []
    assert {t.type for t in inline} <= {"text", "text_special", "html_inline"}
    assert {t.content for t in inline if t.type == "html_inline"} <= {"<!-- -->"}
    assert "".join(t.content for t in inline if t.type != "html_inline") == escape.line(text)


@given(st.one_of(ANY, MARKUP))
def test_markdown_mentions_and_links_are_cut(text: str) -> None:
    shown = escape.markdown(f"@team {text} www.evil.example https://evil.example")
    assert "@" not in shown
    assert not re.search(r"(?i)www|://", shown)


@given(st.one_of(ANY, MARKUP))
def test_code_spans_hold(text: str) -> None:
    code = escape.markdown_code(text)
    tokens = MarkdownIt("commonmark").parse(f"x {code} y")
    inline = tokens[1].children or []
    if code:
        assert [t.type for t in inline] == ["text", "code_inline", "text"]
    assert "|" not in code


@given(st.one_of(ANY, MARKUP))
def test_fences_hold(text: str) -> None:
    tokens = MarkdownIt("commonmark").parse(escape.markdown_block(text))
    assert [t.type for t in tokens] == ["fence"]


@given(ANY)
def test_csv_cells_are_no_formulas(text: str) -> None:
    out = io.StringIO()
    csv.writer(out).writerow([escape.csv_cell(text)])
    (row,) = csv.reader(io.StringIO(out.getvalue(), newline=""))
    assert not row[0].lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "＝", "＋", "－", "＠"))


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "  =cmd|' /C calc'!A0", "％".replace("％", "%x")]
)
def test_csv_formulas_get_an_apostrophe(text: str) -> None:
    assert escape.csv_cell(text).startswith("'")


@given(ANY)
def test_github_commands_stay_on_one_line(text: str) -> None:
    assert acting(escape.github_message(text), "\t") == []
    assert not set(escape.github_property(text)) & set(":,\n\r")


@given(ANY)
def test_prometheus_labels_close(text: str) -> None:
    assert re.fullmatch(r'(?:[^"\\\n]|\\[\\"n])*', escape.prometheus_label(text))


@given(ANY)
def test_ascii_only(text: str) -> None:
    assert escape.ascii_only(text).isascii()


@pytest.mark.parametrize("link", ["https://example.com/a?b=c#d", "http://127.0.0.1:8000/"])
def test_plain_links_are_links(link: str) -> None:
    assert escape.web_link(link) == link


@pytest.mark.parametrize(
    "text",
    [
        "javascript:alert(1)", "data:text/html,x", "https://", "//evil.example", "https://user:pw@evil.example/",
        "https://evil.example/\"onmouseover=", "https://evil.example/ x", "https://[", "https://ev\u202eil.example",
        "file:///etc/passwd", "https://example.com/" + "a" * 3000, "",
    ],
)  # fmt: skip
def test_other_text_is_no_link(text: str) -> None:
    assert escape.web_link(text) is None
