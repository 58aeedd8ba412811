"""Renderers: one module a format, each a pure function from a report to text.

A module ``render/<format>.py`` without a leading underscore *is* a format; nothing is registered anywhere. Heavy
libraries load with the format that needs them.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

from inferaudit.errors import UsageError
from inferaudit.model import Report
from inferaudit.render._options import Options

FORMATS: tuple[str, ...] = tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")))
"""The formats that can be asked for by name."""


def render(report: Report, format: str, *, width: int = 100, color: bool = False, unicode: bool = True) -> str:
    """The report as text in `format`; :class:`UsageError` for a format that does not exist.

    `width` (columns), `color` and `unicode` concern the terminal alone. The same report gives the same text.
    """
    if format not in FORMATS:
        raise UsageError(f"no output format is called {format!r}; there are {', '.join(FORMATS)}")
    module = import_module(f"{__name__}.{format}")
    text: str = module.render(report, options=Options(width=width, color=color, unicode=unicode))
    return text
