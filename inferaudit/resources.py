"""The only finder of ``checks/`` and ``templates/``: inside the wheel, or beside the package in a checkout.

Editable installs ignore hatchling's force-include, hence the second place.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from inferaudit.errors import ResourceError


@cache
def resource_folder(name: str) -> Path:
    """The folder `name` (``checks`` or ``templates``); :class:`ResourceError` when the installation lost it."""
    package = Path(__file__).resolve().parent
    for candidate in (package / name, package.parent / name):
        if candidate.is_dir():
            return candidate
    raise ResourceError(f"this installation of inferaudit has no {name}/ folder; reinstall it")
