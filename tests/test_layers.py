"""The architecture, held by a test: who may import whom, and how light an import stays."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "inferaudit"
HEAVY = {"kubernetes", "pynvml", "httpx", "rich", "grpc", "google", "hpack"}

# Floors from docs/design.md. What is not named is pure domain arithmetic on floor 1.
FLOORS = {
    "errors": 0,
    "model": 0,
    "api": 2,
    "declarative": 3,
    "resources": 3,
    "catalog": 3,
    "coverage": 3,
    "rbac": 3,
    "rules_file": 4,
    "generate_alerts": 4,
    "generate_gpu_alerts": 4,
    "generate_slo": 4,
    "generate_dashboard": 4,
    "void_promises": 4,
    "policy_names": 4,
    "evaluate": 4,
    "verdict": 4,
    "report": 4,
    "report_findings": 4,
    "slo_judgements": 3,
    "checklist_rows": 4,
    "scorecard": 4,
    "check_cases": 4,
    "collect": 5,
    "bench": 5,
    "render": 5,
    "rpc": 5,
    "http_deadline": 5,
    "proposal": 5,
    "planning": 5,
    "demo_server": 5,
    "audit": 6,
    "cli": 7,
    "__main__": 7,
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def _unit(name: str) -> str:
    return name.split(".")[1] if "." in name else "inferaudit"


def _imports(path: Path) -> list[tuple[str, bool]]:
    """Imported names, and whether the import runs when the module is loaded."""
    tree = ast.parse(path.read_text("utf-8"))
    top = {id(node) for statement in tree.body for node in ast.walk(statement)
           if not isinstance(statement, (ast.FunctionDef, ast.ClassDef))}  # fmt: skip
    found = []
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module] if node.module != "inferaudit" else [f"inferaudit.{a.name}" for a in node.names]
        found += [(name, id(node) in top) for name in names]
    return found


def _floor(unit: str) -> int:
    return FLOORS.get(unit, 1)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_downwards(path: Path) -> None:
    unit = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for name, _ in _imports(path):
        if name.split(".")[0] in HEAVY:
            assert _floor(unit) >= 5, f"{unit} imports {name}"
        if not name.startswith("inferaudit."):
            continue
        other = _unit(name)
        if other in (unit, "__version__"):
            continue
        assert _floor(other) <= _floor(unit), f"{unit} (floor {_floor(unit)}) imports {name} (floor {_floor(other)})"
        if unit in ("collect", "bench", "render"):
            assert other not in ("collect", "bench", "render"), f"{unit} imports its sibling {name}"


def test_importing_the_judge_loads_nothing_heavy() -> None:
    code = f"import sys, inferaudit.report; print([m for m in sys.modules if m in {sorted(HEAVY)}])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


def test_modules_have_one_subject() -> None:
    long = {str(p.relative_to(PACKAGE)): n for p in MODULES if (n := len(p.read_text("utf-8").splitlines())) > 400}
    assert not long
