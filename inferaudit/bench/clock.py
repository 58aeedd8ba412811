"""Clocks: the kernel's own arrival stamps, a timer that does not oversleep, and a check that the clock did not step."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
import sys
import time
from dataclasses import dataclass

# Absent from Python's socket module; the value of Linux on every architecture that Python wheels exist for.
SO_TIMESTAMPNS = getattr(socket, "SO_TIMESTAMPNS", 35)
ANCILLARY_BYTES = 64
STAMP = struct.Struct("qq")
_TIMERSPEC = struct.Struct("qqqq")
_TIGHT_NS = 1_000
_NONBLOCK_CLOEXEC = os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)


def enable_kernel_stamps(sock: socket.socket) -> bool:
    """Ask the kernel to stamp what arrives on `sock` in CLOCK_REALTIME; False where it cannot."""
    if sys.platform != "linux":
        return False
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    except OSError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class ClockReading:
    """CLOCK_REALTIME and CLOCK_MONOTONIC at (nearly) one moment, in nanoseconds; they lie at most `doubt` apart."""

    realtime: int
    monotonic: int
    doubt: int

    @classmethod
    def now(cls, tries: int = 5) -> ClockReading:
        """The tightest of `tries` readings; fewer when one is as tight as they come."""
        best: ClockReading | None = None
        for _ in range(tries):
            before = time.monotonic_ns()
            realtime = time.time_ns()
            after = time.monotonic_ns()
            doubt = (after - before + 1) // 2
            if best is None or doubt < best.doubt:
                best = cls(realtime, (before + after) // 2, doubt)
            if best.doubt < _TIGHT_NS:
                break
        assert best is not None  # noqa: S101  # one reading at least was taken
        return best

    def step_since(self, earlier: ClockReading) -> int:
        """By how much CLOCK_REALTIME was certainly set against CLOCK_MONOTONIC in between.

        Slewing moves both alike. What may be due to the process having been put aside between reading the one and the
        other is no step: on a busy machine that takes milliseconds.
        """
        apart = (self.realtime - earlier.realtime) - (self.monotonic - earlier.monotonic)
        certain = max(0, abs(apart) - self.doubt - earlier.doubt)
        return certain if apart > 0 else -certain


class Timer:
    """A Linux timerfd: wakes epoll within tens of microseconds, where its own timeout is rounded up to milliseconds."""

    def __init__(self) -> None:
        self.fd = -1
        self._armed = 0
        if sys.platform != "linux":
            return
        libc = ctypes.CDLL(None, use_errno=True)
        try:
            self._settime = libc.timerfd_settime
            self.fd = libc.timerfd_create(time.CLOCK_MONOTONIC, _NONBLOCK_CLOEXEC)
        except AttributeError:  # a libc without timerfd
            return
        self._settime.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)

    @property
    def works(self) -> bool:
        """Is there a timerfd here?"""
        return self.fd >= 0

    def arm(self, monotonic_ns: int) -> None:
        """Fire at this CLOCK_MONOTONIC time; an earlier alarm still pending is kept (waking early does no harm)."""
        if time.monotonic_ns() < self._armed <= monotonic_ns:
            return
        self._armed = monotonic_ns
        spec = _TIMERSPEC.pack(0, 0, *divmod(max(1, monotonic_ns), 1_000_000_000))
        self._settime(self.fd, 1, spec, None)  # 1: TFD_TIMER_ABSTIME

    def clear(self) -> None:
        """Take back what has fired, so that a level-triggered poll is not woken by it again."""
        self._armed = 0
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, 8)

    def close(self) -> None:
        """Give the descriptor back."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
