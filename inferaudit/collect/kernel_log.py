"""XIDs of the time before the audit, from this host's kernel log: ``/dev/kmsg``, or the journal where that goes back
further or alone may be read. Read-only, bounded, and a log that may not be read costs nothing else.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from inferaudit.decoding import decoder
from inferaudit.facts.gpu import Gpu
from inferaudit.facts.kernel_log import KernelLog, LoggedXid

KMSG = "/dev/kmsg"
LOOKBACK_S = 7 * 24 * 3600.0
_MAX_EVENTS = 1000
_MAX_RECORDS = 500_000
_RECORD_BYTES = 8192  # the kernel's own limit for one record
_LIMIT_S = 10.0
_BOOT_S = 120.0  # a journal whose first line is from the first two minutes has the whole boot
# "NVRM: Xid (PCI:0000:1b:00): 79, pid=…", with a function or a MIG instance behind the address, or without "PCI:".
_ADDRESS = r"(?:PCI:)?([0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2})"
_XID = re.compile(rf"NVRM: Xid \({_ADDRESS}[^)]*\): (\d{{1,4}})\b")
# "NVRM: GPU at PCI:0000:01:00: GPU-c4a80165-…" stands before the first XID of a GPU.
_NAMED = re.compile(rf"NVRM: GPU at {_ADDRESS}[.\d]*: (GPU-[0-9a-f]{{8}}(?:-[0-9a-f]{{4,12}}){{4}})")


class _Line(NamedTuple):
    """A line of the log; `at_s` counts from the node's start."""

    at_s: float
    text: str


class _Unreadable(Exception):  # noqa: N818  # no error of the program: why a log gives nothing
    """The text says why."""


def read_kernel_log(node: str, gpus: Iterable[Gpu] = (), *, kmsg: str = KMSG, journal: str = "journalctl") -> KernelLog:
    """This host's log as `node`'s. `gpus` give the UUIDs of bus addresses. Never raises: `error` says why it has none.

    `kmsg` is the device; `journal` the program that prints the journal, asked only where the device is closed or has
    lost lines that are not old enough.
    """
    uuids = {place: gpu.uuid for gpu in gpus if gpu.uuid and (place := _place(gpu.pci_bus_id)) is not None}
    why, best = [], None
    try:
        best = _read(node, KMSG, _kmsg_lines(kmsg), uuids)
    except _Unreadable as reason:
        why.append(f"{KMSG}: {reason}")
    if best is None or (not best.whole_boot and (best.reach_s or 0.0) < LOOKBACK_S):
        try:
            other = _read(node, "journal", _journal_lines(journal), uuids)
            if best is None or (other.reach_s or 0.0) > (best.reach_s or 0.0):
                best = other
        except _Unreadable as reason:
            why.append(f"journal: {reason}")
    return best or KernelLog(node=node, error="; ".join(why))


def _read(node: str, source: str, lines: Sequence[_Line], uuids: dict[tuple[int, int, int], str]) -> KernelLog:
    """`lines`: the one that the log goes back to, then the driver's, oldest first."""
    if not lines:
        raise _Unreadable("it holds no line of the kernel")
    events: list[LoggedXid] = []
    found: list[tuple[_Line, str, int]] = []
    named, truncated = dict(uuids), False
    oldest = lines[0].at_s
    whole = oldest <= (0.0 if source == KMSG else _BOOT_S)
    for line in lines[1:]:
        if (name := _NAMED.search(line.text)) and (place := _place(name[1])) is not None:
            named.setdefault(place, name[2])
        if match := _XID.search(line.text):
            found.append((line, match[1].lower(), int(match[2])))
            if len(found) > _MAX_EVENTS:  # the newest matter most
                truncated = True
                del found[0]
    now = time.clock_gettime(time.CLOCK_MONOTONIC)
    for line, address, xid in found:
        age_s = max(0.0, now - line.at_s)
        if age_s <= LOOKBACK_S:
            gpu = named.get(_place(address) or (-1, -1, -1))
            events.append(LoggedXid(xid=xid, age_s=round(age_s, 3), pci_bus_id=address, gpu=gpu))
    reach_s = round(max(0.0, now - oldest), 3)
    return KernelLog(
        node=node, source=source, reach_s=reach_s, whole_boot=whole, events=tuple(events), truncated=truncated
    )


def _place(bus_id: str | None) -> tuple[int, int, int] | None:
    """(domain, bus, device): the driver writes the domain with eight digits and a function, the log with four."""
    match = re.match(r"([0-9a-fA-F]{4,8}):([0-9a-fA-F]{2}):([0-9a-fA-F]{2})", bus_id or "")
    return (int(match[1], 16), int(match[2], 16), int(match[3], 16)) if match else None


def _kmsg_lines(path: str) -> list[_Line]:
    """The ring buffer (Documentation/ABI/testing/dev-kmsg: ``prefix,number,µs,flags;text``) as `_read` takes it.

    It gives its oldest record first, so that one which cannot be read to its end lacks the newest: it gives nothing.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise _Unreadable("not there, as in a container that has no privilege") from None
    except OSError as error:
        raise _Unreadable(error.strerror or str(error)) from None
    first, until = True, time.monotonic() + _LIMIT_S
    oldest: _Line | None = None
    drivers: list[_Line] = []
    try:
        for _ in range(_MAX_RECORDS):
            try:
                record = os.read(handle, _RECORD_BYTES)
            except BlockingIOError:
                return [oldest, *drivers] if oldest else []
            except BrokenPipeError:  # lines were lost while we read: the log goes back to the one behind them
                first, oldest = False, None
                continue
            except OSError as error:
                raise _Unreadable(error.strerror or str(error)) from None
            if not record:
                return [oldest, *drivers] if oldest else []
            if time.monotonic() > until:
                break
            head, _, text = record.decode("utf-8", "replace").partition(";")
            fields = head.split(",")
            if len(fields) < 3 or not (fields[1].isdecimal() and fields[2].isdecimal()):
                continue
            # The first record of a boot has the number 0: then nothing was overwritten, whatever its time.
            at_s = 0.0 if first and fields[1] == "0" else max(int(fields[2]) / 1e6, 1e-6)
            first = False
            line = _Line(at_s, text.partition("\n")[0])
            oldest = oldest or line
            if "NVRM" in line.text:
                drivers.append(line)
    finally:
        os.close(handle)
    raise _Unreadable(f"its newest lines were not reached within {_LIMIT_S:g} s and {_MAX_RECORDS} records")


class _Entry(msgspec.Struct):
    """One line of ``journalctl -o json``. A message that is not UTF-8 comes as a list of bytes."""

    monotonic: str = msgspec.field(name="__MONOTONIC_TIMESTAMP", default="")
    message: str | list[int] | None = msgspec.field(name="MESSAGE", default="")


def _journal_lines(program: str) -> list[_Line]:
    """This boot's lines of the kernel that the journal keeps, as `_read` takes them.

    Read from the newest back as far as is of use: what the bounds cut off shortens the reach.
    """
    path = shutil.which(program)
    if path is None:
        raise _Unreadable("journalctl is not here")
    command = [path, "-k", "-b", "0", "-r", "-q", "-o", "json", "--no-pager", "--output-fields=MESSAGE"]
    read, until = decoder(_Entry).decode, time.monotonic() + _LIMIT_S
    enough = time.clock_gettime(time.CLOCK_MONOTONIC) - LOOKBACK_S
    oldest: _Line | None = None
    drivers: list[_Line] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018  # pipes were asked for
        count, guard = 0, threading.Timer(_LIMIT_S, process.kill)
        guard.daemon = True
        guard.start()
        try:
            for raw in process.stdout:
                try:
                    entry = read(raw)
                except msgspec.DecodeError:
                    continue
                if not entry.monotonic.isdecimal():
                    continue
                count += 1
                text = (
                    bytes(entry.message).decode("utf-8", "replace")
                    if isinstance(entry.message, list)
                    else entry.message
                )
                oldest = _Line(int(entry.monotonic) / 1e6, text or "")
                if "NVRM" in oldest.text:
                    drivers.append(oldest)
                if oldest.at_s < enough or count >= _MAX_RECORDS or time.monotonic() > until:
                    break
        finally:
            guard.cancel()
            process.kill()
        said = process.stderr.read(500).decode("utf-8", "replace").strip()
    if oldest is None:
        if time.monotonic() > until:
            raise _Unreadable(f"it gave no line of the kernel within {_LIMIT_S:g} s")
        first = "".join(
            c if c.isprintable() else " " for c in (said.splitlines() or ["it shows no line of the kernel"])[0]
        )
        raise _Unreadable(first[:200])
    return [oldest, *reversed(drivers)]
