"""The report itself: the published document, in the order in which it was built, the same bytes every time."""

from __future__ import annotations

import json

from inferaudit.errors import SnapshotError
from inferaudit.model import Report
from inferaudit.render._options import Options


def render(report: Report, *, options: Options) -> str:
    """Canonical JSON. ASCII only: whatever a name holds, no terminal and no log viewer acts on it."""
    try:
        return json.dumps(report.data, indent=2, ensure_ascii=True, allow_nan=False) + "\n"
    except ValueError as error:
        raise SnapshotError(f"the report holds a number that JSON cannot say: {error}") from error
