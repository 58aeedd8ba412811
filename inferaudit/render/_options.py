"""What a caller may ask of a rendering. Every renderer takes it and uses what applies to it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """`width` in columns; `color` and `unicode` say what the terminal can show."""

    width: int = 100
    color: bool = False
    unicode: bool = True
