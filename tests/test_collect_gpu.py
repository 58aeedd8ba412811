"""The GPU collector over an unchanged pynvml: one case for every way hardware and drivers answer."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.nvml import H100_MEMORY_BYTES, MIB, consumer_gpu, gpu, mig, nvml_environment, nvml_in_process, script

from inferaudit.collect.gpu import FACT_NAMES, collect_gpus, counted_again, only_of_cluster
from inferaudit.collect.nvml_host import in_container
from inferaudit.collect.nvml_readings import READINGS, clock_event_names
from inferaudit.collect.nvml_sampler import GpuSampler
from inferaudit.collect.nvml_watch import XidWatcher
from inferaudit.facts.gpu import FACTS, Gpu, GpuSamples, NvmlDriver, XidWatch
from inferaudit.facts.kernel_log import FACTS as KERNEL_LOG_FACTS
from inferaudit.model import Fact, FactErrorKind
from inferaudit.plan import GpuPlan

LOCAL = GpuPlan(mode="local")
COLLECTOR = Path(__file__).parents[1] / "inferaudit" / "collect"
IDENTITY = {"node", "index", "uuid", "sources", "lost", "error", "unsupported", "reasons"}
NOT_OF_NVML = {"last_xid", "holders"}


def collect(tmp_path: Path, *gpus: str, plan: GpuPlan = LOCAL, **system: object) -> dict[str, Fact]:
    with nvml_in_process(tmp_path, script(*gpus, **system)):
        return collect_gpus(plan, host="host-1", watch_s=0)


def only(facts: dict[str, Fact]) -> Gpu:
    assert facts["nvml.gpus"].error is None, facts["nvml.gpus"].error
    (found,) = facts["nvml.gpus"].value
    assert isinstance(found, Gpu)
    return found


def assert_absence_is_explained(found: Gpu) -> None:
    """The rule of the house: what is None has a reason, what has a value has none."""
    for name in found.__struct_fields__:
        if name not in IDENTITY:
            assert (getattr(found, name) is None) == (name in found.reasons), name
    assert set(found.unsupported) <= set(found.reasons)


def test_a_healthy_gpu_is_read_whole(tmp_path: Path) -> None:
    facts = collect(tmp_path, gpu(0), gpu(1))
    first, second = facts["nvml.gpus"].value
    assert (first.product, first.memory_total_bytes) == ("NVIDIA H100 80GB HBM3", H100_MEMORY_BYTES)
    assert first.memory_total_bytes == first.memory_used_bytes + first.memory_free_bytes + first.memory_reserved_bytes
    assert (first.power_w, first.power_limit_w) == (72.5, 700.0)
    assert first.compute_capability == "9.0"
    assert first.clock_event_reasons == ("gpu_idle",)
    assert (first.ecc_enabled, first.ecc_volatile_uncorrected, first.remapped_rows_pending) == (True, 0, False)
    assert first.nvlinks is not None
    assert [link.active for link in first.nvlinks] == [True] * 18
    assert first.fabric is not None
    assert (first.fabric.state, first.fabric.faults) == ("completed", ())
    assert (first.mig_enabled, first.mig_instances, first.processes) == (False, (), ())
    assert (first.recovery_action, first.compute_mode, first.persistence_mode) == ("none", "default", True)
    assert set(first.unsupported) == {"retired_pages_single_bit", "retired_pages_double_bit", "retired_pages_pending"}
    assert first.subject == f"gpu/host-1/{first.uuid}"
    assert second.index == 1
    assert_absence_is_explained(first)
    driver = facts["nvml.driver"].value
    assert isinstance(driver, NvmlDriver)
    assert (driver.driver_version, driver.cuda_version, driver.gpu_count) == ("550.54.15", "12.4", 2)
    watch = facts["nvml.xid_events"].value
    assert isinstance(watch, XidWatch)
    assert (watch.gpus, watch.events) == (2, ())


def test_facts_survive_the_snapshot(tmp_path: Path) -> None:
    declared = {spec.name: spec for spec in (*FACTS, *KERNEL_LOG_FACTS)}
    text = script(gpu(0, "process compute 7 4096"), **{"event.0": "79 0"})
    with nvml_in_process(tmp_path, text):
        facts = collect_gpus(LOCAL, host="host-1", watch_s=0)
        with GpuSampler() as sampler:
            pass
        facts["load.gpu_samples"] = sampler.stop()
    assert facts.keys() == declared.keys()
    assert facts.pop("gpu.operator").error is not None, "an exporter alone tells it"
    for name, fact in facts.items():
        back = msgspec.json.decode(msgspec.json.encode(fact.value), type=declared[name].type)
        assert back == fact.value, name


def test_the_serial_number_is_digested_and_arguments_are_dropped(tmp_path: Path) -> None:
    names = {"process_name.7": "/opt/secret/python3 --api-key hf_abcdef", "process_name.8": "VLLM::EngineCore"}
    found = only(collect(tmp_path, gpu(0, "process compute 7 4096", "process compute 8 -"), **names))
    assert found.serial is not None
    assert found.serial.startswith("sha256:")
    assert "1653824000" not in msgspec.json.encode(found).decode()
    assert found.processes is not None
    assert [(p.pid, p.name, p.used_bytes, p.kind) for p in found.processes] == [
        (7, "python3", 4096, "compute"),
        (8, "VLLM::EngineCore", None, "compute"),
    ]


def test_a_process_in_two_lists_is_counted_once_and_mps_is_told(tmp_path: Path) -> None:
    lines = ("process compute 7 4096", "process graphics 7 4096", "process mps 9 100")
    found = only(collect(tmp_path, gpu(0, *lines)))
    assert found.processes is not None
    assert [(p.pid, p.kind, p.name) for p in found.processes] == [(7, "compute", None), (9, "mps", None)]


def test_after_the_load_only_the_counters_of_errors_are_read_again(tmp_path: Path) -> None:
    before = collect(tmp_path, gpu(0, **{"memory.used": 0}), gpu(1))["nvml.gpus"].value
    broken = gpu(0, **{"memory.used": 1 << 30, "ecc.volatile.uncorrected": 2, "remapped.pending": 1})
    with nvml_in_process(tmp_path, script(broken, gpu(1, lost_after=3))):
        first, second = counted_again(before, LOCAL)
    assert (first.ecc_volatile_uncorrected, first.remapped_rows_pending) == (2, True)
    assert first.memory_used_bytes == before[0].memory_used_bytes
    assert second == before[1]


def test_a_consumer_card_says_what_it_lacks(tmp_path: Path) -> None:
    found = only(collect(tmp_path, consumer_gpu(0)))
    assert found.product == "NVIDIA GeForce RTX 4090"
    assert {"ecc_enabled", "remapped_rows_pending", "nvlinks", "fabric", "serial"} <= set(found.unsupported)
    assert found.ecc_volatile_uncorrected is None
    assert found.why_unknown("ecc_volatile_uncorrected") == "not supported by this GPU or its mode"
    assert found.lacks("ecc_volatile_uncorrected")
    assert_absence_is_explained(found)


def test_a_turing_card_has_retired_pages_instead_of_rows(tmp_path: Path) -> None:
    absent = dict.fromkeys(("remapped.correctable", "remapped.uncorrectable", "remapped.pending", "remapped.failure"))
    pages = {"retired.single_bit": 3, "retired.double_bit": 1, "retired.pending": 1}
    found = only(collect(tmp_path, gpu(0, **absent, **pages, name="Tesla T4")))
    assert (found.retired_pages_single_bit, found.retired_pages_double_bit, found.retired_pages_pending) == (3, 1, True)
    assert found.remapped_rows_failure is None


def test_mig_instances_are_listed_and_the_parents_refusals_kept(tmp_path: Path) -> None:
    parent = gpu(
        0, **{"mig.mode": 1, "utilization.gpu": None, "ecc.volatile.uncorrected": None, "remapped.pending": None}
    )
    found = only(collect(tmp_path, parent, mig(1), mig(2, "3g.40gb", 40448, **{"memory.used": 1000 * MIB})))
    assert found.mig_enabled is True
    assert found.mig_instances is not None
    assert [(i.profile, i.gpu_slices) for i in found.mig_instances] == [("1g.10gb", 1), ("3g.40gb", 3)]
    assert found.mig_instances[1].memory_used_bytes == 1000 * MIB
    assert found.utilization_gpu_percent is None
    assert not found.lacks("utilization_gpu_percent"), "a MIG parent has it and does not tell"
    assert_absence_is_explained(found)


def test_faults_are_read_as_they_are(tmp_path: Path) -> None:
    found = only(
        collect(
            tmp_path,
            gpu(
                0,
                **{
                    "ecc.volatile.uncorrected": 2,
                    "remapped.pending": 1,
                    "clock_events": 0x48,
                    "pcie.width": 8,
                    "nvlink.3.state": 0,
                    "nvlink.4.error.1": 7,
                    "fabric.state": 2,
                    "fabric.health": 0x1A9,
                    "field.230": 2,
                    "compute_mode": 2,
                    "persistence_mode": 0,
                },
            ),
        )
    )
    assert (found.ecc_volatile_uncorrected, found.remapped_rows_pending, found.pcie_width) == (2, True, 8)
    assert found.clock_event_reasons == ("hw_slowdown", "hw_thermal_slowdown")
    assert found.nvlinks is not None
    assert found.nvlinks[3].active is False
    assert found.nvlinks[4].recovery_errors == 7
    assert found.fabric is not None
    assert (found.fabric.state, found.fabric.faults) == ("in_progress", ("degraded_bandwidth",))
    assert (found.recovery_action, found.compute_mode, found.persistence_mode) == ("node_reboot", "prohibited", False)


def test_a_thermal_margin_of_zero_is_no_reading(tmp_path: Path) -> None:
    found = only(collect(tmp_path, gpu(0, **{"temperature.margin": 0})))
    assert found.temperature_margin_c is None
    assert found.why_unknown("temperature_margin_c") == "a margin of 0 is no reading"


def test_a_driver_without_the_versioned_fabric_call_is_asked_the_old_way(tmp_path: Path) -> None:
    found = only(collect(tmp_path, gpu(0, **{"return.nvmlDeviceGetGpuFabricInfoV": 25, "fabric.state": 1})))
    assert found.fabric is not None
    assert (found.fabric.state, found.fabric.health_mask) == ("not_started", None)


@pytest.mark.parametrize("code", [2, 3])
def test_a_card_without_nvlink_says_so_in_either_way(tmp_path: Path, code: int) -> None:
    found = only(collect(tmp_path, gpu(0, **{"return.nvmlDeviceGetNvLinkState": code})))
    assert found.nvlinks is None
    assert found.lacks("nvlinks")
    assert found.why_unknown("nvlinks") == "the driver reports no NVLink of this GPU"


def test_a_field_newer_than_the_driver_is_one_it_lacks(tmp_path: Path) -> None:
    found = only(collect(tmp_path, gpu(0, **{"field_return.230": 2, "field_return.82": 4})))
    assert found.lacks("recovery_action")
    assert found.why_unknown("recovery_action") == "not known to this driver version"
    assert not found.lacks("temperature_memory_c")
    assert found.why_unknown("temperature_memory_c") == "the driver denies permission"


def test_a_name_that_is_no_text_costs_the_name(tmp_path: Path) -> None:
    with nvml_in_process(tmp_path, script(gpu(0))):
        path = tmp_path / "nvml-script"
        path.write_bytes(path.read_bytes().replace(b"NVIDIA H100 80GB HBM3", b"NVIDIA \xff\xfe"))
        found = only(collect_gpus(LOCAL, host="host-1", watch_s=0))
    assert found.product is None
    assert found.why_unknown("product") == "the driver's answer is not text"


def test_one_refused_call_costs_its_own_fields_only(tmp_path: Path) -> None:
    found = only(collect(tmp_path, gpu(0, **{"return.nvmlDeviceGetRemappedRows": 999})))
    lost = {name for name in found.reasons if name not in found.unsupported} - NOT_OF_NVML
    assert lost == {name for name in Gpu.__struct_fields__ if name.startswith("remapped_rows_")}
    assert found.why_unknown("remapped_rows_failure") == "the driver reported an unknown error"
    assert_absence_is_explained(found)


@pytest.mark.parametrize("reading", READINGS, ids=lambda reading: reading.fields[0])
def test_no_reading_is_needed_by_another(tmp_path: Path, reading: Any) -> None:
    """Every call in turn answers an unknown error: always a GPU, always with reasons, never a traceback."""
    with nvml_in_process(tmp_path, script(gpu(0))) as calls:
        collect_gpus(LOCAL, host="host-1", watch_s=0)
        made = {name for name in calls.read_text().splitlines() if name.startswith("nvmlDeviceGet")}
    keyed = {name for name in made if _is_for(reading.fields[0], name)}
    refused = {f"return.{name}": 999 for name in keyed}
    found = only(collect(tmp_path, gpu(0, **refused)))
    assert_absence_is_explained(found)


def _is_for(field: str, function: str) -> bool:
    words = [word for word in field.lower().split("_") if len(word) > 2]
    return any(word in function.lower() for word in words) and function != "nvmlDeviceGetHandleByIndex_v2"


@pytest.mark.parametrize("calls_before_loss", [0, 1, 2, 9, 30, 60, 100])
def test_a_gpu_may_be_lost_at_any_call(tmp_path: Path, calls_before_loss: int) -> None:
    facts = collect(tmp_path, gpu(0, lost_after=calls_before_loss), gpu(1))
    lost, healthy = facts["nvml.gpus"].value
    assert lost.lost is True
    assert lost.error is not None
    assert "lost" in lost.error
    assert (lost.uuid is None) == (lost.subject == "gpu/host-1/index-0")
    assert lost.temperature_c is None, "what it said of its health is no longer true"
    assert (lost.product is None) or lost.product == "NVIDIA H100 80GB HBM3"
    assert healthy.lost is False
    assert healthy.error is None
    assert_absence_is_explained(lost)
    assert_absence_is_explained(healthy)


@pytest.mark.parametrize(
    ("code", "kind", "words", "remedy"),
    [
        (9, FactErrorKind.FAILED, "driver is not loaded", "NVIDIA_VISIBLE_DEVICES"),
        (18, FactErrorKind.FAILED, "different versions", "reboot"),
        (4, FactErrorKind.DENIED, "denies permission", "/dev/nvidia"),
        (12, FactErrorKind.FAILED, "no GPU library", "utility"),
        (999, FactErrorKind.FAILED, "unknown error", "nvidia-smi"),
        (77, FactErrorKind.FAILED, "NVML error 77", "nvidia-smi"),
    ],
)
def test_a_driver_that_does_not_open_says_why(
    tmp_path: Path, code: int, kind: FactErrorKind, words: str, remedy: str
) -> None:
    facts = collect(tmp_path, gpu(0), **{"return.nvmlInitWithFlags": code})
    assert facts.keys() == set(FACT_NAMES)
    assert facts["gpu.kernel_log"].error is None, "the kernel log does not need the driver, and may say what ails it"
    asked = {name: fact for name, fact in facts.items() if name not in ("gpu.operator", "gpu.kernel_log")}
    for fact in asked.values():
        assert fact.value is None
        assert fact.error is not None
        assert fact.error.kind is kind
        assert words in fact.error.reason
        assert remedy in fact.error.remedy
    assert len({fact.error.key for fact in asked.values() if fact.error}) == 1, "one cause, one finding"


def test_no_gpu_is_a_failure_and_never_an_empty_list(tmp_path: Path) -> None:
    facts = collect(tmp_path)
    error = facts["nvml.gpus"].error
    assert error is not None
    assert (error.kind, error.reason) == (FactErrorKind.FAILED, "the driver answers and shows no GPU")
    assert "NVIDIA_VISIBLE_DEVICES" in error.remedy
    assert facts["nvml.driver"].value.driver_version == "550.54.15"
    assert facts["nvml.xid_events"].error is not None


def test_gpus_that_may_not_be_opened_are_denied(tmp_path: Path) -> None:
    refused = {"return.nvmlDeviceGetHandleByIndex_v2": 4}
    facts = collect(tmp_path, gpu(0, **refused), gpu(1, **refused))
    error = facts["nvml.gpus"].error
    assert error is not None
    assert error.kind is FactErrorKind.DENIED
    assert "none of the 2 GPUs" in error.reason


def test_a_failed_count_is_a_failure(tmp_path: Path) -> None:
    facts = collect(tmp_path, gpu(0), **{"return.nvmlDeviceGetCount_v2": 999})
    error = facts["nvml.gpus"].error
    assert error is not None
    assert "cannot be counted" in error.reason


def test_off_touches_nothing(tmp_path: Path) -> None:
    with nvml_in_process(tmp_path, script(gpu(0))) as calls:
        facts = collect_gpus(GpuPlan(mode="off"), host="host-1")
        assert calls.read_text() == ""
    for fact in facts.values():
        assert fact.error is not None
        assert fact.error.kind is FactErrorKind.NO_TARGET
        assert "--gpus off" in fact.error.reason


def test_the_named_node_is_the_subject(tmp_path: Path) -> None:
    facts = collect(tmp_path, gpu(0), plan=GpuPlan(mode="local", node="gpu-node-7"))
    assert only(facts).subject.startswith("gpu/gpu-node-7/GPU-")
    assert (facts["nvml.driver"].value.host, facts["nvml.driver"].value.node) == ("host-1", "gpu-node-7")


@pytest.mark.parametrize(
    ("node", "nodes", "counts"),
    [
        ("", ["host-1", "b"], True),
        ("", ["host-1.example.internal"], True),
        ("", ["a", "b"], False),
        ("a", ["a", "b"], True),
        ("", [], False),
    ],
)
def test_a_workstations_gpus_are_not_the_clusters(tmp_path: Path, node: str, nodes: list[str], counts: bool) -> None:
    facts = only_of_cluster(collect(tmp_path, gpu(0), plan=GpuPlan(mode="local", node=node)), nodes)
    assert (facts["nvml.gpus"].error is None) is counts
    if not counts:
        error = facts["nvml.gpus"].error
        assert error is not None
        assert (error.kind, error.remedy) == (FactErrorKind.NO_TARGET, "--gpus-node NAME")


def test_a_hanging_driver_is_left_behind(tmp_path: Path) -> None:
    with nvml_in_process(tmp_path, script(gpu(0, **{"delay_ms.nvmlDeviceGetName": 1500}))):
        facts = collect_gpus(LOCAL, host="host-1", deadline_s=0.2)
        for thread in threading.enumerate():
            if thread.name.startswith("inferaudit-"):
                thread.join(10)
    error = facts["nvml.gpus"].error
    assert error is not None
    assert "did not answer within 0.2 s" in error.reason


def test_nothing_that_changes_state_is_named_or_called(tmp_path: Path) -> None:
    changing = re.compile(r"nvml\w*(Set[A-Z]|Clear|Reset|Freeze|Create|Destroy|Remove|Attach|Power(On|Off)|Write)\w*")
    allowed = {"nvmlEventSetCreate", "nvmlEventSetWait", "nvmlEventSetFree"}
    for path in [COLLECTOR / "gpu.py", *COLLECTOR.glob("nvml_*.py")]:
        named = {match.group(0) for match in changing.finditer(path.read_text(encoding="utf-8"))}
        assert named <= allowed, path.name
    with nvml_in_process(tmp_path, script(gpu(0, **{"mig.mode": 1}), mig(1))) as calls:
        collect_gpus(LOCAL, host="host-1", watch_s=0)
        with GpuSampler():
            pass
        called = set(calls.read_text().splitlines())
    assert len(called) > 40
    assert {name for name in called if changing.fullmatch(name)} <= {*allowed, "nvmlEventSetWait_v2"}


# In a process of its own: other libraries than this process has loaded


def collect_elsewhere(environment: dict[str, str], mode: str = "local") -> dict[str, Any]:
    program = (
        "import msgspec, sys\n"
        "from inferaudit.collect.gpu import collect_gpus\n"
        "from inferaudit.plan import GpuPlan\n"
        "facts = collect_gpus(GpuPlan(mode=sys.argv[1]), host='host-1', watch_s=0)\n"
        "sys.stdout.buffer.write(msgspec.json.encode(facts))\n"
    )
    root = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", program, mode],
        env={**os.environ, "PYTHONPATH": root, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    answer: dict[str, Any] = msgspec.json.decode(done.stdout)
    return answer


def test_an_old_driver_gives_what_it_has(tmp_path: Path) -> None:
    text = script(gpu(0, "process compute 7 4096", **{"memory.used": 1000 * MIB}), driver="470.256.02", cuda=11040)
    environment = nvml_environment(tmp_path, text, old_driver=True)
    (found,) = collect_elsewhere(environment)["nvml.gpus"]["value"]
    assert found["memory_reserved_bytes"] is None
    assert found["memory_used_bytes"] == 1551 * MIB, "the old call counts what the driver reserves as used"
    assert found["reasons"]["memory_reserved_bytes"] == "this driver does not tell it apart"
    assert [(p["pid"], p["kind"], p["used_bytes"]) for p in found["processes"]] == [(7, "compute", 4096)]
    assert found["temperature_c"] == 31, "read with the older call"
    assert found["clock_event_reasons"] == ["gpu_idle"]
    assert found["fabric"] is None


@pytest.mark.parametrize(("mode", "kind"), [("auto", "no_target"), ("local", "failed")])
def test_a_host_without_the_library(tmp_path: Path, mode: str, kind: str) -> None:
    (tmp_path / "libnvidia-ml.so.1").touch()  # found first, and no library: also true of machines that have a GPU
    facts = collect_elsewhere({"LD_LIBRARY_PATH": str(tmp_path)}, mode)
    error = facts["nvml.gpus"]["error"]
    assert error["kind"] == kind
    assert "no GPU library" in error["reason"]
    assert "--gpus" in error["reason"] + error["remedy"]


# Over time


def test_xid_events_are_seen_with_their_gpu(tmp_path: Path) -> None:
    events = {"event.0": "79 1", "event.1": "13 0"}
    facts = collect(tmp_path, gpu(0), gpu(1, lost_after=3), **events)
    watch = facts["nvml.xid_events"].value
    assert [event.xid for event in watch.events] == [79, 13]
    assert watch.events[1].gpu is not None
    assert watch.events[1].gpu.startswith("GPU-00000000")


def test_a_refused_watch_says_so(tmp_path: Path) -> None:
    facts = collect(tmp_path, gpu(0, **{"return.nvmlDeviceRegisterEvents": 3}))
    assert facts["nvml.gpus"].error is None
    error = facts["nvml.xid_events"].error
    assert error is not None
    assert error.reason == "XID events could not be watched: not supported by this GPU or its mode"


def test_the_watch_lasts_as_long_as_asked(tmp_path: Path) -> None:
    with nvml_in_process(tmp_path, script(gpu(0))):
        watch = collect_gpus(LOCAL, host="host-1", watch_s=0.3)["nvml.xid_events"].value
    assert watch.window_s >= 0.3


def test_a_storm_of_events_is_drained_before_the_watch_ends(tmp_path: Path) -> None:
    storm = {f"event.{number}": "13 0" for number in range(400)}
    with nvml_in_process(tmp_path, script(gpu(0), **storm)), XidWatcher() as watcher:
        watch = watcher.fact("NVML").value
    assert len(watch.events) == 400
    assert watch.truncated is False


def wait_for(calls: Path, function: str, times: int) -> None:
    """Until the stand-in has answered `function` `times` times; bounded."""
    for _ in range(500):
        if calls.read_text().splitlines().count(function) >= times:
            return
        threading.Event().wait(0.02)
    raise AssertionError(f"{function} was not called {times} times")


def test_samples_are_columns_of_one_length_on_the_given_clock(tmp_path: Path) -> None:
    ticks = iter(range(1_000, 10**9, 7))
    text = script(gpu(0, **{"utilization.gpu": "5|60|99", "power.usage_mw": None}), gpu(1))
    with nvml_in_process(tmp_path, text) as calls:
        sampler = GpuSampler(clock=lambda: next(ticks))
        sampler.start()
        wait_for(calls, "nvmlDeviceGetUtilizationRates", 8)
        samples = sampler.stop().value
    assert isinstance(samples, GpuSamples)
    lengths = {len(getattr(samples, name)) for name in GpuSamples.__struct_fields__ if name in vars_of_columns()}
    assert len(lengths) == 1
    assert list(samples.t_ns) == sorted(samples.t_ns)
    first = [u for u, g in zip(samples.utilization_gpu_percent, samples.gpu, strict=True) if g == 0]
    assert first[:3] == [5, 60, 99]
    assert {p for p, g in zip(samples.power_w, samples.gpu, strict=True) if g == 0} == {None}
    assert samples.missed == 0, "what is unsupported is not missed"


def vars_of_columns() -> set[str]:
    return set(GpuSamples.__struct_fields__) - {"uuids", "interval_ms", "missed", "ended"}


def test_sampling_outlives_a_lost_gpu(tmp_path: Path) -> None:
    with nvml_in_process(tmp_path, script(gpu(0, lost_after=12), gpu(1))) as calls:
        sampler = GpuSampler()
        sampler.start()
        wait_for(calls, "nvmlDeviceGetClockInfo", 6)
        samples = sampler.stop().value
    assert list(samples.ended) == [samples.uuids[0]]
    assert "lost" in samples.ended[samples.uuids[0]]
    assert samples.gpu.count(1) > samples.gpu.count(0) > 0


def test_a_driver_that_hangs_under_load_is_no_gpu_that_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inferaudit.collect.nvml_sampler._STOP_S", 0.3)
    text = script(gpu(0), gpu(1, **{"delay_ms.nvmlDeviceGetPowerUsage": "0|0|0|2000"}))
    with nvml_in_process(tmp_path, text) as calls:
        sampler = GpuSampler()
        sampler.start()
        wait_for(calls, "nvmlDeviceGetPowerUsage", 8)
        samples = sampler.stop().value
        wait_for(calls, "nvmlShutdown", 1)
    assert samples.ended == {samples.uuids[1]: "the driver did not answer within 0.3 s"}


def test_a_full_table_is_thinned_and_the_pace_halved(tmp_path: Path) -> None:
    with nvml_in_process(tmp_path, script(gpu(0), gpu(1))) as calls:
        sampler = GpuSampler(max_rows=4)
        sampler.start()
        wait_for(calls, "nvmlDeviceGetClockInfo", 6)
        samples = sampler.stop().value
    assert samples.interval_ms >= 200
    assert len(samples.t_ns) <= 6
    assert set(samples.gpu) == {0, 1}


@pytest.mark.parametrize(
    ("code", "kind"), [(12, FactErrorKind.NO_TARGET), (4, FactErrorKind.DENIED), (9, FactErrorKind.FAILED)]
)
def test_sampling_that_cannot_begin_says_why(tmp_path: Path, code: int, kind: FactErrorKind) -> None:
    with nvml_in_process(tmp_path, script(gpu(0), **{"return.nvmlInitWithFlags": code})), GpuSampler() as sampler:
        pass
    error = sampler.stop().error
    assert error is not None
    assert error.kind is kind


def test_no_reading_at_all_is_a_failure(tmp_path: Path) -> None:
    with nvml_in_process(tmp_path, script(gpu(0, lost_after=0))), GpuSampler() as sampler:
        pass
    error = sampler.stop().error
    assert error is not None
    assert error.kind is FactErrorKind.FAILED


def test_every_clock_event_bit_has_a_name() -> None:
    assert clock_event_names(0) == ()
    assert clock_event_names(0x1FF)[-1] == "display_clock_setting"
    assert clock_event_names(1 << 12) == ("bit_12",)


def test_the_page_on_gpus_names_every_gpu_check() -> None:
    root = Path(__file__).parents[1]
    named = set(re.findall(r"`(gpu-[a-z0-9-]+)`", (root / "docs" / "gpus.md").read_text(encoding="utf-8")))
    assert named == {
        f"gpu-{path.stem.replace('_', '-')}" for path in (root / "checks" / "gpu").iterdir() if path.is_file()
    }


# The whole way: stand-in, pynvml, collector, snapshot, checks, verdict, exit code

FAULTY_GPU = gpu(1, **{"ecc.volatile.uncorrected": 3, "nvlink.3.state": 0})
OUTCOMES = {
    "healthy": (script(gpu(0), gpu(1)), "GO", 0, set()),
    "faulty": (script(gpu(0), FAULTY_GPU), "NO_GO", 1, {"gpu-ecc-uncorrected", "gpu-nvlink-down"}),
    "lost": (script(gpu(0), gpu(1, lost_after=30)), "NO_GO", 1, {"gpu-lost"}),
    "xid": (script(gpu(0), gpu(1), **{"event.0": "79 1"}), "NO_GO", 1, {"gpu-xid-hardware"}),
    "no driver": (script(**{"return.nvmlInitWithFlags": 9}), "INCOMPLETE", 3, set()),
    "no GPU": (script(), "INCOMPLETE", 3, set()),
}


@pytest.mark.parametrize("case", OUTCOMES)
def test_a_run_over_gpus_alone_ends_in_the_right_verdict(tmp_path: Path, case: str) -> None:
    text, verdict, code, failing = OUTCOMES[case]
    arguments = ["run", "--gpus", "local", "--scope", "gpu", "-o", f"json={tmp_path}/report.json"]
    program = "import sys\nfrom inferaudit.cli.app import main\nsys.argv[0] = 'inferaudit'\nmain()\n"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **nvml_environment(tmp_path, text)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert "Traceback" not in done.stderr
    report = msgspec.json.decode((tmp_path / "report.json").read_bytes())
    assert (report["verdict"], done.returncode) == (verdict, code), done.stderr
    failed = {
        f["check"] for f in report["findings"] if f["outcome"] == "fail" and f["severity"] in ("critical", "high")
    }
    assert failed == failing


@pytest.mark.parametrize("mark", [".dockerenv", "run/.containerenv"])
def test_a_container_that_was_given_some_gpus_is_told_from_a_host(tmp_path: Path, mark: str) -> None:
    assert not in_container({}, tmp_path)
    assert in_container({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "NVIDIA_VISIBLE_DEVICES": "GPU-a"}, tmp_path)
    assert in_container({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, tmp_path)
    (tmp_path / mark).parent.mkdir(exist_ok=True)
    (tmp_path / mark).touch()
    assert in_container({}, tmp_path)
    assert not in_container({"NVIDIA_VISIBLE_DEVICES": "all"}, tmp_path)
