"""io_uring: what has arrived on many connections, handed over in one call (Linux 6.1 and newer, where it is allowed).

A connection is armed once. Whatever it receives then lies, with the kernel's stamp, in a buffer that the kernel took
from ours, until the connection ends or is cancelled (a multishot receive): no poll and no call for each token.
Everything the kernel does here it does inside our own calls (DEFER_TASKRUN), so that memory shared with it needs no
barriers. Where a ring cannot be had (another system, an older kernel, a container's seccomp profile), `ring` says None
and epoll reads.

Source: io_uring_setup(2), io_uring_enter(2), io_uring_register(2), linux/io_uring.h; stamps as in `clock`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import select
import socket
import struct
import sys
from collections.abc import Iterator
from time import time_ns
from typing import Any, Generic, TypeVar

SWITCH = "INFERAUDIT_IO_URING"  # a way out, where the kernel is not to be asked
_SETUP, _ENTER, _REGISTER = 425, 426, 427  # the same numbers on every architecture that Python wheels exist for
# CQSIZE, SUBMIT_ALL, TASKRUN_FLAG, SINGLE_ISSUER, DEFER_TASKRUN
_FLAGS = 1 << 3 | 1 << 7 | 1 << 9 | 1 << 12 | 1 << 13
_SQES_AT = 0x1000_0000
_REGISTER_EVENTFD, _REGISTER_BUFFERS = 4, 22
_GETEVENTS = 1
_RECVMSG, _ASYNC_CANCEL = 10, 14
_BUFFER_SELECT, _QUIET, _MULTISHOT = 1 << 5, 1 << 6, 1 << 1
_WAITING = 1 << 1 | 1 << 2  # of the ring: completions that had no room, connections that have received
_MORE = 1 << 1  # of a completion: the receive stays armed
_CALLS = 8  # submissions at once; each is submitted as soon as it is made
_COMPLETIONS = 2_048
_BUFFERS, _BUFFER_BYTES = 1_024, 16_384  # memory is taken only for what is written
_AT_ONCE = 20  # the kernel looks at this many connections a call, and at the rest in the next
_ENOUGH = 512  # reads in a row, then others have their turn

_PARAMS = struct.Struct("=4I I 5I 8IQ 8IQ")
_SQE = struct.Struct("=BBHiQQIIQHHiQQ")
_CQE = struct.Struct("=QiI")
_BUFFER = struct.Struct("=QIH")
_MSGHDR = struct.Struct("@PIPNPNi4x")
_CONTROL_BYTES = 32  # a control message of two 64-bit numbers
_OUT = struct.Struct("=4x II 20x qq")  # io_uring_recvmsg_out: name, control, payload, flags; then the stamp
_PAYLOAD = 16 + _CONTROL_BYTES

Owner = TypeVar("Owner")


class Ring(Generic[Owner]):
    """Receives for the owners of connections. `fd` tells epoll, once (EPOLLET), that `arrived` has something to give.

    Only the thread that made it may use it. OSError where the kernel has no such thing or does not allow it.
    """

    def __init__(self) -> None:
        self._call = ctypes.CDLL(None, use_errno=True).syscall
        self._call.argtypes = (ctypes.c_long,) * 7
        self._owners: dict[int, tuple[Owner, int]] = {}
        self._next = 1
        self._reminded = False
        self._given = _BUFFERS  # buffers the kernel has had of us
        self._ring = -1
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        params = ctypes.create_string_buffer(_PARAMS.size)
        _PARAMS.pack_into(params, 0, _CALLS, _COMPLETIONS, _FLAGS, *(0,) * 25)
        try:
            self._ring = self._done(_SETUP, _CALLS, ctypes.addressof(params))
            self._map(_PARAMS.unpack_from(params))
            self._give_buffers()
            told = ctypes.c_int(self.fd)
            self._done(_REGISTER, self._ring, _REGISTER_EVENTFD, ctypes.addressof(told), 1)
        except OSError:
            self.close()
            raise

    def arm(self, fd: int, owner: Owner) -> int:
        """From now on receive what arrives on `fd`; the token to cancel it with."""
        token, self._next = self._next, self._next + 1
        self._owners[token] = owner, fd
        self._arm(fd, token)
        return token

    def cancel(self, token: int) -> None:
        """Receive no more; before the connection is closed, which the kernel would otherwise keep open."""
        if self._owners.pop(token, None) is None:
            return
        with contextlib.suppress(OSError):  # in another thread: closing the ring cancels as well, only later
            self._submit(_ASYNC_CANCEL, _QUIET, 0, -1, token, 0, 0, _GETEVENTS)

    def arrived(self) -> Iterator[tuple[Owner, int, int, int, memoryview]]:
        """All that has: (owner, size, kernel's stamp or 0, time of reading, bytes until the next is asked for).

        Size 0 is the end, a negative one the error's number; nothing more comes from that connection then.
        """
        owners, view, buffers, stamped = self._owners, self._view, self._buffers, _OUT.unpack_from
        put, ring, first, count = _BUFFER.pack_into, self._pool, self._first, 0
        # `fd` also tells of what was handed over a moment ago: half of the times there is nothing.
        if not self._reminded and self._head[0] == self._tail[0] and not self._state[0] & _WAITING:
            return
        self._reminded = False
        while count < _ENOUGH:
            self._call(_ENTER, self._ring, 0, 0, _GETEVENTS, 0, 0)
            now, head, tail = time_ns(), self._head[0], self._tail[0]
            fresh = (tail - head) & 0xFFFF_FFFF
            count += fresh
            given, again = self._given, []
            while head != tail:
                at = head & (_COMPLETIONS - 1)
                part = min((tail - head) & 0xFFFF_FFFF, _COMPLETIONS - at)
                for token, size, flags in _CQE.iter_unpack(self._completions[16 * at : 16 * (at + part)]):
                    owned = owners.get(token)
                    if flags & 1:  # it lies in a buffer of ours
                        buffer = flags >> 16
                        begin = buffer * _BUFFER_BYTES
                        if owned is not None:
                            control, length, seconds, stamp = stamped(buffers, begin)
                            stamp = seconds * 1_000_000_000 + stamp if control else 0
                            yield owned[0], length, stamp, now, view[begin + _PAYLOAD : begin + size]
                        if given & (_BUFFERS - 1) != buffer:  # else that place in the pool says it still
                            put(ring, 16 * (given & (_BUFFERS - 1)), first + begin, _BUFFER_BYTES, buffer)
                        given += 1
                    elif owned is not None and size != -errno.ENOBUFS:
                        yield owned[0], size, 0, now, view[:0]
                    if not flags & _MORE and token in owners:
                        if size == -errno.ENOBUFS or size > _PAYLOAD:
                            again.append(token)
                        else:
                            del owners[token]
                head = (head + part) & 0xFFFF_FFFF
            self._head[0] = head
            self._given = given
            self._pool_tail[0] = given & 0xFFFF
            for token in again:
                if token in owners:
                    self._arm(owners[token][1], token)
            if fresh < _AT_ONCE:
                return
        self.remind()

    def remind(self) -> None:
        """Let `fd` tell once more: something may be left."""
        self._reminded = True
        os.eventfd_write(self.fd, 1)

    def close(self) -> None:
        """Give everything back; what is still armed is cancelled first."""
        for token in list(self._owners):
            self.cancel(token)
        for fd in (self._ring, self.fd):
            if fd >= 0:
                os.close(fd)
        self._ring = self.fd = -1

    def _map(self, params: tuple[int, ...]) -> None:
        """Map what is shared: heads, tails and completions in one piece, submissions in another."""
        sq, cq = params[10:19], params[19:28]
        size = max(cq[5] + 16 * params[1], sq[6] + 4 * params[0])
        self._rings = memoryview(mmap.mmap(self._ring, size))
        self._submissions = mmap.mmap(self._ring, 64 * params[0], offset=_SQES_AT)
        numbers = (self._rings[at : at + 4].cast("I") for at in (sq[1], sq[4], cq[0], cq[1]))
        self._sq_tail, self._state, self._head, self._tail = numbers
        for i in range(params[0]):  # the indirection that newer kernels can do without
            struct.pack_into("=I", self._rings, sq[6] + 4 * i, i)
        self._completions = self._rings[cq[5] : cq[5] + 16 * params[1]]
        if params[1] != _COMPLETIONS:
            raise OSError(errno.EINVAL, "another number of completions")

    def _give_buffers(self) -> None:
        self._pool = mmap.mmap(-1, 16 * _BUFFERS)
        self._buffers = mmap.mmap(-1, _BUFFERS * _BUFFER_BYTES)
        self._view = memoryview(self._buffers)
        self._first = ctypes.addressof(ctypes.c_char.from_buffer(self._buffers))
        for i in range(_BUFFERS):
            _BUFFER.pack_into(self._pool, 16 * i, self._first + i * _BUFFER_BYTES, _BUFFER_BYTES, i)
        pool = ctypes.addressof(ctypes.c_char.from_buffer(self._pool))
        wanted = ctypes.create_string_buffer(struct.pack("=QIHH3Q", pool, _BUFFERS, 0, 0, 0, 0, 0))
        self._done(_REGISTER, self._ring, _REGISTER_BUFFERS, ctypes.addressof(wanted), 1)
        self._pool_tail = memoryview(self._pool)[14:16].cast("H")
        self._pool_tail[0] = _BUFFERS
        self._message = ctypes.create_string_buffer(_MSGHDR.pack(0, 0, 0, 0, 0, _CONTROL_BYTES, 0))

    def _arm(self, fd: int, token: int) -> None:
        self._submit(_RECVMSG, _BUFFER_SELECT, _MULTISHOT, fd, ctypes.addressof(self._message), 1, token, 0)

    def _submit(
        self, call: int, how: int, more: int, fd: int, address: int, length: int, token: int, enter: int
    ) -> None:
        tail = self._sq_tail[0]
        at = 64 * (tail & (_CALLS - 1))
        _SQE.pack_into(self._submissions, at, call, how, more, fd, 0, address, length, 0, token, 0, 0, 0, 0, 0)
        self._sq_tail[0] = (tail + 1) & 0xFFFF_FFFF
        self._done(_ENTER, self._ring, 1, 0, enter)

    def _done(self, *arguments: int) -> int:
        result: int = self._call(*arguments, *(0,) * (7 - len(arguments)))
        if result < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return result


def ring() -> Ring[Any] | None:
    """A ring that was seen to tell and to receive, or None; nothing is asked of the kernel where `SWITCH` is 0."""
    if sys.platform != "linux" or struct.calcsize("P") != 8 or os.environ.get(SWITCH) == "0":
        return None
    try:
        made = Ring[Any]()
    except (OSError, AttributeError):
        return None
    with contextlib.suppress(OSError):
        if _works(made):
            return made
    made.close()
    return None


def _works(made: Ring[Any]) -> bool:
    here, there = socket.socketpair()
    with here, there:
        token = made.arm(here.fileno(), None)
        there.send(b"?")
        poller = select.poll()
        poller.register(made.fd, select.POLLIN)
        told, got = poller.poll(0), [bytes(data) for *_, data in made.arrived()]
        made.cancel(token)
    return bool(told) and got == [b"?"]
