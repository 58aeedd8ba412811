"""What people give as evidence: whether it names a file, and the headings of a document they wrote. Pure.

Markdown, reStructuredText, AsciiDoc and HTML are read. Headings are facts about a piece of evidence: whether a runbook
has the sections that a checklist row asks for is judged over them, so the document itself never has to be kept.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping

TEXTS = (".md", ".markdown", ".txt", ".rst", ".adoc", ".asciidoc", ".html", ".htm")
_FILES = (*TEXTS, ".pdf", ".yaml", ".yml", ".json", ".csv", ".docx", ".xlsx", ".png", ".log")
MOST = 200
_LONGEST = 200
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,}|-{4,}$|\.{4,}$)")
_MARKED = re.compile(r" {0,3}(?:#{1,6}|={1,6})[ \t]+(?P<text>\S.*)")
_BOLD = re.compile(r"[ \t]*(?:\*\*|__)(?P<text>[^*_].*?)(?:\*\*|__):?[ \t]*")
_UNDERLINE = re.compile(r"(?P<sign>[-=~^\"*+#])(?P=sign){2,}[ \t]*")
_HTML = re.compile(r"<h[1-6]\b[^<>]{0,500}>((?:(?!<h[1-6]\b).){0,2000}?)</h[1-6]\s*>", re.IGNORECASE | re.DOTALL)


def is_link(evidence: str) -> bool:
    """True for an address on the web."""
    return evidence.startswith(("http://", "https://"))


def names_file(evidence: str) -> bool:
    """True where the evidence is a path rather than a link or a ticket's number."""
    return not is_link(evidence) and ("/" in evidence or evidence.lower().endswith(_FILES))


def headings(text: str) -> tuple[str, ...]:
    """The headings in their order, each once, at most 200 of 200 characters; a line in bold alone counts as one."""
    found = [*(_plain(match[1]) for match in _HTML.finditer(text)), *_lines(text)]
    return tuple(dict.fromkeys(h for h in map(_clean, found) if h))[:MOST]


def missing_sections(found: Iterable[str] | None, sections: Mapping[str, str]) -> tuple[str, ...]:
    """Which `sections` (name → pattern) no heading speaks of; none are missed where no heading could be read."""
    if found is None:
        return ()
    texts = list(found)
    return tuple(
        name for name, pattern in sections.items() if not any(re.search(pattern, text, re.IGNORECASE) for text in texts)
    )


def _lines(text: str) -> Iterator[str]:
    fence, before = "", ""
    for line in text.splitlines():
        opened = _FENCE.match(line)
        title = before.strip()
        if title and not fence and re.fullmatch(r"~{4,}", line.rstrip()) and len(line.rstrip()) >= len(title):
            yield title  # an underline of reStructuredText; a fence is shorter than the sentence before it
            before = ""
            continue
        if fence:
            fence = "" if opened and opened[1].startswith(fence) else fence
            before = ""
            continue
        if opened and (opened[1][0] in "`~" or not before.strip()):
            fence, before = opened[1] if opened[1][0] in "`~" else "", ""
            continue
        if marked := _MARKED.fullmatch(line):
            yield marked["text"].rstrip().rstrip("#=")  # not by the pattern, whose time is the square of the spaces
        elif bold := _BOLD.fullmatch(line):
            yield bold["text"]
        elif _UNDERLINE.fullmatch(line) and before.strip():
            yield before
        before = line


def _plain(markup: str) -> str:
    return html.unescape(re.sub(r"<[^<>]*>", " ", markup))


def _clean(text: str) -> str:
    shown = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(shown.split())[:_LONGEST]
