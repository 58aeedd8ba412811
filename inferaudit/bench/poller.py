"""Readiness: Linux's epoll, elsewhere what `selectors` finds, behind the four calls the loop makes."""

from __future__ import annotations

import contextlib
import select
import selectors
import sys

ONCE = getattr(select, "EPOLLET", 0)  # told again only after something new has happened; epoll's


class _Selector:
    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def register(self, fd: int, mask: int) -> None:
        self._selector.register(fd, _events(mask))

    def modify(self, fd: int, mask: int) -> None:
        self._selector.modify(fd, _events(mask))

    def unregister(self, fd: int) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(fd)

    def poll(self, timeout: float, most: int = -1) -> list[tuple[int, int]]:
        """(descriptor, 1 readable | 4 writable) of all that is ready; `timeout` in seconds. `most` is epoll's."""
        return [
            (key.fd, (1 if mask & selectors.EVENT_READ else 0) | (4 if mask & selectors.EVENT_WRITE else 0))
            for key, mask in self._selector.select(timeout)
        ]

    def close(self) -> None:
        self._selector.close()


def _events(mask: int) -> int:
    return (selectors.EVENT_READ if mask & 1 else 0) | (selectors.EVENT_WRITE if mask & 4 else 0)


if sys.platform == "linux":
    Poller = select.epoll
else:  # pragma: no cover  # exercised by its own test on Linux as well
    Poller = _Selector
