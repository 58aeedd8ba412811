"""Writing a file whole or not at all, and never in the place of something that is no file."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, content: bytes, *, private: bool = False) -> None:
    """Write `content` to `path`, folders made; OSError when the system refuses.

    A file is replaced at once, so that no reader sees half of it. What is no file of its own (a device, a pipe, a
    link such as /dev/stdout) is written through: to put a file in its place would take it away from everybody.
    `private`: a new file is readable by its owner alone (0600).
    """
    mode = 0o600 if private else 0o666
    if path.is_symlink() or (path.exists() and not path.is_file()):
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as through:
            through.write(content)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
            if private:
                os.fchmod(file.fileno(), mode)
            file.write(content)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
