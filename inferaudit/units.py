"""Quantities as people write them in flags and policies: ``500ms``, ``0.1%``, ``20/s``, ``1M``.

Every parser takes text (or a plain number in the unit it names) and raises :class:`UsageError` saying what it takes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TypeVar

from inferaudit.errors import UsageError

T = TypeVar("T")

_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_FACTORS = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9}
_BINARY = {"": 1, "k": 1024, "m": 1024**2}
_PER_SECONDS = {"s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}
_NUMBER = r"([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)"


def _number(text: str, original: object, wanted: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise UsageError(f"{original!r} is not {wanted}")
    return value


def parse_duration_s(text: str | float) -> float:
    """Seconds from ``500ms``, ``30s``, ``1h30m``, ``24h``, ``30d``; a bare number is seconds."""
    wanted = "a duration such as 500ms, 30s, 10m or 24h"
    source = str(text).strip()
    if re.fullmatch(_NUMBER, source):
        return _number(source, text, wanted)
    parts = re.findall(_NUMBER + r"\s*(ns|us|µs|ms|min|s|m|h|d)", source)
    if not parts or "".join(re.split(r"\s+", source)) != "".join(n + u for n, u in parts):
        raise UsageError(f"{text!r} is not {wanted}")
    return sum(_number(n, text, wanted) * _SECONDS[u] for n, u in parts)


def parse_ratio(text: str | float) -> float:
    """A fraction 0 to 1 from ``0.1%``, ``99.9%`` or ``0.001``."""
    wanted = "a share such as 0.1% or 0.001"
    source = str(text).strip()
    match = re.fullmatch(_NUMBER + r"\s*(%?)", source)
    if not match:
        raise UsageError(f"{text!r} is not {wanted}")
    value = _number(match[1], text, wanted)
    value = value / 100 if match[2] else value
    if not 0 <= value <= 1:
        raise UsageError(f"{text!r} is not {wanted}: it lies outside 0 to 100%")
    return value


def parse_rate_per_s(text: str | float) -> float:
    """Events per second from ``20/s``, ``600/min`` or a bare number."""
    wanted = "a rate such as 20/s or 600/min"
    match = re.fullmatch(_NUMBER + r"\s*([kKM]?)\s*(?:/\s*(s|sec|min|m|h))?", str(text).strip())
    if not match:
        raise UsageError(f"{text!r} is not {wanted}")
    return _number(match[1], text, wanted) * _FACTORS[match[2]] / _PER_SECONDS[match[3] or "s"]


def parse_amount(text: str | float) -> float:
    """A number from ``1M``, ``50k``, ``0.5`` or ``200``."""
    match = re.fullmatch(_NUMBER + r"\s*([kKMGB]?)", str(text).strip())
    if not match:
        raise UsageError(f"{text!r} is not a number such as 200, 50k or 1M")
    return _number(match[1], text, "a number") * _FACTORS[match[2]]


def parse_count(text: str | int) -> int:
    """A whole number from ``1M``, ``50k`` or ``200``."""
    value = parse_amount(text)
    if value != int(value):
        raise UsageError(f"{text!r} is not a whole number such as 200, 50k or 1M")
    return int(value)


def parse_tokens(text: str | int) -> int:
    """Tokens from ``4096``, ``128k`` or ``1M``: k is 1 024 and M its square.

    So do model cards count: "128k" of Llama 3.1 is 131 072 in its config.json. vLLM reads ``--max-model-len 128K`` so
    and ``128k`` as 128 000 (https://docs.vllm.ai/en/latest/cli/serve.html); the larger holds for both.
    """
    match = re.fullmatch(_NUMBER + r"\s*([kKmM]?)", str(text).strip())
    value = _number(match[1], text, "a number of tokens") * _BINARY[match[2].lower()] if match else math.nan
    if not match or value != int(value):
        raise UsageError(f"{text!r} is not a number of tokens such as 4096, 128k or 1M")
    return int(value)


def flag_value(flag: str, text: str, parse: Callable[[str], T]) -> T:
    """`text` as `parse` reads it; its :class:`UsageError` names `flag`."""
    try:
        return parse(text)
    except UsageError as error:
        raise UsageError(f"{flag}: {error}") from None


def whole_number(text: str) -> int | None:
    """The number that ASCII digits alone spell, 18 at most; None for any other text.

    ``str.isdigit`` takes ``²``, which ``int`` refuses, and ``int`` takes ``٣``, which no other program does.
    """
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None


def format_duration(seconds: float) -> str:
    """Short text of a duration: ``500 ms``, ``2.5 s``, ``43.2 min``, ``24 h``, ``30 d``."""
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0)):
        if seconds >= size * (1 if unit == "s" else 2):
            return f"{seconds / size:.4g} {unit}"
    return f"{seconds * 1e3:.4g} ms"


def plain(value: float, digits: int = 4, *, commas: bool = False) -> str:
    """`value` to `digits` significant digits, and never fewer than stand before the point: 12345, not 1.234e+04."""
    text = f"{value:{',' * commas}.{digits}g}"
    return f"{value:{',' * commas}.0f}" if "e+" in text else text


def amount(value: float, unit: str) -> str:
    """A figure with its unit as people write it; `unit` is that of an objective (ms, s, ratio, 1/s, tokens/s)."""
    match unit:
        case "ratio":
            return f"{value:.3%}"
        case "s":
            return format_duration(value)
        case "1/s":
            return f"{plain(value)}/s"
    return f"{plain(value)} {unit}"
