"""Which GPUs are sampled while load is on: those that this host's driver showed, and no others."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path
from typing import Literal

import pytest
from support.nvml import gpu, nvml_in_process, script

from inferaudit.audit import _gpu_sampling
from inferaudit.collect.nvml_process import GpuWatch
from inferaudit.facts.gpu import Gpu, GpuSamples, XidWatch
from inferaudit.model import Fact, FactError, FactErrorKind
from inferaudit.plan import CollectPlan, GpuPlan

Mode = Literal["auto", "local", "dcgm", "pods"]
SEEN_BEFORE = Fact(XidWatch(window_s=300.0, gpus=1, source="DCGM"))


def sampled(tmp_path: Path, mode: Mode | None, *sources: str) -> tuple[dict[str, Fact], str]:
    """What a load over GPUs of these sources adds to the facts, and the NVML calls that were made."""
    plan = CollectPlan(gpu=GpuPlan(mode=mode) if mode else None)
    facts = {"nvml.gpus": Fact([Gpu(node="n1", index=0, uuid="GPU-a", sources=sources)])}
    facts["nvml.xid_events"] = SEEN_BEFORE
    with nvml_in_process(tmp_path, script(gpu(0))) as calls:
        with _gpu_sampling(plan, facts) as added:
            pass
        return added, calls.read_text()


@pytest.mark.parametrize("mode", ["auto", "local"])
@pytest.mark.parametrize("sources", [("NVML",), ("NVML", "DCGM")])
def test_gpus_of_this_host_are_sampled(tmp_path: Path, mode: Mode, sources: tuple[str, ...]) -> None:
    added, calls = sampled(tmp_path, mode, *sources)
    assert isinstance(added["load.gpu_samples"].value, GpuSamples)
    assert added["nvml.xid_events"].value.source == "NVML"
    assert "nvmlDeviceGetUtilizationRates" in calls


@pytest.mark.parametrize(
    ("mode", "source"),
    [("dcgm", "DCGM"), ("pods", "NVML"), ("auto", "DCGM"), (None, "NVML")],
    ids=["an exporter's", "other nodes'", "an exporter's beside a blind driver", "nobody's"],
)
def test_gpus_of_other_hosts_are_not(tmp_path: Path, mode: Mode | None, source: str) -> None:
    added, calls = sampled(tmp_path, mode, source)
    error = added["load.gpu_samples"].error
    assert error is not None
    assert (error.kind, error.remedy) == (FactErrorKind.NO_TARGET, "--gpus local on the GPU host")
    assert "not this host's" in error.reason
    assert "nvml.xid_events" not in added, "the exporter's longer watch stands"
    assert calls == "", "this host's driver was not touched"


def test_why_no_gpu_was_seen_is_why_none_was_sampled(tmp_path: Path) -> None:
    unseen = Fact(error=FactError(FactErrorKind.DENIED, "the driver denies permission", source="NVML"))
    with _gpu_sampling(CollectPlan(gpu=GpuPlan(mode="local")), {"nvml.gpus": unseen}) as added:
        pass
    assert added == {"load.gpu_samples": unseen}
    with _gpu_sampling(CollectPlan(), {}) as added:
        pass
    assert added == {}


def test_readings_come_from_a_process_of_their_own(tmp_path: Path) -> None:
    with (
        nvml_in_process(tmp_path, script(gpu(0), gpu(1, lost_after=40), **{"event.0": "79 1"})) as calls,
        GpuWatch() as watch,
    ):
        until = time.monotonic() + 60
        while calls.read_text().count("nvmlDeviceGetUtilizationRates") < 20 and time.monotonic() < until:
            time.sleep(0.05)
    samples, xids = watch.facts()
    assert "nvmlDeviceGetUtilizationRates" in calls.read_text()
    assert samples.value.uuids[1] in samples.value.ended
    assert samples.value.gpu.count(0) >= 4
    assert abs(samples.value.t_ns[-1] - time.time_ns()) < 60e9, "on the load's clock"
    assert [event.xid for event in xids.value.events] == [79]
    assert watch.facts() == (samples, xids)


def test_a_process_that_is_killed_is_no_silence_of_the_gpus(tmp_path: Path) -> None:
    with nvml_in_process(tmp_path, script(gpu(0))), GpuWatch() as watch:
        (child,) = (each for each in multiprocessing.active_children() if each.name == "inferaudit-gpus")
        child.kill()
        child.join()
    for fact in watch.facts():
        assert fact.error is not None
        assert "gave no answer" in fact.error.reason


def test_a_process_that_was_slow_to_start_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferaudit.collect.nvml_process._READY_S", 0.0)
    with nvml_in_process(tmp_path, script(gpu(0))), GpuWatch() as watch:
        time.sleep(0.1)
    samples, xids = watch.facts()
    assert isinstance(samples.value, GpuSamples)
    assert xids.error is None
