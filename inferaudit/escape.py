"""Hostile text made harmless, one function for each place it may land in.

Names, messages and evidence come from clusters, endpoints and logs: they may hold terminal control codes, bidirectional
marks that reverse what a reader sees, markup, spreadsheet formulas, or ten thousand letters. Every function here takes
any ``str`` (lone surrogates included) and never raises. What is removed is shown (``\\x1b``, ``\\u202e``), so that a
reader learns that it was there; nothing is interpreted.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import urlsplit

LINE_LIMIT = 400
BLOCK_LIMIT = 4000

# Whole terminal sequences are dropped first, so that their printable tails ("[31m") do not litter the text.
_SEQUENCE = re.compile(
    r"\x1b\[[0-?]{0,64}[ -/]{0,8}[@-~]"  # CSI: colours, cursor, erase
    r"|\x1b[\]PX^_][^\x07\x1b\x9c]{0,4096}(?:\x07|\x1b\\|\x9c)"  # OSC, DCS, SOS, PM, APC: titles, hyperlinks, clipboard
)
# Cc control, Cf format (bidi, zero width, tags), Cs lone surrogates, Co private use, Zl/Zp line and paragraph breaks.
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Zl", "Zp"))
_MARKDOWN = re.compile(r"([\\`*_\[\]#|~<>&$@])")
_FORMULA = "=+-@\t\r\n|%＝＋－＠"


def block(text: str, limit: int = BLOCK_LIMIT) -> str:
    """Text of several lines: newlines and tabs stay, what is invisible or acts is shown as an escape."""
    bounded = _bounded(text, limit)
    return "".join(map(_visible, _SEQUENCE.sub("", bounded.replace("\r\n", "\n"))))


def line(text: str, limit: int = LINE_LIMIT) -> str:
    """Text of one line, at most `limit` characters and a note of what was cut; runs of white space become one space."""
    return " ".join(block(_bounded(text, limit), limit * 2 + 64).split())


def ascii_only(text: str) -> str:
    """Text for a terminal or log without Unicode: the signs we use ourselves get their plain form, the rest a ``?``."""
    return text.translate(_PLAIN_SIGNS).encode("ascii", "replace").decode("ascii")


def xml(text: str, limit: int = BLOCK_LIMIT) -> str:
    """Text that XML 1.0 allows; quoting of ``<&>`` is left to the XML library."""
    return block(text, limit)


def markdown(text: str, limit: int = LINE_LIMIT) -> str:
    """One line of Markdown that shows `text` itself: no markup, HTML, link, table cell, mention or issue reference.

    Forges look for mentions, references and bare addresses after backslashes and entities are undone; an empty comment
    in the middle is what stops them.
    """
    escaped = _MARKDOWN.sub(_markdown_sign, line(text, limit))
    escaped = re.sub(r"(?i)(www|://)", lambda m: f"{m[0][:-1]}<!-- -->{m[0][-1]}", escaped)
    # What would open a list, a rule or an underlined heading.
    return re.sub(r"^([-+=]|(?:[0-9]{1,9})(?=[.)](?:\s|$)))", _first_sign, escaped)


def markdown_code(text: str, limit: int = LINE_LIMIT) -> str:
    """`text` as a Markdown code span, fenced by more backticks than it holds; safe in a table cell."""
    shown = line(text, limit).replace("|", "¦")
    if not shown:
        return ""
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest or shown[0] == " " else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def markdown_block(text: str, limit: int = BLOCK_LIMIT) -> str:
    """`text` as a fenced Markdown code block, its fence longer than any run of backticks inside."""
    shown = block(text, limit)
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{shown}\n{fence}"


def csv_cell(text: str, limit: int = BLOCK_LIMIT) -> str:
    """A CSV cell no spreadsheet takes for a formula: what could start one gets an apostrophe in front.

    See OWASP, "CSV Injection". Quoting of separators is left to the CSV library.
    """
    shown = block(text, limit)
    return f"'{shown}" if shown.lstrip(" ")[:1] and shown.lstrip(" ")[0] in _FORMULA else shown


def github_message(text: str, limit: int = BLOCK_LIMIT) -> str:
    """The message of a GitHub workflow command: ``%``, CR and LF encoded as the runner decodes them."""
    return block(text, limit).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def github_property(text: str, limit: int = LINE_LIMIT) -> str:
    """A property of a GitHub workflow command: also ``:`` and ``,`` encoded."""
    return github_message(line(text, limit), limit * 2 + 64).replace(":", "%3A").replace(",", "%2C")


def prometheus_label(text: str, limit: int = LINE_LIMIT) -> str:
    """A label value of the text exposition format."""
    return line(text, limit).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def web_link(text: str) -> str | None:
    """`text` when it is a plain ``http(s)`` address with a host and no user, else None: nothing else becomes a link."""
    if len(text) > 2000 or not text.isascii() or re.search(r"[\s\x00-\x1f\x7f<>\"'`\\{}|^]", text):
        return None
    try:
        parts = urlsplit(text)
        safe = parts.scheme in ("http", "https") and parts.hostname and parts.username is None
    except ValueError:
        return None
    return text if safe else None


def _bounded(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({len(text)} characters)"


def _visible(char: str) -> str:
    if char in "\n\t" or (char.isascii() and char.isprintable()):
        return char
    code = ord(char)
    if unicodedata.category(char) in _HIDDEN or code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF:
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return char


def _markdown_sign(match: re.Match[str]) -> str:
    sign = match[1]
    if sign in "@#":
        return f"&#{ord(sign)};<!-- -->"
    return f"&#{ord(sign)};" if sign in "<>&" else f"\\{sign}"


def _first_sign(match: re.Match[str]) -> str:
    return f"{match[1]}\\" if match[1].isdigit() else f"\\{match[1]}"


_PLAIN_SIGNS = str.maketrans(
    {
        "✓": "+", "✗": "x", "?": "?", "…": "...", "–": "-", "—": "-", "·": "-", "×": "x", "≤": "<=", "≥": ">=",
        "→": "->", "÷": "/", "−": "-", "½": "1/2", "Σ": "sum", "µ": "u", "│": "|", "─": "-", "└": "`", "├": "|",
        "●": "*", "○": "o", "◌": "o", "▌": "|", "█": "#", "¦": "|", "’": "'", "“": '"', "”": '"', "\u00a0": " ",
    }
)  # fmt: skip
