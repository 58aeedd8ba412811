"""Reading a JSON report back."""

from __future__ import annotations

from pathlib import Path

import msgspec

from inferaudit.errors import SnapshotError
from inferaudit.model import Report

SCHEMA = "inferaudit.report/v1"


def load_report(path: Path) -> Report:
    """The report in `path`; :class:`SnapshotError` says why it is none."""
    try:
        data = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise SnapshotError(f"cannot read the report {path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise SnapshotError(f"{path} is not a JSON report: {error}") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, dict) else type(data).__name__
        raise SnapshotError(f"{path} is not a report of {SCHEMA} (found {found!r}); make one with -o json=PATH")
    return Report(data)
