"""Progress on stderr: a live line on a terminal, plain lines in CI, nothing with ``--quiet`` or ``--no-progress``."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import Any

from inferaudit.escape import line


def say(text: str, end: str = "\n") -> None:
    """Write to stderr; where that is full or gone, the work goes on and its result is written all the same."""
    with contextlib.suppress(OSError):
        print(text, end=end, file=sys.stderr, flush=True)


class Reporter:
    """Says what is going on; a class because a terminal line has a state."""

    def __init__(self, *, quiet: bool = False, progress: bool = True) -> None:
        self.quiet = quiet
        self.shows = progress and not quiet
        self.live = self.shows and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._last_load = 0.0
        self._open = False

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *_: object) -> None:
        self._clear()

    def note(self, text: str) -> None:
        """What a user should know whatever the output: which policy, which cluster."""
        if not self.quiet:
            self._clear()
            say(f"inferaudit: {line(text)}")

    def step(self, text: str) -> None:
        """What is being read now."""
        if not self.shows:
            return
        if self.live:
            self._rewrite(text)
        else:
            say(f"  {line(text)}")

    def load(self, progress: Any) -> None:
        """How the load goes: at most four times a second on a terminal, every ten seconds in a log."""
        now = time.monotonic()
        if not self.shows or now - self._last_load < (0.25 if self.live else 10):
            return
        self._last_load = now
        self.step(str(progress))

    def confirm(self, question: str) -> bool:
        """Ask on the terminal; no answer is no."""
        self._clear()
        say(f"{line(question)} [y/N] ", end="")
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    def _rewrite(self, text: str) -> None:
        width = os.get_terminal_size(sys.stderr.fileno()).columns - 1
        say(f"\r\x1b[K{line(text)[:width]}", end="")
        self._open = True

    def _clear(self) -> None:
        if self._open:
            say("\r\x1b[K", end="")
            self._open = False
