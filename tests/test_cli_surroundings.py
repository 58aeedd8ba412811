"""The command line where streams, files, locale and clock are not as usual."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from inferaudit.cli.outputs import write_text
from inferaudit.errors import UsageError

DEMO = Path(__file__).parent.parent / "templates" / "demo"
SLO = "ttft_p99=500ms,itl_p99=50ms,error_rate=1%,availability=99.9%"
FORMATS = ("json", "html", "markdown", "junit", "sarif", "csv", "github", "prometheus", "codescanning", "terminal")
CLI = [sys.executable, "-m", "inferaudit.cli.app"]


def shell(command: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """`command` in bash, `inferaudit` in it the one under test."""
    return subprocess.run(
        ["bash", "-c", f'inferaudit() {{ "{sys.executable}" -m inferaudit.cli.app "$@"; }}\n{command}'],
        cwd=cwd, capture_output=True, text=True, timeout=300, check=False, env={**os.environ, "COLUMNS": "120", **env},
    )  # fmt: skip


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a snapshot and the reports of the run that made it, its objectives in no alphabetical order."""
    folder = tmp_path_factory.mktemp("audited")
    (folder / "policy.yaml").write_text("service: {name: zeta, owner: alpha}\nparameters: {}\n")
    outputs = [word for name in FORMATS for word in ("-o", f"{name}={folder}/run.{name}")]
    flags = ["-f", f"{folder}/policy.yaml", "--manifests", str(DEMO), "--scope", "manifests", "--slo", SLO]
    done = subprocess.run(
        [*CLI, "run", *flags, "--snapshot", f"{folder}/snapshot", *outputs], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1, done.stderr
    return folder


@pytest.mark.parametrize(
    "env",
    [
        {"TZ": "Pacific/Kiritimati", "LC_ALL": "C", "PYTHONHASHSEED": "7"},
        {"TZ": "America/St_Johns", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "1", "COLUMNS": "40", "LANG": "tr_TR"},
    ],
)
def test_evaluate_gives_the_bytes_of_the_run_anywhere(audited: Path, tmp_path: Path, env: dict[str, str]) -> None:
    outputs = " ".join(f"-o {name}={tmp_path}/again.{name}" for name in FORMATS)
    done = shell(f"inferaudit evaluate {audited}/snapshot {outputs}", tmp_path, **env)
    assert done.returncode == 1, done.stderr
    for name in FORMATS:
        assert (tmp_path / f"again.{name}").read_bytes() == (audited / f"run.{name}").read_bytes(), name
    rows = json.loads((tmp_path / "again.json").read_text())["sla"]["objectives"]
    assert [r["dimension"] for r in rows if r["target"]] == ["ttft_p99", "itl_p99", "error_rate", "availability"]


def test_a_reader_who_leaves_early_changes_neither_verdict_nor_files(audited: Path, tmp_path: Path) -> None:
    done = shell(
        f"inferaudit evaluate {audited}/snapshot -o json -o html={tmp_path}/r.html | head -c 10 >/dev/null\n"
        'echo "code ${PIPESTATUS[0]}"',
        tmp_path,
    )
    assert "code 1" in done.stdout
    assert "inferaudit: NO-GO" in done.stderr
    assert "rror" not in done.stderr.replace("error_rate", "")
    assert (tmp_path / "r.html").read_bytes() == (audited / "run.html").read_bytes()


@pytest.mark.parametrize("command", ["checks list", "evaluate SNAPSHOT"])
def test_streams_that_take_nothing_are_one_line_at_most(audited: Path, tmp_path: Path, command: str) -> None:
    command = command.replace("SNAPSHOT", f"{audited}/snapshot")
    full = shell(f"inferaudit {command} >/dev/full", tmp_path)
    assert full.returncode == 2
    assert full.stderr.splitlines()[-1].startswith("error: cannot write")
    assert "Traceback" not in full.stderr
    assert len(full.stderr.splitlines()) == 1
    closed = shell(f"inferaudit {command} >&- 2>&-", tmp_path)
    assert closed.returncode == (1 if "evaluate" in command else 0)


def test_a_device_or_a_pipe_stays_what_it_is(audited: Path, tmp_path: Path) -> None:
    """To put a file in the place of /dev/null would take it away from everybody."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "kept.json").write_text("old")
    (tmp_path / "link.json").symlink_to(tmp_path / "kept.json")
    done = shell(
        f"cat pipe > read.html & inferaudit evaluate {audited}/snapshot -o html=pipe -o json=link.json "
        "-o csv=/dev/stdout > said.csv; wait",
        tmp_path,
    )
    assert "rror:" not in done.stderr
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert (tmp_path / "read.html").read_bytes() == (audited / "run.html").read_bytes()
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "kept.json").read_bytes() == (audited / "run.json").read_bytes()
    assert (tmp_path / "said.csv").read_bytes() == (audited / "run.csv").read_bytes()
    assert not list(tmp_path.glob("*.partial"))


def test_what_cannot_be_written_is_one_line_and_leaves_nothing(audited: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = shell(f"inferaudit evaluate {audited}/snapshot -o json=file/r.json", tmp_path)
    assert (done.returncode, done.stderr) == (2, "error: cannot write file/r.json: Not a directory\n")
    for path in (audited, tmp_path / f"{'n' * 300}.json"):
        with pytest.raises(UsageError, match="cannot write"):
            write_text(path, "text")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("flag", ["-o html=.", "-o html=file/r.html", "--snapshot file/s", f"-o json={'n' * 300}"])
def test_a_place_that_takes_no_file_is_told_before_anything_is_contacted(tmp_path: Path, flag: str) -> None:
    (tmp_path / "file").write_text("")
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        done = shell(f"inferaudit run --url {url} --scope endpoint {flag}", tmp_path)
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert done.returncode == 2
    assert done.stderr.startswith("error: cannot write ")


def test_one_output_that_fails_takes_no_other_with_it(audited: Path, tmp_path: Path) -> None:
    done = shell(f"inferaudit evaluate {audited}/snapshot -o csv=/dev/full -o html=r.html -o terminal", tmp_path)
    assert (done.returncode, done.stderr) == (2, "error: cannot write /dev/full: No space left on device\n")
    assert (tmp_path / "r.html").read_bytes() == (audited / "run.html").read_bytes()
    assert "NO GO" in done.stdout


def test_the_package_is_the_command() -> None:
    """Where the script is not on the path."""
    done = subprocess.run(
        [sys.executable, "-m", "inferaudit", "bench", "--nope"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "see `inferaudit bench --help`" in done.stderr


def test_a_locale_without_our_signs_and_a_width_that_is_none(audited: Path, tmp_path: Path) -> None:
    said = shell(f"inferaudit evaluate {audited}/snapshot", tmp_path, PYTHONIOENCODING="latin-1", COLUMNS="²")
    assert said.returncode == 1
    assert "NO GO" in said.stdout
    page = shell(f"inferaudit evaluate {audited}/snapshot -o html > page.html", tmp_path, PYTHONIOENCODING="ascii")
    assert page.returncode == 1
    assert (tmp_path / "page.html").read_bytes() == (audited / "run.html").read_bytes()
    compared = f"inferaudit diff {audited}/run.json {audited}/run.json"
    assert shell(compared, tmp_path, PYTHONIOENCODING="ascii").returncode == 0
    in_c = shell(compared, tmp_path, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert (in_c.returncode, in_c.stderr) == (0, "")
    assert "? NO_GO" in in_c.stdout


def test_two_means_have_a_sample_size_too(tmp_path: Path) -> None:
    flags = "--baseline 420 --lift -0.05 --relative --sd 180 --per-day 1000 -o json"
    said = json.loads(shell(f"inferaudit sample-size {flags}", tmp_path).stdout)
    assert (said["per_arm"], said["total"], said["days"]) == (1154, 2308, 7)  # 2·(1.95996 + 0.84162)²·(180 ÷ 21)²
    done = shell("inferaudit sample-size --baseline 420 --lift 0.05 --relative --sd nan", tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
