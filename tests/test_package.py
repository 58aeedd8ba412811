"""What is shipped: a wheel built from the sdist finds its checks and templates, in a folder that is no checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


pytestmark = pytest.mark.xdist_group("package")  # one wheel for all


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's contents, built from the sdist built from this tree."""
    out = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    made = subprocess.run(build, capture_output=True, text=True, check=False, timeout=110)
    assert made.returncode == 0, made.stdout[-2000:] + made.stderr[-2000:]
    (wheel,) = out.glob("*.whl")
    folder = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def run(unpacked: Path, *args: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    # -P keeps the working folder off the path, -s and PYTHONPATH put the wheel before the editable checkout.
    return subprocess.run(
        [sys.executable, "-P", "-m", "inferaudit.cli.app", *map(str, args)],
        capture_output=True, text=True, timeout=60, cwd=cwd, check=False,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
    )  # fmt: skip


def test_the_wheel_holds_checks_and_templates(unpacked: Path, tmp_path: Path) -> None:
    shipped = {
        p.relative_to(unpacked / "inferaudit" / "checks") for p in (unpacked / "inferaudit" / "checks").rglob("*.*")
    }
    here = {p.relative_to(ROOT / "checks") for p in (ROOT / "checks").rglob("*.*") if "__pycache__" not in p.parts}
    assert shipped == here
    where = run(unpacked, "checks", "show", "workload-gpu-limit", "-o", "json", cwd=tmp_path)
    assert where.returncode == 0, where.stderr
    found = subprocess.run(
        [sys.executable, "-P", "-c", "import inferaudit.resources as r; print(r.resource_folder('checks'))"],
        capture_output=True, text=True, check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(unpacked)},
    )  # fmt: skip
    assert found.stdout.strip() == str(unpacked / "inferaudit" / "checks")


def test_the_wheel_audits_manifests(unpacked: Path, tmp_path: Path) -> None:
    demo = ROOT / "templates" / "demo"
    audit = run(unpacked, "run", "--manifests", demo, "--scope", "manifests", "-o", "html", cwd=tmp_path)
    assert audit.returncode == 1, audit.stderr
    assert audit.stdout.startswith("<!doctype html>") or audit.stdout.lower().startswith("<!doctype html>")


def test_the_schemas_are_shipped(unpacked: Path, tmp_path: Path) -> None:
    for name in ("policy", "report"):
        schema = run(unpacked, "generate", "schema", name, cwd=tmp_path)
        assert schema.returncode == 0, schema.stderr
        assert '"$schema"' in schema.stdout
