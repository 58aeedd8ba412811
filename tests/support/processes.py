"""Real programs as children of a test: started with a log, watched, and never left behind."""

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

START_S = 60.0  # a cold page cache on a busy two-core machine
GRACE_S = 5.0  # between asking a process to end and ending it

# Runs the program so that it dies with the test process, even when that is
# killed and no clean-up code runs. A launcher and not `preexec_fn`, which is
# unsafe beside threads. Without prctl (not Linux) the program just runs.
_DIE_WITH_PARENT = """
import ctypes, os, signal, sys
parent = int(sys.argv[1])
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != parent:
    sys.exit("the parent is gone already")
os.execv(sys.argv[2], sys.argv[2:])
"""


class ProcessError(RuntimeError):
    """A program ended, or was not ready in time; the message ends with its log."""


class Processes:
    """The programs of one test, each with `<name>.log` in the folder.

    On Linux they die with the thread that started them, so start them from one
    that outlives them (a fixture's).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, program: Path, *args: str, env: Mapping[str, str] | None = None) -> None:
        """Starts it in the folder; it gets a session of its own, for Ctrl-C is for the tests, which then stop it."""
        launch = [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid()), str(program), *args]
        with (self.folder / f"{name}.log").open("wb") as log:
            self.running[name] = subprocess.Popen(
                launch,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=None if env is None else {**os.environ, **env},
                start_new_session=True,
            )

    def until(self, what: str, ready: Callable[[], bool], *, timeout_s: float = START_S) -> None:
        """Returns when ready; ProcessError when a program ends before, or the time is up."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            for name, process in self.running.items():
                if process.poll() is not None:
                    said = self.tail(name)
                    raise ProcessError(f"{name} ended with {process.returncode}, still waiting for {what}\n{said}")
            if time.monotonic() > deadline:
                raise ProcessError("\n".join([f"not within {timeout_s:g} s: {what}", *map(self.tail, self.running)]))
            time.sleep(0.02)

    def stop(self) -> None:
        """Ends all, the last started first, so that nobody logs the loss of what it stands on."""
        for process in reversed(self.running.values()):
            process.terminate()
            try:
                process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(GRACE_S)

    def tail(self, name: str, lines: int = 20) -> str:
        """The end of a program's log, under a heading."""
        text = (self.folder / f"{name}.log").read_text(errors="replace").splitlines()
        return "\n".join([f"--- the end of {name}.log", *text[-lines:]])


def free_port() -> int:
    """A loopback port nobody listens on, below the range outgoing connections are given theirs from."""
    for _ in range(200):
        port = 20_000 + secrets.randbelow(10_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise ProcessError("no free loopback port between 20000 and 30000")
