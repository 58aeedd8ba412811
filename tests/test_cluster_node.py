"""`make cluster`: it can be audited by the line that it prints, and it leaves nothing, even when it was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cluster import TESTS
from support.images import cache_folder
from support.node import leftovers

# One machine holds one real node: the file's name puts it before those that share the session's.
pytestmark = [pytest.mark.node, pytest.mark.timeout(400), pytest.mark.xdist_group("node")]

PLAYGROUND = [sys.executable, "-m", "support.playground"]
ENV = {**os.environ, "PYTHONPATH": str(TESTS)}


def down() -> str:
    done = subprocess.run([*PLAYGROUND, "down"], env=ENV, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def said(log: Path, process: subprocess.Popen[bytes]) -> str:
    """What it printed, once it has told how to take it down."""
    deadline = time.monotonic() + 240
    while "Take it down" not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)
    return log.read_text()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    log = tmp_path / "cluster.log"
    with log.open("wb") as stream:
        process = subprocess.Popen([*PLAYGROUND, "up"], env=ENV, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
    yield process, log
    down()
    process.wait(30)


def test_it_is_audited_by_the_line_that_it_prints(
    cluster: tuple[subprocess.Popen[bytes], Path], tmp_path: Path
) -> None:
    process, log = cluster
    lines = said(log, process).splitlines()
    audit = next(line.strip() for line in lines if "CHAT_KEY=" in line)
    report = tmp_path / "report.json"
    command = f"{audit} --no-progress -o json={report}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=200, check=False)
    assert report.exists(), done.stderr
    answer = json.loads(report.read_text())
    assert [(f["check"], f["message"]) for f in answer["findings"] if f["gates"]] == []
    assert (done.returncode, answer["verdict"]) == (0, "GO")

    config = next(line.split()[1] for line in lines if line.startswith("kubeconfig"))
    kubectl = ["kubectl", f"--kubeconfig={config}", f"--cache-dir={tmp_path}"]
    where = [*kubectl, "get", "node", "real-0", "-o", "jsonpath={.status.allocatable.nvidia\\.com/gpu}"]
    assert subprocess.run(where, capture_output=True, text=True, timeout=60, check=True).stdout == "8"
    second = subprocess.run([*PLAYGROUND, "up"], env=ENV, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 2
    assert "it runs already" in second.stderr

    process.send_signal(signal.SIGINT)  # Ctrl-C
    assert process.wait(150) == 0
    assert "everything is taken down" in log.read_text()
    assert leftovers() == []
    assert not (cache_folder() / "cluster").exists()
    assert "nothing to take down" in down()


def test_what_a_killed_one_leaves_is_cleared_away(cluster: tuple[subprocess.Popen[bytes], Path]) -> None:
    process, log = cluster
    said(log, process)
    folder = str(cache_folder() / "cluster")
    process.kill()
    process.wait(30)
    assert leftovers()
    assert "everything is taken down" in down()
    assert leftovers() == []
    assert folder not in Path("/proc/mounts").read_text()
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, timeout=30, check=True).stdout
    assert folder not in running
    rules = subprocess.run(["iptables-save"], capture_output=True, text=True, timeout=30, check=True).stdout
    assert "KUBE-" not in rules
