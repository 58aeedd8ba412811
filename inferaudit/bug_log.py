"""The traceback of a bug of ours, in a file of its own: users see one line that names it."""

from __future__ import annotations


def log_bug(error: Exception) -> str:
    """Write it for the bug report; the file's path."""
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="inferaudit-", suffix=".log", delete=False) as file:
        file.write("".join(traceback.format_exception(error)))
    return file.name
