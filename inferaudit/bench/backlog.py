"""Answers that wait to be decoded: in memory up to a bound, then in an unnamed file, decoded when there is time."""

from __future__ import annotations

import contextlib
import ctypes
import marshal
import tempfile
from collections import deque
from collections.abc import Callable
from typing import IO

from inferaudit.bench.raw import Raw

MEMORY_BYTES = 64 << 20
DISK_BYTES = 8 << 30
_AT_ONCE = 256 << 10  # bytes moved to the file in one go: some tenths of a millisecond


class Backlog:
    """A queue of raw requests. Order is not kept across the file: rows are sorted when the stage is over."""

    def __init__(self, memory: int = MEMORY_BYTES, disk: int = DISK_BYTES) -> None:
        self.queue: deque[Raw] = deque()
        self.bytes = 0
        self._memory = memory
        self._disk = disk
        self._file: IO[bytes] | None = None
        self._written = 0
        self._spilled = 0

    def __len__(self) -> int:
        return len(self.queue) + self._spilled

    def append(self, raw: Raw, size: int) -> None:
        """Keep one; `size` is about what it weighs."""
        self.queue.append(raw)
        self.bytes += size

    @property
    def full(self) -> bool:
        """Must some of it go?"""
        return self.bytes > self._memory

    def relieve(self, decode: Callable[[Raw], None]) -> None:
        """Move some to the file; once that is full, decode instead."""
        if self._written > self._disk:
            self.decode_one(decode)
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=1 << 20)  # noqa: SIM115  # closed by drain
        count = min(max(1, _AT_ONCE * len(self.queue) // self.bytes), len(self.queue))
        self.bytes -= self.bytes * count // len(self.queue)
        take = self.queue.popleft
        batch = marshal.dumps([take() for _ in range(count)])
        self._written += self._file.write(len(batch).to_bytes(8) + batch)
        self._spilled += count

    def decode_one(self, decode: Callable[[Raw], None]) -> None:
        """Decode the oldest in memory."""
        self.bytes -= self.bytes // len(self.queue)
        decode(self.queue.popleft())

    def drain(self, decode: Callable[[Raw], None]) -> None:
        """Decode all, file first, and start afresh."""
        if self._file is not None:
            self._file.seek(0)
            while self._spilled > 0:
                size = int.from_bytes(self._file.read(8))  # in one piece: marshal.load asks the file for each number
                batch = marshal.loads(self._file.read(size))  # noqa: S302  # our own bytes, from a file without a name
                self._spilled -= len(batch)
                for raw in batch:
                    decode(raw)
            self._file.close()
            self._file = None
        self._spilled = self._written = 0
        while self.queue:
            decode(self.queue.popleft())
        self.bytes = 0
        _trim()


def _trim() -> None:
    """Give the system back what was freed: glibc keeps it, and the report, which comes next, would come on top."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
