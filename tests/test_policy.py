"""The policy file: what it says, and how it says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from inferaudit.errors import PolicyError, UsageError
from inferaudit.model import Scope, Severity
from inferaudit.planning import Asked, collect_plan, overridden
from inferaudit.policy import Policy, load_policy
from inferaudit.slo import TEMPLATE, parse_objective, parse_slo_flag


def write(folder: Path, text: str) -> Path:
    path = folder / "inferaudit.yaml"
    path.write_text(text)
    return path


def test_a_whole_policy_is_read(tmp_path: Path) -> None:
    policy = load_policy(
        write(
            tmp_path,
            """
service: {name: chat, owner: team-chat}
target: {namespace: llm, workload: deployment/chat, url: "https://chat.example.com"}
scope: [endpoint, load]
slo: {ttft_p99: 500ms, error_rate: 0.1%, throughput: 20/s, freshness: 24h}
gate: {fail_on: critical}
waivers: [{check: a, owner: me, reason: because, expires: 2026-12-31}]
""",
        )
    )
    assert policy.scope == (Scope.ENDPOINT, Scope.LOAD)
    assert policy.gate.fail_on is Severity.CRITICAL
    assert policy.waivers[0].expires == "2026-12-31"
    assert [(o.dimension, o.target, o.unit) for o in policy.objectives] == [
        ("ttft_p99", 500.0, "ms"),
        ("error_rate", 0.001, "ratio"),
        ("throughput", 20.0, "1/s"),
        ("freshness", 86400.0, "s"),
    ]
    assert Policy.model_validate(policy.model_dump(mode="json")) == policy


def test_an_empty_file_is_an_empty_policy(tmp_path: Path) -> None:
    assert load_policy(write(tmp_path, "# nothing yet\n")) == Policy()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("service: {}\nsloo: {}\n", ":2: sloo: unknown key; did you mean 'slo'?"),
        ("gate:\n  fail_onn: high\n", ":2: gate.fail_onn: unknown key; did you mean 'fail_on'?"),
        ("gate:\n  fail_on: severe\n", ":2: gate.fail_on:"),
        ("slo:\n  ttft_p99: 5 parsecs\n", "is not a duration"),
        ("slo: {ttft_p999x: 5s}\n", "no objective is called"),
        ("waivers:\n- {check: a, reason: r, expires: 2026-12-31}\n", ":2: waivers.0.owner: Field required"),
        ("waivers:\n- {check: a, owner: o, reason: r, expires: soon}\n", ":2: waivers.0.expires:"),
        ("load: {limits: {rate: fast}}\n", ":1: load.limits.rate: 'fast' is not a rate"),
        ("- a\n- b\n", ":1: a policy is a mapping"),
        (
            "service: {}\nslo:\n  itl_p99: 1s\n  ttft_p99: 5 parsecs\n",
            ":4: slo.ttft_p99: '5 parsecs' is not a duration",
        ),
        ("slo: {error_rate: {max: 1%}}\n", ":1: slo.error_rate: a value such as"),
        ("slo: 500ms\n", ":1: slo: objectives such as"),
        (
            "waivers:\n- {check: a, owner: o, reason: r, expires: 2026-02-30}\n",
            ":2: waivers.0.expires: '2026-02-30' is",
        ),
        ("waivers:\n- {check: a, owner: ' ', reason: r, expires: 2026-02-03}\n", ":2: waivers.0.owner: empty"),
        ("service: {name: a}\nphase: before\nservice: {owner: b}\n", ":3: service: stands twice, first on line 1"),
        ("scope: []\n", ":1: scope: empty"),
        ("scope: endpoint\n", ":1: scope: a list is wanted, for example [a, b], not 'endpoint'"),
        (
            "load: {workers: many}\n",
            ":1: load.workers: a whole number is wanted, not 'many'; or Input should be 'auto'",
        ),
        ("service: {}\n---\nservice: {}\n", ":2: not valid YAML: expected a single document"),
        ("load: {rate: 0/s}\n", ":1: load.rate: '0/s' is out of bounds"),
        ("kpis: &k {a: *k}\n", "or one holds itself"),
        (
            "kpis: {a: &a [1], b: &b [*a, *a]"
            + "".join(f", {c}: &{c} [{'*b, ' * 400}]" for c in "c")
            + "}\n"
            + "risks: {r: {x: ["
            + "*c, " * 200
            + "]}}\n",
            "aliases make more than 100,000 values",
        ),
        ("a: [\n", "not valid YAML"),
        ("a: !!python/object:os.system {}\n", "not valid YAML"),
    ],
)
def test_an_error_names_file_line_and_field(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_a_day_has_one_form_whichever_way_it_is_written(tmp_path: Path) -> None:
    waiver = "- {check: a, owner: o, reason: r, expires: %s}\n"
    ways = ("2026-01-05", "20260105", '"20260105"', "2026-W02-1", "2026-01-05T10:00:00Z")
    policy = load_policy(write(tmp_path, "waivers:\n" + "".join(waiver % way for way in ways)))
    assert [w.expires for w in policy.waivers] == ["2026-01-05"] * 5


def test_a_section_without_entries_is_as_if_it_were_not_written(tmp_path: Path) -> None:
    text = "service: {name: }\nslo:\nload:\ngate:\n# fail_on: low\nwaivers:\n"
    assert load_policy(write(tmp_path, text)) == Policy()


def test_a_missing_a_binary_and_a_huge_file_are_errors(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="No such file"):
        load_policy(tmp_path / "none.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PolicyError, match="not UTF-8"):
        load_policy(tmp_path / "b.yaml")
    (tmp_path / "c.yaml").write_bytes(b"#" * (1 << 21))
    with pytest.raises(PolicyError, match="larger than"):
        load_policy(tmp_path / "c.yaml")


def test_flags_are_put_over_the_policy() -> None:
    policy = overridden(
        Policy(), {"target.url": "http://x", "gate.fail_on": "low", "target.model": "", "load.profile": "smoke"}
    )
    assert (policy.target.url, policy.gate.fail_on, policy.target.model) == ("http://x", Severity.LOW, "")
    assert policy.load is not None
    with pytest.raises(UsageError, match=r"gate\.fail_on"):
        overridden(Policy(), {"gate.fail_on": "worst"})


def test_load_is_planned_only_when_asked_for() -> None:
    target = {"url": "http://127.0.0.1:1"}
    assert collect_plan(Policy.model_validate({"target": target}), Asked()).load is None
    plan = collect_plan(Policy.model_validate({"target": target, "load": {"profile": "smoke"}}), Asked()).load
    assert plan is not None
    assert [(s.name, s.concurrency, s.requests) for s in plan.stages] == [("smoke", 1, 20)]


def test_a_profile_of_ones_own_and_an_unknown_one() -> None:
    own = {"profile": "mine", "profiles": {"mine": [{"name": "sustained", "rate": "5/s", "duration": "10s"}]}}
    plan = collect_plan(Policy.model_validate({"target": {"url": "http://127.0.0.1:1"}, "load": own}), Asked()).load
    assert plan is not None
    assert (plan.stages[0].rate, plan.stages[0].duration_s) == (5.0, 10.0)
    with pytest.raises(UsageError, match="no load profile is called 'heavy'"):
        collect_plan(Policy.model_validate({"target": {"url": "http://x"}, "load": {"profile": "heavy"}}), Asked())


def test_slo_flag() -> None:
    assert parse_slo_flag("ttft_p99=500ms, error_rate=0.1%") == {"ttft_p99": "500ms", "error_rate": "0.1%"}
    assert parse_slo_flag("template") == TEMPLATE
    assert parse_objective("latency_p99", "1s").dimension == "e2e_p99"
    assert parse_objective("e2e_mean", "1s").mean
    for wrong in ("ttft_p99", "ttft_p99=", "nope=1", "", "ttft_p99=fast", "error_rate=120%", "ttft_p0=1s"):
        with pytest.raises(UsageError):
            parse_slo_flag(wrong)


def test_a_template_that_nobody_filled_in_is_told_in_few_lines(tmp_path: Path) -> None:
    rows = "".join(f"  - {{item: gpu.row-{n}, evidence: '', owner: me, date: 2026-11-01}}\n" for n in range(40))
    (tmp_path / "p.yaml").write_text(f"attestations:\n{rows}")
    with pytest.raises(PolicyError) as error:
        load_policy(tmp_path / "p.yaml")
    lines = str(error.value).splitlines()
    assert len(lines) == 11
    assert lines[0] == f"{tmp_path}/p.yaml:2: attestations.0.evidence: empty: write what is meant, or delete the entry"
    assert lines[-1] == "and 30 more"
