"""The composite action, its steps run by bash as the runner runs them: inputs by environment, outputs by file."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
DOCS = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
MANIFESTS = str(ROOT / "templates" / "demo")
HANG_S = 240  # bounds a step that hangs, not one that a busy machine slows down


@dataclass
class Job:
    """What a runner keeps of a job."""

    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    summary: str = ""
    log: str = ""
    used: list[dict[str, Any]] = field(default_factory=list)
    code: int = 0

    @property
    def audit(self) -> dict[str, str]:
        return self.outputs["audit"]


def value(expression: str, inputs: dict[str, str], job: Job) -> Any:
    """A GitHub expression of the forms that the action uses; anything else fails the test."""
    if "&&" in expression:
        return all(value(part, inputs, job) for part in expression.split("&&"))
    if "||" in expression:
        return next(filter(None, [value(part, inputs, job) for part in expression.split("||")]), "")
    if comparison := re.fullmatch(r"\s*(.+?)\s*([!=]=)\s*'([^']*)'\s*", expression):
        return (value(comparison[1], inputs, job) == comparison[3]) is (comparison[2] == "==")
    name = expression.strip()
    if name == "github.action_path":
        return str(ROOT)
    if name.startswith("inputs."):
        return inputs[name.removeprefix("inputs.")]
    step = re.fullmatch(r"steps\.([\w-]+)\.outputs\.([\w-]+)", name)
    assert step, f"an expression that the runner may not know: {expression}"
    return job.outputs.get(step[1], {}).get(step[2], "")


def filled(text: str, inputs: dict[str, str], job: Job) -> str:
    return re.sub(r"\$\{\{(.*?)\}\}", lambda found: str(value(found[1], inputs, job)), text)


def written(text: str) -> dict[str, str]:
    """An output file as the runner reads it: ``name=value``, or ``name<<mark``, lines, mark."""
    found: dict[str, str] = {}
    lines = iter(text.splitlines())
    for each in lines:
        name, multiline, mark = each.partition("<<")
        if multiline and "=" not in name:
            body = []
            while (part := next(lines)) != mark:
                body.append(part)
            found[name] = "\n".join(body)
        else:
            name, _, found[name] = each.partition("=")
    return found


def run(folder: Path, path: Path | None = None, **given: str) -> Job:
    """The action with these inputs (``_`` for ``-``); the package under test is on PATH, `path` before it."""
    inputs = {key: str(item.get("default", "")) for key, item in ACTION["inputs"].items()}
    inputs |= {"install": "none", "manifests": MANIFESTS, "scope": "manifests"}
    inputs |= {key.replace("_", "-"): text for key, text in given.items()}
    assert inputs.keys() == ACTION["inputs"].keys()
    job = Job()
    for number, step in enumerate(STEPS):
        if "if" in step and not value(step["if"], inputs, job):
            continue
        if "uses" in step:
            job.used.append({"uses": step["uses"], **{k: filled(v, inputs, job) for k, v in step["with"].items()}})
            continue
        files = {name: folder / f"{number}-{name}" for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_PATH")}
        for file in files.values():
            file.touch()
        script = folder / f"{number}.sh"
        script.write_text(filled(step["run"], inputs, job), encoding="utf-8")
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=folder,
            env={
                "PATH": os.pathsep.join(
                    filter(None, (str(path or ""), str(Path(sys.executable).parent), os.environ["PATH"]))
                ),
                "HOME": str(folder),
                "RUNNER_TEMP": str(folder),
                **{name: str(file) for name, file in files.items()},
                **{name: filled(text, inputs, job) for name, text in step.get("env", {}).items()},
            },
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=False,
        )
        job.log += done.stdout + done.stderr
        job.summary += files["GITHUB_STEP_SUMMARY"].read_text(encoding="utf-8")
        if "id" in step:
            job.outputs[step["id"]] = written(files["GITHUB_OUTPUT"].read_text(encoding="utf-8"))
        job.code = done.returncode
        if job.code:
            break
    return job


@pytest.fixture(scope="module")
def no_go(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """The action with the sample service and nothing else."""
    return run(tmp_path_factory.mktemp("job"))


def test_a_no_go_stops_the_job_and_leaves_everything_behind(no_go: Job) -> None:
    job = no_go
    assert job.code == 1
    assert job.audit["verdict"] == "NO_GO"
    assert job.audit["exit-code"] == "1"
    folder = Path(job.audit["folder"])
    assert {p.name for p in folder.iterdir()} == {
        "report.json", "report.html", "report.md", "report.sarif", "report.junit.xml", "report.txt",
        "code-scanning.sarif",
    }  # fmt: skip
    assert "NO GO" in job.summary
    assert job.audit["comment"].strip() == Path(job.audit["comment-file"]).read_text(encoding="utf-8").strip()
    assert "::error title=inferaudit%3A NO GO" in job.log or "::error title=inferaudit: NO GO" in job.log


def test_what_is_printed_gives_the_runner_no_commands(no_go: Job) -> None:
    job = no_go
    stopped = re.search(r"^::stop-commands::(end-[0-9a-f]{32})$", job.log, re.MULTILINE)
    assert stopped
    assert job.log.index(stopped[0]) < job.log.index("This verdict covers") < job.log.index(f"::{stopped[1]}::")
    assert job.log.index(f"::{stopped[1]}::") < job.log.index("::error ")


def test_without_the_gate_only_the_outputs_tell(tmp_path: Path) -> None:
    job = run(tmp_path, gate="false")
    assert (job.code, job.audit["exit-code"], job.audit["verdict"]) == (0, "1", "NO_GO")


def test_a_go_is_a_success(tmp_path: Path) -> None:
    job = run(tmp_path, args="--select workload-owner --skip 'workload-cpu-request'", fail_on="critical")
    assert (job.code, job.audit["exit-code"], job.audit["verdict"]) == (0, "0", "GO")
    report = json.loads((Path(job.audit["folder"]) / "report.json").read_text(encoding="utf-8"))
    assert report["fail_on"] == "critical"
    assert {finding["check"] for finding in report["findings"]} == {"workload-owner"}


def test_incomplete_keeps_its_code(tmp_path: Path) -> None:
    """An endpoint that nobody answers for is unknown, and that is neither a GO nor a NO-GO."""
    job = run(tmp_path, manifests="", url="http://127.0.0.1:9", scope="endpoint")
    assert (job.code, job.audit["exit-code"], job.audit["verdict"]) == (3, "3", "INCOMPLETE")


@pytest.mark.parametrize("gate", ["true", "false"])
def test_no_audit_is_no_verdict(tmp_path: Path, gate: str) -> None:
    job = run(tmp_path, scope="weather", gate=gate)
    assert job.code == 2
    assert job.audit == {"exit-code": "2"}
    assert "performed no audit" in job.summary
    assert job.used == []


def test_a_broken_step_is_no_go(tmp_path: Path) -> None:
    """A quote that is never closed ends the step; nothing after it may say 0."""
    job = run(tmp_path, args="--select 'one", gate="false")
    assert job.code == 2
    assert "::error title=inferaudit::The input args has a quote" in job.log
    assert "Traceback" not in job.log


def test_inputs_are_words_and_never_commands(tmp_path: Path) -> None:
    job = run(tmp_path, policy="$(touch owned).yaml", args="--skip '`touch owned`;x' \"$(touch owned)\"")
    assert job.code == 2
    assert not list(tmp_path.rglob("owned"))


def test_reports_are_uploaded_by_actions_of_github_alone(no_go: Job, tmp_path: Path) -> None:
    folder = no_go.audit["folder"]
    assert no_go.used == [
        {
            "uses": "github/codeql-action/upload-sarif@v4",
            "sarif_file": f"{folder}/code-scanning.sarif",
            "category": "inferaudit",
        },
        {"uses": "actions/upload-artifact@v4", "name": "inferaudit", "path": folder},
    ]
    assert run(tmp_path, sarif="false", artifact="").used == []


def test_every_action_used_is_pinned() -> None:
    used = [step["uses"] for step in STEPS if "uses" in step]
    assert used
    assert all(re.fullmatch(r"(actions/[\w-]+|github/codeql-action/upload-sarif)@v\d+", each) for each in used)


def test_no_script_holds_an_expression() -> None:
    """An expression inside a script is pasted into it: that is how a branch name becomes a command."""
    assert [step["name"] for step in STEPS if "${{" in step.get("run", "")] == []


@pytest.mark.parametrize(("given", "package"), [("", str(ROOT)), ("inferaudit==0.1.0", "inferaudit==0.1.0")])
def test_what_is_installed(tmp_path: Path, given: str, package: str) -> None:
    """pip itself is replaced: a test takes nothing from a registry."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "python3").write_text(
        '#!/bin/bash\nif [ "$1" != -m ]; then exec ' + sys.executable + ' "$@"; fi\n'
        'mkdir -p "$3/bin"\n'
        'printf \'#!/bin/bash\\nprintf "%%s\\\\n" "$@" > "%s/asked"\\n\' "$RUNNER_TEMP" > "$3/bin/python"\n'
        'chmod +x "$3/bin/python"\n',
        encoding="utf-8",
    )
    (tools / "python3").chmod(0o755)
    job = run(tmp_path, tools, install=given)
    assert job.used[0] == {"uses": "actions/setup-python@v5", "python-version": "3.12"}
    assert (tmp_path / "asked").read_text(encoding="utf-8").splitlines()[-1] == package
    assert (tmp_path / "1-GITHUB_PATH").read_text(encoding="utf-8") == f"{tmp_path}/inferaudit-venv/bin\n"
    assert job.code == 1


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCS, re.DOTALL | re.MULTILINE)


def test_the_documented_files_are_yaml_and_give_only_known_inputs() -> None:
    texts = blocks("yaml")
    assert len(texts) >= 5
    for text in texts:
        for document in yaml.safe_load_all(text):
            for job in (document.get("jobs") or {}).values() if "on" in document or True in document else ():
                for step in job["steps"]:
                    if "/inferaudit@" in step.get("uses", ""):
                        assert step["with"].keys() <= ACTION["inputs"].keys()


def test_the_page_names_every_input_and_output() -> None:
    for name in (*ACTION["inputs"], *ACTION["outputs"]):
        assert f"`{name}`" in DOCS


def test_the_documented_flags_exist() -> None:
    executable = shutil.which("inferaudit", path=str(Path(sys.executable).parent))
    assert executable
    help_text = "".join(
        subprocess.run(
            [executable, verb, "--help"],
            env={"PATH": os.environ["PATH"], "COLUMNS": "400"},
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=True,
        ).stdout
        for verb in ("run", "render", "diff", "bench")
    )
    commands = re.findall(r"inferaudit (?:run|render|diff|bench)\b[^`]*?(?:\n\n|\ncurl|\n```|$)", DOCS)
    flags = {flag for command in commands for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]+", command)}
    assert {"--manifests", "--scope"} <= flags
    assert {flag for flag in flags if flag not in help_text} == set()
