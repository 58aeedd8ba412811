"""Stored runs: what is kept, where, for how long; and when a movement is called a trend."""

from __future__ import annotations

import itertools
import json
import math
import os
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from inferaudit.cli.history import app
from inferaudit.errors import UsageError
from inferaudit.history import default_store, history_facts, prune, store_report, stored_run, stored_runs
from inferaudit.model import FactErrorKind, Report
from inferaudit.trend import (
    FEWEST,
    FIGURES,
    KEPT,
    Run,
    comparable,
    figure_trend,
    kendall_p,
    run_of,
    theil_sen,
    trends,
    trends_section,
)

GOLDEN = Path(__file__).parent / "golden"
GO = msgspec.json.decode((GOLDEN / "go" / "report.json").read_bytes())


def _report(day: int = 1, service: str = "chat", **benchmark: Any) -> Report:
    return Report(
        {**GO, "collected_at": f"2026-01-{day:02}T00:00:00Z", "service": {"name": service},
         "benchmark": {**GO["benchmark"], **benchmark}}
    )  # fmt: skip


def test_a_row_holds_the_reports_own_figures() -> None:
    run = run_of(GO)
    assert run.token_rate == GO["benchmark"]["token_rate"]
    assert run.e2e_p95_ms == GO["benchmark"]["latency_ms"]["p95"]
    assert run.per_1000_tokens_usd == GO["cost"]["per_1000_tokens_usd"]
    requests = GO["benchmark"]["requests"]
    assert run.error_rate == requests["failed"] / (requests["ok"] + requests["failed"])
    assert (run.service, run.verdict, run.passed) == ("chat", "GO", GO["summary"]["pass"])


def test_what_was_not_measured_is_null_and_never_zero() -> None:
    run = run_of({"verdict": "INCOMPLETE", "benchmark": None, "cost": None, "target": {"workload": "deployment/chat"}})
    assert all(getattr(run, figure) is None for figure in FIGURES)
    assert run.service == "deployment/chat"
    assert run_of({"benchmark": {"requests": {"ok": 0, "failed": 0}, "token_rate": math.nan}}).error_rate is None
    assert run_of({"benchmark": {"token_rate": math.nan}}).token_rate is None


@pytest.mark.parametrize(
    ("samples", "share"),
    [
        ([[40], [60]], 0.5),
        ([[80, 20], [None, 50]], 0.5),
        ([[None]], None),
        ([], None),
        (None, None),
    ],
)
def test_gpu_utilisation_is_the_mean_of_what_was_sampled(samples: Any, share: float | None) -> None:
    series = samples and [
        {"t_s": t, "value": [{"gpu": f"GPU {n}", "utilization_gpu_percent": u} for n, u in enumerate(gpus)]}
        for t, gpus in enumerate(samples)
    ]
    assert run_of({"benchmark": {"series": {"gpu": series}}}).gpu_utilisation == (share and pytest.approx(share))


def test_gpu_utilisation_is_that_of_the_judged_stage() -> None:
    """A warm-up and the silence after the load are not how busy the service keeps its GPUs."""
    samples = [{"t_s": t, "value": [{"gpu": "GPU 0", "utilization_gpu_percent": u}]}
               for t, u in ((0, 0), (10, 90), (20, 70), (30, 0))]  # fmt: skip
    stages = [{"name": "warm-up", "start_s": 0, "duration_s": 5}, {"name": "sustained", "start_s": 5, "duration_s": 20}]
    told = {"judged_stage": "sustained", "stages": stages, "series": {"gpu": samples}}
    assert run_of({"benchmark": told}).gpu_utilisation == pytest.approx(0.8)


def test_the_series_of_an_audit_is_read() -> None:
    """The points that the audit itself makes of its GPU samples, not a shape of this test's own."""
    assert run_of(GO).gpu_utilisation is not None


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path / "runs")


@pytest.fixture(params=["folder", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "runs") if request.param == "folder" else f"sqlite://{tmp_path}/a%20b.sqlite"


def test_runs_come_back_as_they_went_in_oldest_first(store: str) -> None:
    assert stored_runs(store) == []
    second, first = (store_report(_report(day), store)[0] for day in (2, 1))
    assert stored_runs(store) == [first, second]
    assert store_report(_report(2), store) == (second, False)
    assert len(stored_runs(store)) == 2
    assert stored_runs(store, service="other") == []
    assert stored_run(store, first.id[:6]) == first
    for beginning in ("", "zzz"):
        with pytest.raises(UsageError, match="whose id begins with"):
            stored_run(store, beginning)


def test_looking_creates_nothing_and_the_file_is_its_owners(folder: str) -> None:
    stored_runs(folder)
    prune(folder, 1)
    assert not Path(folder).exists()
    store_report(_report(), folder)
    (file,) = Path(folder).iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_pruning_keeps_the_newest_of_each_service(store: str) -> None:
    for day, service in itertools.product((1, 2, 3), ("chat", "embed")):
        store_report(_report(day, service), store)
    assert prune(store, 2, service="chat") == 1
    assert prune(store, 1) == 3
    assert [(r.service, r.collected_at[:10]) for r in stored_runs(store)] == [
        ("chat", "2026-01-03"), ("embed", "2026-01-03"),
    ]  # fmt: skip
    with pytest.raises(UsageError, match="--keep"):
        prune(store, -1)


def test_a_store_of_an_older_version_gets_the_newer_columns(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "history.sqlite") as old:
        old.execute("CREATE TABLE runs (id TEXT PRIMARY KEY, service TEXT, collected_at TEXT, verdict TEXT)")
        old.execute("INSERT INTO runs VALUES ('a', 'chat', '2025-01-01T00:00:00Z', 'GO')")
    old.close()
    store_report(_report(), str(tmp_path))
    assert [run.token_rate for run in stored_runs(str(tmp_path))] == [None, GO["benchmark"]["token_rate"]]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://host/db", "folder, sqlite"),
        ("sqlite://", "absolute path"),
        ("sqlite://relative.db", "absolute path"),
        ("/dev/null", "cannot be opened"),
    ],
)
def test_a_store_that_is_none_is_one_error(url: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        store_report(_report(), url)


def test_a_file_that_is_no_store_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "history.sqlite").write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(UsageError, match="cannot be used"):
        stored_runs(str(tmp_path))


def test_without_a_place_runs_go_to_the_users_state_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_store().name == "history.sqlite"
    run, added = store_report(_report())
    assert added
    assert stored_runs() == [run]


def test_postgres_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(UsageError, match="psycopg") as error:
        stored_runs("postgresql://me:secret@db.example.com/audits")
    assert "secret" not in str(error.value)
    assert "me" not in str(error.value).split("://")[1].split("/")[0]


def test_a_postgres_that_is_down_is_one_line_without_its_password() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and never listening: nobody answers here
        with pytest.raises(UsageError, match="cannot be opened") as error:
            stored_runs(f"postgresql://me:secret@127.0.0.1:{held.getsockname()[1]}/audits")
    assert "secret" not in str(error.value)
    assert "me" not in str(error.value).split("://")[1].split("/")[0]


@pytest.fixture
def postgres() -> Iterator[str]:
    """A PostgreSQL of its own on a loopback port, as a user other than root where needed."""
    # Not in pytest's own folder, which no other user may enter.
    with tempfile.TemporaryDirectory() as place:
        yield from _postgres(Path(place))


def _postgres(folder: Path) -> Iterator[str]:
    prefix: list[str] = []
    if os.getuid() == 0:
        shutil.chown(folder, "nobody")
        prefix = ["setpriv", "--reuid=nobody", "--clear-groups"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = str(folder / "data")
    # Debian keeps them off PATH, a folder for each version.
    tools = [str(path.parent) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))]
    env = {**os.environ, "PATH": os.pathsep.join([*reversed(tools), os.environ["PATH"]]), "LC_ALL": "C.UTF-8"}

    def do(*command: str) -> None:
        subprocess.run([*prefix, *command], check=True, capture_output=True, timeout=120, cwd=folder, env=env)

    do("initdb", "-D", data, "-U", "audit", "--auth=trust", "--no-sync")
    options = f"-h 127.0.0.1 -p {port} -k {folder} -F -c shared_buffers=16MB"
    do("pg_ctl", "-D", data, "-o", options, "-l", str(folder / "log"), "-w", "-t", "60", "start")
    try:
        yield f"postgresql://audit@127.0.0.1:{port}/postgres"
    finally:
        do("pg_ctl", "-D", data, "-m", "immediate", "-t", "60", "stop")


def test_a_real_postgres_keeps_runs(postgres: str) -> None:
    first, second = (store_report(_report(day), postgres)[0] for day in (1, 2))
    assert store_report(_report(1), postgres)[1] is False
    assert stored_runs(postgres) == [first, second]
    assert stored_runs(postgres, service=first.service) == [first, second]
    assert stored_runs(postgres, service="another") == []
    assert prune(postgres, 1) == 1
    assert stored_runs(postgres) == [second]


def test_history_as_a_fact(folder: str) -> None:
    error = history_facts(None)["process.history"].error
    assert error is not None
    assert error.kind is FactErrorKind.NOT_ASKED
    for day, profile in ((1, "sla"), (2, "smoke"), (3, "sla")):
        store_report(_report(day, profile=profile), folder)
    assert [run.collected_at[8:10] for run in history_facts(folder, "chat")["process.history"].value] == [
        "01",
        "02",
        "03",
    ]
    assert history_facts(folder, "other")["process.history"].value == []


def _run(number: int, **more: Any) -> Run:
    return Run(id=str(number), service="chat", collected_at=f"2026-01-{number:02}", verdict="GO", **more)


def test_the_section_ends_with_this_run_and_compares_like_with_like() -> None:
    this = _run(9, model="a", token_rate=70.0)
    before = [_run(day, model="b" if day == 2 else "a", token_rate=100.0 - day) for day in range(1, 8)]
    assert trends_section(None, this) is None
    section = trends_section([before[3], *before, this][1:], this)
    assert section is not None
    assert [run["id"] for run in section["runs"]] == [*map(str, range(1, 8)), "9"]
    assert section["comparable"] == 7
    figures = {figure["figure"]: figure for figure in section["figures"]}
    assert figures["token_rate"]["direction"] == "worse"
    assert (figures["token_rate"]["first"], figures["token_rate"]["last"]) == (99.0, 70.0)
    assert figures["error_rate"]["direction"] == "unknown"
    alone = trends_section([], this)
    assert alone is not None
    assert {figure["direction"] for figure in alone["figures"]} == {"unknown"}
    assert len(trends_section([_run(1)] * 500, this)["runs"]) <= KEPT  # type: ignore[index]


def test_only_runs_of_one_kind_are_compared() -> None:
    runs = [_run(3, model="a"), _run(1, model="a"), _run(2, model="b"), _run(4, model="a", gpus="1× L4")]
    assert [run.id for run in comparable(runs)] == ["4"]
    assert [run.id for run in comparable(runs, runs[0])] == ["1", "3"]
    assert comparable([]) == []


@given(st.integers(2, 6), st.data())
def test_the_p_value_is_that_of_all_orders(count: int, data: st.DataObject) -> None:
    score = data.draw(st.integers(0, count * (count - 1) // 2))
    orders = [
        sum((b > a) - (b < a) for a, b in itertools.combinations(order, 2))
        for order in itertools.permutations(range(count))
    ]
    assert kendall_p(count, score) == pytest.approx(sum(s >= score for s in orders) / len(orders))


@given(st.floats(-100, 100), st.floats(-10, 10), st.integers(2, 9))
def test_the_slope_of_a_line_is_its_slope(start: float, slope: float, count: int) -> None:
    assert theil_sen([start + slope * i for i in range(count)]) == pytest.approx(slope, abs=1e-9)


@pytest.mark.parametrize(
    ("figure", "values", "direction"),
    [
        ("token_rate", [100, 95, 90, 80], "worse"),
        ("token_rate", [80, 90, 95, 100], "better"),
        ("e2e_p95_ms", [80, 90, 95, 100], "worse"),
        ("e2e_p95_ms", [100, None, 95, 90, None, 80], "better"),
        ("e2e_p95_ms", [100, 99.5, 99, 98.9], "steady"),  # in order, and by one percent
        ("e2e_p95_ms", [100, 140, 95, 120, 101], "steady"),  # much, and in no order
        ("e2e_p95_ms", [100, 100, 100, 100, 300], "steady"),  # one bad run is no trend
        ("error_rate", [0.0, 0.0, 0.0, 0.0], "steady"),
        ("token_rate", [100, 95, 90], "unknown"),
        ("token_rate", [None] * 8, "unknown"),
    ],
)
def test_a_trend_is_steady_and_large_enough(figure: str, values: list[float | None], direction: str) -> None:
    found = figure_trend(figure, values)
    assert found.direction == direction
    assert bool(found.reason) is (direction == "unknown")


@given(st.lists(st.floats(1, 1000), min_size=FEWEST, max_size=8))
def test_worse_backwards_is_never_worse(values: list[float]) -> None:
    ahead, back = figure_trend("e2e_p95_ms", values), figure_trend("e2e_p95_ms", values[::-1])
    assert {ahead.direction, back.direction} in (
        {"worse", "better"},
        {"steady"},
        {"worse", "steady"},
        {"better", "steady"},
    )
    mirrored = figure_trend("token_rate", values).direction
    assert mirrored == {"worse": "better", "better": "worse", "steady": "steady"}[ahead.direction]


def test_only_the_last_runs_count() -> None:
    runs = [_run(i + 1, token_rate=v) for i, v in enumerate([10, 20, 30, 40, 50, 49, 51, 50, 50])]
    assert {t.figure: t.direction for t in trends(runs, window=5)}["token_rate"] == "steady"
    assert {t.figure: t.direction for t in trends(runs, window=9)}["token_rate"] == "better"
    assert [t.figure for t in trends([])] == list(FIGURES)


def _cli(*args: str) -> str:
    result = CliRunner().invoke(app, list(args), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def _dated(golden: str, folder: Path, away: timedelta) -> str:
    """A copy of a report, collected `away` from now."""
    data = json.loads((GOLDEN / golden / "report.json").read_bytes())
    path = folder / f"{golden}.json"
    path.write_text(json.dumps({**data, "collected_at": (datetime.now(UTC) + away).strftime("%Y-%m-%dT%H:%M:%SZ")}))
    return str(path)


def test_a_report_of_tomorrow_is_not_kept(folder: str, tmp_path: Path) -> None:
    report = _dated("go", tmp_path, timedelta(days=1, minutes=1))
    with pytest.raises(UsageError, match=r"go.json is dated \S+Z, [\d.]+ h after \S+Z, this machine's time: kept, it"):
        _cli("add", report, "--store", folder)
    assert stored_runs(folder) == []


def test_the_verbs_from_adding_to_pruning(folder: str, tmp_path: Path) -> None:
    report = _dated("go", tmp_path, -timedelta(days=1))
    assert "no runs are stored" in _cli("list", "--store", folder)
    assert "no runs are stored" in _cli("trends", "--store", folder)
    assert "stored: " in _cli("add", report, "--store", folder)
    assert "was stored before" in _cli("add", report, "--store", folder)
    (run,) = json.loads(_cli("list", "--store", folder, "-o", "json"))["runs"]
    assert "not measured" not in _cli("show", run["id"], "--store", folder)
    unmeasured = _dated("incomplete", tmp_path, timedelta(minutes=3))
    added = json.loads(_cli("add", unmeasured, "--store", f"{folder}-2", "-o", "json"))["run"]
    assert "not measured" in _cli("show", added["id"], "--store", f"{folder}-2")
    assert "needs 4 comparable runs" in _cli("trends", "--store", folder)
    found = json.loads(_cli("trends", "--store", folder, "-o", "json"))
    assert [t["figure"] for t in found["trends"]] == list(FIGURES)
    assert "1 run" in _cli("prune", "--keep", "0", "--store", folder)
    assert stored_runs(folder) == []


def test_hostile_names_act_in_no_output(folder: str) -> None:
    store_report(_report(service="\x1b[31m\u202echat\n\n'; DROP TABLE runs; --"), folder)
    for verb in ("list", "trends"):
        text = _cli(verb, "--store", folder)
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert len(stored_runs(folder)) == 1
