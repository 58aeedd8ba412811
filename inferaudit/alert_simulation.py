"""What an alert would have said during a load test: its expression narrowed to the test, and how long it held. Pure.

A load test is shorter than the windows alerts look at: one over ``[1h]`` cannot see what lasted a minute. Narrowed to
the stage's own length it says what it would say, had the stage lasted as long as its window.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from inferaudit.alert_rules import metric_names

_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}
_RANGE = re.compile(r"\[\s*((?:\d+(?:ms|[smhdwy]))+)\s*(:[^\]]*)?\]")
_TEXT = re.compile(r"(\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|`[^`]*`)")
# What grows with the window: over a shorter one it says less, and a silence proves nothing.
_GROWS = re.compile(
    r"\b(?:increase|(?:count|sum|absent)_over_time|changes|resets|delta|idelta|deriv|predict_linear|holt_winters"
    r"|double_exponential_smoothing)\s*\("
)
_DEEP = 3  # recording rules over recording rules


def lookback_s(expr: str, recorded: Mapping[str, str]) -> float:
    """The longest window (s) that `expr` looks at, that of the recording rules it reads (name → expression) included.

    0 for one that looks at the latest samples only.
    """
    return _lookback(expr, recorded, _DEEP)


def _lookback(expr: str, recorded: Mapping[str, str], depth: int) -> float:
    bare = "".join(_TEXT.split(expr)[::2])
    longest = max((_seconds(hit[1]) for hit in _RANGE.finditer(bare)), default=0.0)
    if depth:
        below = (recorded[name] for name in metric_names(expr) if name in recorded)
        longest = max([longest, *(_lookback(each, recorded, depth - 1) for each in below)])
    return longest


def narrowed(expr: str, seconds: float, recorded: Mapping[str, str]) -> str | None:
    """`expr` with every longer window cut to `seconds`; None where its silence would then prove nothing.

    That is so of counts over a window, which shrink with it, of what is compared with an earlier time, and of what a
    recording rule has computed over a window of its own.
    """
    bare = "".join(_TEXT.split(expr)[::2])
    if re.search(r"\boffset\b|@", bare) or not metric_names(expr):
        return None
    if _GROWS.search(bare) and not _is_ratio(bare):
        return None
    if any(_lookback(recorded[name], recorded, _DEEP) > seconds for name in metric_names(expr) if name in recorded):
        return None

    def cut(hit: re.Match[str]) -> str:
        return hit[0] if _seconds(hit[1]) <= seconds else f"[{max(1, round(seconds))}s{hit[2] or ''}]"

    parts = _TEXT.split(expr)
    return "".join(part if i % 2 else _RANGE.sub(cut, part) for i, part in enumerate(parts))


def held_s(series: Iterable[Iterable[float]], step: float, start: float, end: float) -> float | None:
    """The longest stretch (s) in `start`..`end` over which one series was there without a gap; None for never.

    `series` holds, for each, the times (s) at which the expression returned it; `step` is their distance. One point is
    a stretch of 0: an alert with ``for`` 0 fires on it.
    """
    longest: float | None = None
    for times in series:
        first = last = None
        for at in times:
            if not start <= at <= end:
                continue
            if first is None or last is None or at - last > 1.5 * step:
                first = at
            last = at
            longest = max(longest or 0.0, last - first)
    return longest


def _is_ratio(bare: str) -> bool:
    """True where increases stand in ratios alone, one over one: both sides shrink alike."""
    increase = re.compile(r"\bincrease\s*\(")
    in_pairs = len(increase.findall(bare)) == 2 * bare.count("/")
    return in_pairs and not _GROWS.search(increase.sub("rate(", bare))


def _seconds(text: str) -> float:
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdwy])", text))
