"""The snapshot file: nothing lost, nothing guessed, the same bytes."""

from __future__ import annotations

import io
import stat
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferaudit.case_records import records_from_groups
from inferaudit.errors import MissingFactError, SnapshotError
from inferaudit.facts.gpu import Gpu
from inferaudit.model import Fact, FactError, FactErrorKind, Snapshot, Target
from inferaudit.snapshot import digest, dump, from_bytes, load, merge, to_bytes

GPU = Gpu(
    node="n", index=0, uuid="GPU-1", product="NVIDIA H100", memory_total_bytes=81559 << 20, ecc_volatile_uncorrected=0
)
SNAPSHOT = Snapshot(
    collected_at="2026-11-22T12:00:00Z",
    target=Target(namespace="llm", workload="deployment/chat"),
    facts={
        "nvml.gpus": Fact([GPU]),
        "service.services": Fact([{"kind": "Service", "metadata": {"name": "a\u202eb\x1b[31m", "namespace": "llm"}}]),
        "cluster.nodes": Fact(error=FactError(FactErrorKind.DENIED, "forbidden", verb="list", resource="nodes")),
        "load.records": Fact(records_from_groups({"groups": [{"count": 3, "ttft_ms": 1, "tokens": 4, "itl_ms": 2}]})),
    },
    policy={"slo": {"ttft_p99": "1s"}},
    duration_s=1.5,
)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    dump(SNAPSHOT, tmp_path / "deep" / "s")
    again = load(tmp_path / "deep" / "s")
    assert again.fact("nvml.gpus") == [GPU]
    assert again.facts["cluster.nodes"] == SNAPSHOT.facts["cluster.nodes"]
    assert list(again.fact("load.records").columns["end_ns"]) == list(SNAPSHOT.fact("load.records").columns["end_ns"])
    assert (again.target, again.policy, again.duration_s) == (SNAPSHOT.target, SNAPSHOT.policy, 1.5)
    assert to_bytes(again) == to_bytes(SNAPSHOT)
    assert digest(again) == digest(SNAPSHOT)


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("was readable by all")
    path.chmod(0o644)
    dump(SNAPSHOT, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SnapshotError, match="cannot write"):
        dump(SNAPSHOT, tmp_path / "file" / "s")


def test_the_digest_sees_every_change() -> None:
    assert digest(replace(SNAPSHOT, collected_at="2026-11-22T12:00:01Z")) != digest(SNAPSHOT)
    assert digest(replace(SNAPSHOT, facts={**SNAPSHOT.facts, "nvml.gpus": Fact([])})) != digest(SNAPSHOT)


def test_a_missing_fact_raises_with_the_collectors_reason() -> None:
    with pytest.raises(MissingFactError, match="forbidden"):
        SNAPSHOT.fact("cluster.nodes")
    with pytest.raises(MissingFactError, match="was not collected"):
        SNAPSHOT.fact("workload.pods")


def test_an_empty_list_is_not_an_absence() -> None:
    empty = replace(SNAPSHOT, facts={"workload.pods": Fact([])})
    assert from_bytes(to_bytes(empty)).fact("workload.pods") == []


def test_a_value_wins_over_an_error_and_the_later_over_the_earlier() -> None:
    error = Fact(error=FactError(FactErrorKind.FAILED, "no"))
    assert merge({"a": error, "b": Fact(1)}, {"a": Fact(2), "b": error}) == {"a": Fact(2), "b": Fact(1)}
    assert merge({"a": Fact(1)}, {"a": Fact(2)}) == {"a": Fact(2)}


def _rewritten(**members: bytes) -> bytes:
    source = zipfile.ZipFile(io.BytesIO(to_bytes(SNAPSHOT)))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in source.namelist():
            archive.writestr(name, members.get(name, source.read(name)))
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not an inferaudit snapshot"),
        (b"<html>", "not an inferaudit snapshot"),
        (b'{"schema": 3}', "a report is read by `inferaudit render`"),
        (to_bytes(SNAPSHOT)[:-40], "not an inferaudit snapshot"),
        (_rewritten(**{"snapshot.json": b"{}"}), "not an inferaudit snapshot"),
        (_rewritten(**{"snapshot.json": b'{"schema_version": 9, "facts": {}}'}), "snapshot version 9"),
        (_rewritten(**{"facts/nvml.gpus.json": b'[{"node": 3}]'}), "nvml.gpus"),
    ],
)
def test_a_damaged_file_is_one_clear_error(content: bytes, said: str) -> None:
    with pytest.raises(SnapshotError, match=said):
        from_bytes(content, "s")


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_reader(content: bytes) -> None:
    with pytest.raises(SnapshotError):
        from_bytes(content)
