"""Waiting awake: only where a core is to spare and no quota is spent on it, and not while others want the core."""

from __future__ import annotations

import os
import time
from itertools import count
from pathlib import Path

import pytest

from inferaudit.bench import vigil
from inferaudit.bench.vigil import AWAKE_NS, Vigil, may_stay_awake

CORES = 8


def cgroups(folder: Path, membership: str, files: dict[str, str]) -> tuple[Path, Path]:
    for name, text in files.items():
        path = folder / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "mine").write_text(membership)
    return folder / "cgroup", folder / "mine"


@pytest.mark.parametrize(
    ("membership", "files", "most"),
    [
        ("0::/\n", {}, 7),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 7),
        ("0::/\n", {"cpu.max": "300000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 0),
        ("0::/pods/one\n", {"pods/one/cpu.max": "max 100000", "pods/cpu.max": "200000 100000"}, 1),
        ("0::/../../elsewhere\n", {"cpu.max": "200000 100000"}, 1),
        ("4:cpu,cpuacct:/pod\n", {"cpu/pod/cpu.cfs_quota_us": "400000", "cpu/pod/cpu.cfs_period_us": "100000"}, 3),
        ("4:cpu,cpuacct:/pod\n", {"cpu/pod/cpu.cfs_quota_us": "-1", "cpu/pod/cpu.cfs_period_us": "100000"}, 7),
        ("5:memory:/\n", {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 7),
        ("nonsense\n\n:\n", {"cpu.max": "much\n"}, 7),
    ],
)
def test_workers_that_may_stay_awake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, membership: str, files: dict[str, str], most: int
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: CORES)
    places = cgroups(tmp_path, membership, files)
    assert [workers for workers in range(1, CORES + 2) if may_stay_awake(workers, *places)] == list(range(1, most + 1))


def test_one_core_is_left_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert not may_stay_awake(1, tmp_path, tmp_path / "none")


def test_it_sleeps_while_others_want_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = iter([100, 105, 300, 303])
    monkeypatch.setattr(vigil, "_taken", lambda: next(taken))
    keeper = Vigil(True)
    seen = [keeper.ns]
    for _ in range(3):
        keeper.learn()
        seen.append(keeper.ns)
    assert seen == [AWAKE_NS, AWAKE_NS, 0, AWAKE_NS]


def test_who_is_not_to_stay_awake_never_does() -> None:
    keeper = Vigil(False)
    keeper.learn()
    assert keeper.ns == 0


def test_what_happens_ends_the_wait() -> None:
    turns = count()
    events, waited = Vigil.wait(lambda timeout: [(7, 1)] if next(turns) == 3 else [], time.monotonic_ns() + 10**12)
    assert events == [(7, 1)]
    assert next(turns) == 4
    assert waited >= 0


def test_nothing_may_happen() -> None:
    until = time.monotonic_ns() + 1_000_000
    events, _ = Vigil.wait(lambda timeout: [], until)
    assert events == []
    assert time.monotonic_ns() >= until
