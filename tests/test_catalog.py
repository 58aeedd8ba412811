"""The loader of checks: built-ins and a user's own folder, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from inferaudit.catalog import load_catalog
from inferaudit.declarative import guard_all, load_yaml_check
from inferaudit.errors import CatalogError, UsageError
from inferaudit.evaluate import Selection, evaluate
from inferaudit.model import Check, Fact, Outcome, Snapshot, Target
from inferaudit.policy import Policy

YAML = """
title: Services are headless
severity: low
for_each: service.services
where: {where}
assert: '{asserted}'
message: it has the address ${{object.spec.clusterIP}}
rationale: Because.
remediation: Change it.
params: {{wanted: None}}
"""


def yaml_check(asserted: str = "object.spec.clusterIP == params.wanted", where: str = "true") -> Check:
    from dataclasses import replace

    text = YAML.format(asserted=asserted.replace("'", "''"), where=where)
    return replace(load_yaml_check(text, "t.yaml"), id="t-t", group="t")


def judge(check: Check, *services: dict[str, object], **params: object) -> list[tuple[Outcome, str | None, str]]:
    from inferaudit.catalog import Catalog

    snapshot = Snapshot("2026-11-22T12:00:00Z", Target(), {"service.services": Fact(list(services))})
    policy = Policy.model_validate({"scope": ["cluster"], "parameters": {"t-t": params} if params else {}})
    findings = evaluate(Catalog({"t-t": check}, {}, ""), snapshot, policy, Selection())
    return [(f.outcome, f.subject, f.message) for f in findings if f.check == "t-t"]


def service(ip: str | None) -> dict[str, object]:
    spec = {} if ip is None else {"clusterIP": ip}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "namespace": "b"}, "spec": spec}


def test_a_yaml_check_passes_fails_and_quotes() -> None:
    assert judge(yaml_check(), service("None")) == [(Outcome.PASS, "service/b/a", "Services are headless")]
    assert judge(yaml_check(), service("10.0.0.1")) == [(Outcome.FAIL, "service/b/a", "it has the address 10.0.0.1")]
    assert judge(yaml_check(), service("10.0.0.1"), wanted="10.0.0.1")[0][0] is Outcome.PASS


def test_a_failure_stands_though_its_message_speaks_of_what_is_not_there() -> None:
    found = judge(yaml_check("has(object.spec.clusterIP)"), service(None))
    assert found == [(Outcome.FAIL, "service/b/a", "it has the address none")]


def test_an_error_of_the_expression_is_unknown_and_never_fail() -> None:
    assert judge(yaml_check(), service(None))[0][0] is Outcome.UNKNOWN
    assert judge(yaml_check("1"), service("x"))[0][0] is Outcome.UNKNOWN


def test_nothing_left_by_where_is_not_applicable() -> None:
    assert judge(yaml_check(where="false"), service("x"))[0][0] is Outcome.NOT_APPLICABLE
    assert judge(yaml_check())[0][0] is Outcome.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("expression", "outcome"),
    [
        ("object.spec.ports.all(p, p > 1)", Outcome.UNKNOWN),
        ("!has(object.spec.none) || object.spec.none.all(p, p > 1)", Outcome.PASS),
        ("object.spec.more.all(p, p > 1)", Outcome.PASS),
        ("object.spec.more.all(p, p > 2)", Outcome.FAIL),
        ("object.spec.deep.all(d, d.l.all(x, x > 0))", Outcome.UNKNOWN),
        ("object.spec.more.filter(p, p > 9).all(p, p > 1)", Outcome.UNKNOWN),
        ("object.spec['more'].all(p, string(p) != ')')", Outcome.PASS),
    ],
)
def test_all_over_nothing_proves_nothing(expression: str, outcome: Outcome) -> None:
    one = service("x")
    one["spec"] = {"clusterIP": "x", "ports": [], "more": [2, 3], "deep": [{"l": [1]}, {"l": []}]}
    assert judge(yaml_check(expression), one)[0][0] is outcome, guard_all(expression)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("title: [", r"^t.yaml:2: not valid YAML: [^\n]*$"),
        ("title: x\n", "missing required field"),
        (YAML.format(asserted="object.(", where="true"), r"^t.yaml:6: assert: Failed to parse[^\n]*$"),
        (YAML.format(asserted="objct.x == 1", where="true"), r"^t.yaml:6: assert: no variable is called 'objct' \(did"),
        (YAML.format(asserted="true", where="params.x"), r"^t.yaml:5: where: params has no 'x'; it has wanted$"),
        (
            YAML.format(asserted="has(object.labels)", where="true").replace(
                "for_each: service.services", "fact: workload"
            ),
            r"^t.yaml:6: assert: object has no 'labels'; it has .*, kind, name, namespace, object, ",
        ),
        (YAML.format(asserted="true", where="true").replace("low", "lo"), r"^t.yaml:3: Invalid enum value 'lo'"),
        (YAML.format(asserted="true", where="true").replace("service.services", "workload"), "write `fact:` instead"),
        (YAML.format(asserted="true", where="true") + "fact: workload\n", "exactly one of"),
        (YAML.format(asserted="true", where="true") + "extra: 1\n", "extra"),
    ],
)
def test_a_bad_yaml_check_is_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(CatalogError, match=said):
        load_yaml_check(text, "t.yaml")


PYTHON = '''
from inferaudit.api import Severity, check, passed

@check(title="t", severity=Severity.LOW, needs=("{need}",), remediation="R.")
def mine(snapshot):
    """Because."""
    yield passed("x", "right")
'''


def folder(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / "checks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return tmp_path / "checks"


def test_a_folder_of_ones_own_is_loaded_by_the_same_loader(tmp_path: Path) -> None:
    catalog = load_catalog([folder(tmp_path, "my_group/some_check.py", PYTHON.format(need="workload"))])
    check = catalog.check("my-group-some-check")
    assert (check.group, check.rationale, check.origin) == ("my-group", "Because.", "my_group/some_check.py")
    assert catalog.digest != load_catalog().digest


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a/b.py", "x = (", "SyntaxError"),
        ("a/b.py", "import nope", "No module named"),
        ("a/b.py", "x = 1", "defines one check, this one 0"),
        ("a/b.py", PYTHON.format(need="workloads"), "did you mean workload"),
        ("a/b.yaml", YAML.format(asserted="true", where="true").replace(".services", ".svcs"), r"b.yaml:4: no fact is"),
        ("workload/gpu_limit.py", PYTHON.format(need="workload"), "is taken by workload/gpu_limit.py"),
        ("checklists/x.yaml", "title: t\nitems: [{id: a, title: b}]\n", "nothing can satisfy a"),
        (
            "checklists/x.yaml",
            "title: t\nitems: [{id: a, title: b, checks: [cost-hostd]}]\n",
            "x.yaml:2: a: no check is",
        ),
        ("checklists/x.yaml", "- a\n", "a checklist is a mapping"),
        (
            "checklists/x.yaml",
            "title: t\nmerge: [go-lve]\n",
            "x.yaml: checklist x: it merges 'go-lve', and there is no",
        ),
    ],
)
def test_what_does_not_load_stops_the_run(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(CatalogError, match=said):
        load_catalog([folder(tmp_path, name, text)])


def test_a_file_that_is_no_text_stops_the_run(tmp_path: Path) -> None:
    root = folder(tmp_path, "a/b.yaml", "")
    (root / "a" / "b.yaml").write_bytes(b"title: caf\xe9\n")
    with pytest.raises(CatalogError, match=r"b.yaml: not UTF-8 text \(byte 10\)"):
        load_catalog([root])


def test_a_folder_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        load_catalog([tmp_path / "none"])
