"""The traceback of a bug of ours, in a file of its own: users see one line that names it."""

from __future__ import annotations


def log_bug(error: Exception) -> str:
    """Write it for the bug report; the file's path, or the traceback's last place where no file can be written."""
    import tempfile
    import traceback
    from pathlib import Path

    lines = traceback.format_exception(error)
    try:
        with tempfile.NamedTemporaryFile("w", prefix="inferaudit-", suffix=".log", delete=False) as file:
            file.write("".join(lines))
    except OSError:
        frame = traceback.extract_tb(error.__traceback__)[-1:]
        return "; ".join(f"{Path(each.filename).name}:{each.lineno}" for each in frame) or "no file could be written"
    return file.name
