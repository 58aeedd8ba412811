"""XIDs of the kernel log: from a pipe that gives one record a read, as /dev/kmsg does, and from journalctl's JSON."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.nvml import gpu, nvml_in_process, script

from inferaudit.collect.gpu import collect_gpus
from inferaudit.collect.kernel_log import KMSG, read_kernel_log
from inferaudit.facts.gpu import Gpu
from inferaudit.facts.kernel_log import KernelLog
from inferaudit.plan import GpuPlan

GPUS = [Gpu(node="n1", index=0, uuid="GPU-a", pci_bus_id="00000000:1B:00.0")]
FELL_OFF = "NVRM: Xid (PCI:0000:1b:00): 79, pid=1234, name=python3, GPU has fallen off the bus."


@contextmanager
def kmsg(records: Sequence[tuple[int, float, str]]) -> Iterator[str]:
    """A path whose every read gives one record; each is (number, seconds since the node started, text)."""
    reading, writing = os.pipe2(os.O_DIRECT | os.O_NONBLOCK)
    try:
        for number, at_s, text in records:
            os.write(writing, f"3,{number},{round(at_s * 1e6)},-;{text}\n SUBSYSTEM=pci\n".encode())
        yield f"/proc/self/fd/{reading}"
    finally:
        os.close(reading)
        os.close(writing)


def journalctl(folder: Path, *entries: object, stderr: str = "", stuck_after: int | None = None) -> str:
    """A program that prints these entries as journalctl -o json does: oldest first, or with -r newest first.

    After `stuck_after` of them it says no more, as on a disk that is slow.
    """
    path = folder / "journalctl"
    lines = "\n".join(json.dumps(entry) for entry in entries)
    (folder / "lines").write_text(lines + "\n" if lines else "")
    first = "" if stuck_after is None else f" | head -n {stuck_after}; exec sleep 30"
    path.write_text(
        f"#!/bin/sh\ncase \" $* \" in *' -r '*) order=tac;; *) order=cat;; esac\n"
        f"$order {folder}/lines{first}\necho '{stderr}' >&2\n"
    )
    path.chmod(0o755)
    return str(path)


def entry(at_s: float, text: object) -> dict[str, object]:
    return {"__MONOTONIC_TIMESTAMP": str(round(at_s * 1e6)), "MESSAGE": text, "_BOOT_ID": "b"}


def now() -> float:
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def read(records: Sequence[tuple[int, float, str]], journal: str = "no-such-program") -> KernelLog:
    with kmsg(records) as path:
        return read_kernel_log("n1", GPUS, kmsg=path, journal=journal)


@pytest.mark.parametrize(
    ("line", "xid", "gpu_uuid"),
    [
        (FELL_OFF, 79, "GPU-a"),
        ("NVRM: Xid (PCI:0000:1b:00 GPU-I:05): 13, pid='<unknown>', name=<unknown>, Graphics Exception", 13, "GPU-a"),
        ("NVRM: NVRM: Xid (PCI:0000:1b:00.0): 48, an uncorrectable double bit error", 48, "GPU-a"),
        ("NVRM: Xid (0000:1b:00): 31, Ch 00000010", 31, "GPU-a"),
        ("NVRM: Xid (PCI:0001:00:00): 154, GPU recovery action changed from 0x0 (None)", 154, None),
    ],
)
def test_the_forms_of_an_xid_line(line: str, xid: int, gpu_uuid: str | None) -> None:
    (event,) = read([(0, 0.0, "Linux version"), (1, now() - 60, line)]).events
    assert (event.xid, event.gpu) == (xid, gpu_uuid)
    assert event.age_s == pytest.approx(60, abs=5)


@pytest.mark.parametrize(
    "line",
    [
        "nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 28006, Non-fatal, Link 46 MC TS crumbstore MCTO",
        "NVRM: loading NVIDIA UNIX x86_64 Kernel Module  550.54.15",
        "audit: somebody wrote Xid (PCI:0000:1b:00): 79 here",
        "NVRM: Xid (PCI:0000:1b:00): none",
    ],
)
def test_other_lines_are_none(line: str) -> None:
    assert read([(0, 0.0, "Linux version"), (1, 1.0, line)]).events == ()


def test_the_log_itself_names_a_gpu_that_the_driver_no_longer_lists() -> None:
    uuid = "GPU-c4a80165-86e4-bfbb-ecfa-1d81a70b138a"
    lines = [f"NVRM: GPU at PCI:0000:3b:00: {uuid}", "NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus."]
    (event,) = read([(number, number + 1.0, line) for number, line in enumerate(lines)]).events
    assert (event.gpu, event.pci_bus_id) == (uuid, "0000:3b:00")


def test_how_far_back_it_goes() -> None:
    whole = read([(0, 0.0, "Linux version"), (1, 5.0, "x")])
    assert (whole.source, whole.whole_boot, whole.error) == (KMSG, True, None)
    overwritten = read([(4711, now() - 600, "x")])
    assert not overwritten.whole_boot
    assert overwritten.reach_s == pytest.approx(600, abs=5)
    assert "10 min of /dev/kmsg" in overwritten.period


def test_the_newest_are_kept_and_the_cut_is_said() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inferaudit.collect.kernel_log._MAX_EVENTS", 2)
        log = read([(0, 0.0, "x"), *((n, n + 1.0, FELL_OFF.replace("79", str(n))) for n in (13, 31, 43))])
    assert log.truncated
    assert [event.xid for event in log.events] == [31, 43]


def test_a_journal_that_goes_back_further_is_taken(tmp_path: Path) -> None:
    journal = journalctl(tmp_path, entry(1.0, "Linux version"), entry(5.0, FELL_OFF), entry(6.0, [120, 255]))
    log = read([(4711, now() - 60, "x")], journal)
    assert (log.source, log.whole_boot) == ("journal", True)
    assert [event.xid for event in log.events] == [79]
    assert read([(0, 0.0, "x")], journal).source == KMSG, "which has the whole boot"


@pytest.mark.parametrize("cut", ["time", "records"])
def test_a_journal_that_is_cut_lacks_its_oldest_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    if cut == "time":
        monkeypatch.setattr("inferaudit.collect.kernel_log._LIMIT_S", 1.0)
    else:
        monkeypatch.setattr("inferaudit.collect.kernel_log._MAX_RECORDS", 2)
    lines = [entry(1.0, "Linux version"), entry(2.0, "x"), entry(now() - 50, "y"), entry(now() - 5, FELL_OFF)]
    journal = journalctl(tmp_path, *lines, stuck_after=2 if cut == "time" else None)
    log = read_kernel_log("n1", kmsg="/", journal=journal)
    assert [event.xid for event in log.events] == [79]
    assert (log.whole_boot, log.reach_s) == (False, pytest.approx(50, abs=10))


def test_a_journal_that_says_nothing_in_time_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferaudit.collect.kernel_log._LIMIT_S", 0.3)
    log = read_kernel_log("n1", kmsg="/", journal=journalctl(tmp_path, entry(1.0, "x"), stuck_after=0))
    assert "no line of the kernel within 0.3 s" in (log.error or "")


def test_a_journal_is_read_as_far_back_as_is_of_use(tmp_path: Path) -> None:
    lines = [entry(1.0, "Linux version"), *(entry(at, FELL_OFF) for at in (2.0, 3.0, now()))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inferaudit.collect.kernel_log.LOOKBACK_S", now() - 100)
        log = read_kernel_log("n1", kmsg="/", journal=journalctl(tmp_path, *lines))
    assert (len(log.events), log.whole_boot) == (1, True), "the first line beyond it tells how far that is"
    assert log.reach_s == pytest.approx(now() - 3, abs=10)


def test_a_device_that_is_not_read_to_its_end_gives_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferaudit.collect.kernel_log._MAX_RECORDS", 2)
    log = read([(0, 0.0, "Linux version"), (1, 1.0, "x"), (2, 2.0, FELL_OFF)])
    assert "newest lines were not reached" in (log.error or "")
    assert not log.whole_boot


def test_lines_that_were_lost_while_reading_end_the_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    given = os.read
    answers = iter([None, BrokenPipeError()])

    def lossy(handle: int, size: int) -> bytes:  # a full ring buffer cannot be made without writing to the kernel's
        if (fault := next(answers, None)) is not None:
            raise fault
        return given(handle, size)

    with kmsg([(0, 0.0, "Linux version"), (9000, now() - 30, "x")]) as path:
        monkeypatch.setattr("inferaudit.collect.kernel_log.os.read", lossy)
        log = read_kernel_log("n1", kmsg=path, journal="no-such-program")
    assert (log.whole_boot, log.reach_s) == (False, pytest.approx(30, abs=5))


def test_a_closed_device_and_an_open_journal(tmp_path: Path) -> None:
    log = read_kernel_log("n1", kmsg="/", journal=journalctl(tmp_path, entry(500.0, FELL_OFF)))
    assert (log.source, log.whole_boot, log.error) == ("journal", False, None)
    assert [event.pci_bus_id for event in log.events] == ["0000:1b:00"]


@pytest.mark.parametrize(
    ("stderr", "said"),
    [
        ("No journal files were opened due to insufficient permissions.", "insufficient permissions"),
        ("", "no line of the kernel"),
    ],
)
def test_when_neither_may_be_read_both_say_why(tmp_path: Path, stderr: str, said: str) -> None:
    log = read_kernel_log("n1", kmsg=str(tmp_path / "none"), journal=journalctl(tmp_path, stderr=stderr))
    assert log.error is not None
    assert log.error.startswith("/dev/kmsg: not there, as in a container")
    assert said in log.error
    assert log.events == ()


def test_a_damaged_record_is_passed_over() -> None:
    reading, writing = os.pipe2(os.O_DIRECT | os.O_NONBLOCK)
    for record in (b"\xff\xfe", b"no fields;NVRM: Xid (PCI:0000:1b:00): 79", b"3,0,1,-;" + FELL_OFF.encode()):
        os.write(writing, record)
    log = read_kernel_log("n1", kmsg=f"/proc/self/fd/{reading}", journal="no-such-program")
    os.close(reading)
    os.close(writing)
    assert [event.xid for event in log.events] == [79]


def test_this_machines_own_log_gives_a_reach_or_a_reason() -> None:
    log = read_kernel_log("n1")
    assert (log.reach_s is None) == (log.error is not None)


def test_the_collector_hands_it_over_with_the_nodes_name(tmp_path: Path) -> None:
    with nvml_in_process(tmp_path, script(gpu(0))):
        facts = collect_gpus(GpuPlan(mode="local", node="gpu-7"), host="host-1", watch_s=0)
    (log,) = facts["gpu.kernel_log"].value
    assert log.node == "gpu-7"


@pytest.mark.parametrize("mode", ["dcgm", "off"])
def test_where_no_log_was_read_the_fact_says_so(mode: str) -> None:
    facts = collect_gpus(GpuPlan(mode=mode, dcgm_url="http://127.0.0.1:9/metrics"))  # type: ignore[arg-type]  # both are modes
    assert facts["gpu.kernel_log"].error is not None
