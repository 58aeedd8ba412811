"""The DCGM exporter's page: old and new names, both label spellings, and every way in which a page says nothing."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.nvml import MIB, gpu, mig, nvml_in_process, script
from support.processes import free_port

from inferaudit.catalog import load_catalog
from inferaudit.collect.gpu import FACT_NAMES, collect_gpus, only_of_cluster
from inferaudit.collect.gpu_fields import FIELDS
from inferaudit.collect.gpu_page import gpus_on, operator_nodes, xid_watch
from inferaudit.errors import UsageError
from inferaudit.evaluate import evaluate
from inferaudit.exposition import MetricFamily, MetricSample, parse_exposition
from inferaudit.facts.gpu import FACTS, Gpu
from inferaudit.facts.kernel_log import FACTS as KERNEL_LOG_FACTS
from inferaudit.model import Fact, FactErrorKind, Outcome, Snapshot, Target
from inferaudit.plan import GpuPlan
from inferaudit.policy import Policy

H100 = "NVIDIA H100 80GB HBM3"
IDENTITY = {"node", "index", "uuid", "sources", "lost", "error", "unsupported", "reasons"}
OLD = {
    "SM_CLOCK": 1980, "MEM_CLOCK": 2619, "GPU_TEMP": 48, "MEMORY_TEMP": 51, "POWER_USAGE": 412.5, "GPU_UTIL": 93,
    "MEM_COPY_UTIL": 40, "XID_ERRORS": 0, "FB_FREE": 8000, "FB_USED": 73000, "FB_RESERVED": 559,
    "PCIE_REPLAY_COUNTER": 3, "UNCORRECTABLE_REMAPPED_ROWS": 1, "CORRECTABLE_REMAPPED_ROWS": 2, "ROW_REMAP_FAILURE": 0,
    "CLOCK_THROTTLE_REASONS": 0x44, "ECC_DBE_VOL_TOTAL": 1, "RETIRED_DBE": 4,
}  # fmt: skip
NEW = {
    "GPU_TEMP_CELSIUS": 48, "MEMORY_TEMP_CELSIUS": 51, "BOARD_POWER_WATTS": 412.5, "GPU_UTIL_RATIO": 93,
    "XID_ERROR": 0, "PCIE_REPLAY_TOTAL": 3, "ROW_REMAP_UNCORRECTABLE_TOTAL": 1, "ROW_REMAP_CORRECTABLE_TOTAL": 2,
    "ROW_REMAP_FAILED": 0, "CLOCKS_EVENT_REASONS": 0x44, "PAGE_RETIRED_DBE": 4, "SM_CLOCK": 1980, "MEM_CLOCK": 2619,
    "MEM_COPY_UTIL": 40, "FB_FREE": 8000, "FB_USED": 73000, "FB_RESERVED": 559, "ECC_DBE_VOL_TOTAL": 1,
}  # fmt: skip


FIRST = """\
# HELP dcgm_sm_clock SM clock frequency (in MHz).
# TYPE dcgm_sm_clock gauge
dcgm_sm_clock{gpu="0",uuid="GPU-00000000"} 1980
dcgm_memory_clock{gpu="0",uuid="GPU-00000000"} 2619
dcgm_gpu_temp{gpu="0",uuid="GPU-00000000"} 48
dcgm_memory_temp{gpu="0",uuid="GPU-00000000"} 51
dcgm_power_usage{gpu="0",uuid="GPU-00000000"} 412.5
dcgm_pcie_replay_counter{gpu="0",uuid="GPU-00000000"} 3
dcgm_gpu_utilization{gpu="0",uuid="GPU-00000000"} 93
dcgm_mem_copy_utilization{gpu="0",uuid="GPU-00000000"} 40
dcgm_xid_errors{gpu="0",uuid="GPU-00000000"} 0
dcgm_fb_free{gpu="0",uuid="GPU-00000000"} 8000
dcgm_fb_used{gpu="0",uuid="GPU-00000000"} 73000
# TYPE dcgm_ecc_dbe_volatile_total counter
dcgm_ecc_dbe_volatile_total{gpu="0",uuid="GPU-00000000"} 1
# TYPE dcgm_retired_pages_dbe counter
dcgm_retired_pages_dbe{gpu="0",uuid="GPU-00000000"} 4
"""


def page(values: dict[str, float], number: int = 0, *, node: str = "gpu-1", host: str = "Hostname", **more: str) -> str:
    """A page of one GPU; `more` are labels. Counters are declared as such, for the parser is particular about them."""
    uuid = "uuid" if "pod_name" in more else "UUID"
    labels = {
        "gpu": str(number), uuid: f"GPU-{number:08x}", "pci_bus_id": f"00000000:0{number}:00.0",
        "device": f"nvidia{number}", "modelName": H100, host: node, "DCGM_FI_DRIVER_VERSION": "550.54.15", **more,
    }  # fmt: skip
    written = ",".join(f'{name}="{value}"' for name, value in labels.items() if value)
    lines = []
    for name, value in values.items():
        metric = name if name.startswith(("DCGM_", "gpu_")) else f"DCGM_FI_DEV_{name}"
        kind = "counter" if name.endswith(("TOTAL", "COUNTER", "ROWS")) else "gauge"
        lines += [f"# TYPE {metric} {kind}", f"{metric}{{{written}}} {value}"]
    return "\n".join(lines) + "\n"


def read(text: str) -> list[Gpu]:
    found = gpus_on(parse_exposition(text), "exporter-host")
    for each in found:
        for name in each.__struct_fields__:
            if name not in IDENTITY:
                assert (getattr(each, name) is None) == (name in each.reasons), name
    return found


@contextmanager
def exporter(text: str, status: int = 200) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("content-type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def asked(text: str, status: int = 200, **plan: str) -> dict[str, Fact]:
    with exporter(text, status) as url:
        return collect_gpus(GpuPlan(mode="dcgm", dcgm_url=url, **plan))  # type: ignore[arg-type]


@pytest.mark.parametrize("values", [OLD, NEW], ids=["names before 4.6", "names since 4.6"])
def test_both_generations_of_names_give_the_same_gpu(values: dict[str, float]) -> None:
    (found,) = read(page(values))
    assert (found.node, found.index, found.uuid, found.product) == ("gpu-1", 0, "GPU-00000000", H100)
    assert (found.driver_version, found.sources, found.subject) == ("550.54.15", ("DCGM",), "gpu/gpu-1/GPU-00000000")
    assert (found.memory_used_bytes, found.memory_total_bytes) == (73000 * MIB, 81559 * MIB)
    assert (found.power_w, found.temperature_c, found.temperature_memory_c) == (412.5, 48, 51)
    assert (found.utilization_gpu_percent, found.utilization_memory_percent) == (93, 40)
    assert (found.remapped_rows_uncorrectable, found.remapped_rows_correctable) == (1, 2)
    assert (found.remapped_rows_failure, found.pcie_replays, found.retired_pages_double_bit) == (False, 3, 4)
    assert found.clock_event_reasons == ("sw_power_cap", "hw_thermal_slowdown")
    assert (found.ecc_volatile_uncorrected, found.last_xid) == (1, 0)
    assert found.table is not None
    assert found.table.key == "H100-80GB"
    assert "DCGM_FI_DEV_ROW_REMAP_PENDING" in found.why_unknown("remapped_rows_pending")
    assert "does not tell links apart" in found.why_unknown("nvlinks")
    assert not found.lacks("ecc_enabled"), "an exporter that is silent says nothing of the hardware"


def test_an_exporter_before_2_0_is_read_too() -> None:
    (found,) = asked(FIRST)["nvml.gpus"].value
    (newer,) = read(page({name: value for name, value in OLD.items() if "ROW" not in name and "CLOCK_" not in name}))
    assert (found.node, found.index, found.uuid, found.product) == ("127.0.0.1", 0, "GPU-00000000", None)
    assert found.memory_total_bytes == 81000 * MIB, "it does not tell what is reserved"
    for name in found.__struct_fields__:
        if name not in IDENTITY and name not in ("product", "pci_bus_id", "driver_version", "memory_total_bytes"):
            assert getattr(found, name) == (None if "reserved" in name else getattr(newer, name)), name


@pytest.mark.parametrize(
    ("labels", "node"),
    [
        ({"host": "Hostname"}, "gpu-1"),
        ({"host": "hostname"}, "gpu-1"),
        ({"host": "Hostname", "node": "exporter-pod", "kubernetes_node": "worker-7"}, "worker-7"),
        ({"host": "ignored", "instance": "10.0.0.9:9400"}, "10.0.0.9"),
        ({"host": "ignored"}, "exporter-host"),
    ],
)
def test_the_node_is_found_under_each_spelling(labels: dict[str, str], node: str) -> None:
    (found,) = read(page({"GPU_TEMP": 40}, **labels))  # type: ignore[arg-type]
    assert found.node == node


def test_who_holds_the_gpu_under_each_spelling() -> None:
    plain = {"namespace": "llm", "pod": "chat-1", "container": "server"}
    old = {"pod_namespace": "llm", "pod_name": "chat-1", "container_name": "server"}
    aside = {f"exported_{k}": v for k, v in plain.items()} | {"pod": "dcgm-exporter-x", "namespace": "gpu"}
    for labels in (plain, old, aside):
        (found,) = read(page({"GPU_TEMP": 40}, **labels))
        assert found.holders == ("llm/chat-1/server",)
        assert found.uuid == "GPU-00000000"
    shared = page({"GPU_TEMP": 40}, **plain) + page({"GPU_TEMP": 41}, **{**plain, "pod": "chat-2"})
    (found,) = read(shared)
    assert (found.holders, found.temperature_c) == (("llm/chat-1/server", "llm/chat-2/server"), 41)
    free = read(page({"GPU_TEMP": 40}, **plain) + page({"GPU_TEMP": 40}, 1))
    assert [gpu.holders for gpu in free] == [("llm/chat-1/server",), ()], "a GPU without a pod beside one with"
    assert read(page({"GPU_TEMP": 40}))[0].holders is None


def test_mig_instances_are_kept_apart_and_the_board_is_one() -> None:
    small = {"GPU_I_ID": "7", "GPU_I_PROFILE": "1g.10gb"}
    large = {"GPU_I_ID": "2", "GPU_I_PROFILE": "3g.40gb"}
    text = page({"FB_USED": 1000, "FB_FREE": 8856, "GPU_TEMP": 40, "DCGM_FI_PROF_GR_ENGINE_ACTIVE": 0.5}, **small)
    (found,) = read(text + page({"FB_USED": 5, "FB_FREE": 40000, "GPU_TEMP": 40}, **large))
    assert found.mig_enabled is True
    assert found.mig_instances is not None
    assert {(i.profile, i.memory_used_bytes, i.memory_total_bytes) for i in found.mig_instances} == {
        ("1g.10gb", 1000 * MIB, 9856 * MIB),
        ("3g.40gb", 5 * MIB, 40005 * MIB),
    }
    assert found.temperature_c == 40
    assert found.memory_used_bytes is None
    assert "MIG is on" in found.why_unknown("memory_used_bytes")
    assert found.utilization_gpu_percent is None


def test_blanks_and_ambiguous_values_are_no_readings() -> None:
    blank = {"GPU_TEMP": 2147483632, "POWER_USAGE": 140737488355328.0, "ECC_DBE_VOL_TOTAL": 9223372036854775792.0}
    (found,) = read(page({**blank, "GPU_UTIL_RATIO": 1, "MEMORY_TEMP": 0, "PCIE_REPLAY_COUNTER": float("nan")}))
    assert (found.temperature_c, found.power_w, found.ecc_volatile_uncorrected, found.pcie_replays) == (None,) * 4
    assert "blank" in found.why_unknown("temperature_c")
    assert "1 % or 100 %" in found.why_unknown("utilization_gpu_percent")
    assert "without a sensor" in found.why_unknown("temperature_memory_c")


@pytest.mark.parametrize(
    ("values", "percent"),
    [
        ({"GPU_UTIL_RATIO": 0.93}, 93),
        ({"GPU_UTIL_RATIO": 93}, 93),
        ({"GPU_UTIL_RATIO": 0}, 0),
        ({"DCGM_FI_PROF_GR_ENGINE_ACTIVE": 1}, 100),
        ({"GPU_UTIL": 1}, 1),
    ],
)
def test_utilisation_is_in_percent(values: dict[str, float], percent: int) -> None:
    assert read(page(values))[0].utilization_gpu_percent == percent


@pytest.mark.parametrize(
    ("status", "mask", "state", "code", "faults"),
    [
        (1, None, "not_started", None, ()),
        (2, None, "in_progress", None, ()),
        (3, 0x1AA, "completed", 0, ()),
        (3, 0x19A, "completed", 0, ("route_unhealthy",)),
        (4, None, "completed", 999, ()),
    ],
)
def test_the_fabric_is_told_as_nvml_tells_it(
    status: int, mask: int | None, state: str, code: int | None, faults: tuple[str, ...]
) -> None:
    values = {"FABRIC_MANAGER_STATUS": status} | ({} if mask is None else {"FABRIC_HEALTH_MASK": mask})
    fabric = read(page(values))[0].fabric
    assert fabric is not None
    assert (fabric.state, fabric.status, fabric.faults) == (state, code, faults)
    for silent in (0, 5, 6):
        assert read(page({"FABRIC_MANAGER_STATUS": silent}))[0].fabric is None


def test_xids_are_counted_or_held_by_the_gauge_or_not_told() -> None:
    window = {"window_size_in_ms": "300000"}
    count = "DCGM_EXP_XID_ERRORS_COUNT"
    text = page({"GPU_TEMP": 40}) + page({count: 2}, **window, xid="79") + page({count: 0}, 1, **window, xid="0")
    families = parse_exposition(text)
    watch = xid_watch(families, read(text) + read(page({"GPU_TEMP": 1}, 1)))
    assert watch is not None
    assert (watch.window_s, watch.gpus, watch.source) == (300.0, 2, "DCGM")
    assert [(e.xid, e.gpu, e.offset_ms) for e in watch.events] == [(79, "GPU-00000000", None)]
    quiet = read(page({"XID_ERRORS": 0}))
    since_start = xid_watch([], quiet)
    assert since_start is not None
    assert (since_start.window_s, since_start.events) == (None, ())
    assert since_start.period == "on 1 GPUs since their exporter started"
    assert xid_watch([], [*quiet, *read(page({"GPU_TEMP": 40}, 1))]) is None, "a GPU without a gauge is not quiet"
    assert xid_watch([], read(page({"XID_ERRORS": 31}))) is None, "one XID known is not all known"


def test_the_gpu_operator_speaks_for_each_node() -> None:
    text = "".join(
        f'gpu_operator_node_{name}{{node="{node}"}} {value}\n'
        for node, name, value in (
            ("a", "driver_ready", 1),
            ("a", "cuda_ready", 0),
            ("a", "device_plugin_devices_total", 8),
            ("b", "device_plugin_devices_total", -1),
        )
    )
    first, second = operator_nodes(parse_exposition(text))
    assert (first.node, first.driver_ready, first.cuda_ready, first.toolkit_ready, first.devices) == (
        "a",
        True,
        False,
        None,
        8,
    )
    assert (second.node, second.devices) == ("b", None)


def test_the_mode_gives_every_fact_and_it_survives_the_snapshot() -> None:
    facts = asked(page(OLD) + 'gpu_operator_node_driver_ready{node="gpu-1"} 1\n', node="gpu-1")
    declared = {spec.name: spec.type for spec in (*FACTS, *KERNEL_LOG_FACTS) if not spec.name.startswith("load.")}
    assert facts.keys() == declared.keys() == set(FACT_NAMES)
    assert facts.pop("gpu.kernel_log").error is not None, "an exporter does not show it"
    for name, fact in facts.items():
        assert fact.error is None, name
        assert msgspec.json.decode(msgspec.json.encode(fact.value), type=declared[name]) == fact.value
    assert facts["nvml.driver"].value.driver_version == "550.54.15"
    (said,) = facts["gpu.sources"].value
    assert (said.source, said.node, said.count, said.products) == ("DCGM", "gpu-1", 1, (H100,))


@pytest.mark.parametrize(
    ("text", "status", "kind", "words"),
    [
        ("", 200, FactErrorKind.FAILED, "the page is empty"),
        ("up 1\n", 200, FactErrorKind.FAILED, "1 metrics, none of them DCGM's"),
        ('DCGM_FI_DEV_COUNT{Hostname="a"} 0\n', 200, FactErrorKind.FAILED, "name no GPU"),
        ("<html>not metrics</html>", 200, FactErrorKind.FAILED, "no Prometheus metrics page"),
        ("", 404, FactErrorKind.FAILED, "status 404"),
        ("", 401, FactErrorKind.DENIED, "credentials"),
    ],
)
def test_a_page_without_gpus_says_why(text: str, status: int, kind: FactErrorKind, words: str) -> None:
    facts = asked(text, status)
    for name in FACT_NAMES:
        error = facts[name].error
        assert error is not None
        assert error.kind is kind
        assert words in error.reason
    assert len({fact.error.key for fact in facts.values() if fact.error}) == 1, "one cause, one finding"


def test_an_exporter_that_is_down_is_one_reason() -> None:
    facts = collect_gpus(GpuPlan(mode="dcgm", dcgm_url=f"http://127.0.0.1:{free_port()}"))
    error = facts["nvml.gpus"].error
    assert error is not None
    assert error.kind is FactErrorKind.FAILED
    assert "refused" in error.reason


@pytest.mark.parametrize("url", ["", "ftp://x/", "http://", "http://a:b@c/", "http://h:99999/", "nonsense"])
def test_a_url_that_is_none_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError, match="--dcgm"):
        collect_gpus(GpuPlan(mode="dcgm", dcgm_url=url))


def test_the_named_node_chooses_among_several() -> None:
    text = page({"GPU_TEMP": 40}, node="a.example.com") + page({"GPU_TEMP": 41}, 1, node="b.example.com")
    (found,) = asked(text, node="b")["nvml.gpus"].value
    assert (found.node, found.temperature_c) == ("b", 41)
    error = asked(text, node="c")["nvml.gpus"].error
    assert error is not None
    assert (error.kind, error.remedy) == (FactErrorKind.NO_TARGET, "--gpus-node NAME")
    assert "a.example.com, b.example.com and none of c" in error.reason
    both = asked(text)
    assert len(both["nvml.gpus"].value) == 2
    assert both["nvml.driver"].error is not None, "two nodes have two drivers"


def test_an_exporter_that_gives_its_pods_name_takes_the_nodes() -> None:
    (found,) = asked(page({"GPU_TEMP": 40}, node="nvidia-dcgm-exporter-x7k2p"), node="gpu-7")["nvml.gpus"].value
    assert found.node == "gpu-7"


def test_driver_and_exporter_fill_each_others_gaps_and_are_both_kept(tmp_path: Path) -> None:
    uuid = "GPU-00000000-0000-4000-8000-000000000000"
    text = page({**OLD, "ROW_REMAP_PENDING": 1}, UUID=uuid, namespace="llm", pod="chat-1", node="host-1")
    with nvml_in_process(tmp_path, script(gpu(0, **{"return.nvmlDeviceGetRemappedRows": 999}))), exporter(text) as url:
        facts = collect_gpus(GpuPlan(dcgm_url=url), host="host-1", watch_s=0)
    (found,) = facts["nvml.gpus"].value
    assert found.sources == ("NVML", "DCGM")
    assert (found.remapped_rows_pending, found.holders, found.last_xid) == (True, ("llm/chat-1",), 0)
    assert found.temperature_c == 31, "the driver's own word stands"
    assert "remapped_rows_pending" not in found.reasons
    assert [(s.source, s.node, s.count) for s in facts["gpu.sources"].value] == [
        ("NVML", "host-1", 1),
        ("DCGM", "host-1", 1),
    ]


def test_what_the_driver_refuses_of_a_board_with_mig_its_exporter_may_tell(tmp_path: Path) -> None:
    uuid = "GPU-00000000-0000-4000-8000-000000000000"
    labels = {"UUID": uuid, "node": "host-1", "GPU_I_ID": "7", "GPU_I_PROFILE": "1g.10gb"}
    refused = {"return.nvmlDeviceGetRemappedRows": 3, "mig.mode": 1}
    text = script("\n".join([gpu(0, **refused), mig(0)]))
    with nvml_in_process(tmp_path, text), exporter(page({"ROW_REMAP_FAILURE": 1, "FB_USED": 5}, **labels)) as url:
        (found,) = collect_gpus(GpuPlan(dcgm_url=url), host="host-1", watch_s=0)["nvml.gpus"].value
    assert (found.mig_enabled, found.remapped_rows_failure, found.remapped_rows_pending) == (True, True, None)
    assert "remapped_rows_pending" in found.unsupported
    assert not found.lacks("remapped_rows_pending"), "unknown, and not the hardware's lack"
    assert "remapped_rows_failure" not in {*found.unsupported, *found.reasons}


def test_a_lost_gpu_is_not_revived_by_an_exporter(tmp_path: Path) -> None:
    uuid = "GPU-00000000-0000-4000-8000-000000000000"
    lost = gpu(0, **{"return.nvmlDeviceGetTemperature": 15, "return.nvmlDeviceGetTemperatureV": 15})
    with nvml_in_process(tmp_path, script(lost)), exporter(page(OLD, UUID=uuid, node="host-1")) as url:
        facts = collect_gpus(GpuPlan(mode="local", dcgm_url=url), host="host-1", watch_s=0)
    (found,) = facts["nvml.gpus"].value
    assert found.lost
    assert found.temperature_c is None


def test_a_source_that_failed_is_kept_beside_one_that_answered(tmp_path: Path) -> None:
    with nvml_in_process(tmp_path, script(gpu(0))):
        facts = collect_gpus(GpuPlan(dcgm_url=f"http://127.0.0.1:{free_port()}"), host="host-1", watch_s=0)
    assert facts["nvml.gpus"].error is None
    first, second = facts["gpu.sources"].value
    assert (first.source, first.error) == ("NVML", None)
    assert second.source == "DCGM"
    assert "refused" in second.error


def test_of_a_whole_clusters_page_only_its_nodes_count() -> None:
    text = page({"GPU_TEMP": 40}, node="a.example.com") + page({"GPU_TEMP": 41}, 1, node="elsewhere")
    kept = only_of_cluster(asked(text), ["a", "b"])
    assert [gpu.node for gpu in kept["nvml.gpus"].value] == ["a.example.com"]
    assert [said.node for said in kept["gpu.sources"].value] == ["a.example.com"]
    none = only_of_cluster(asked(text), ["c"])["nvml.gpus"].error
    assert none is not None
    assert none.remedy == "--gpus-node NAME"


def test_what_an_exporter_leaves_out_is_one_finding() -> None:
    facts = asked(page({**OLD, "CLOCK_THROTTLE_REASONS": 0, "ECC_DBE_VOL_TOTAL": 0}))
    snapshot = Snapshot(collected_at="2026-01-01T00:00:00Z", target=Target(), facts=facts)
    findings = evaluate(load_catalog(), snapshot, Policy(scope=["gpu"]))
    one = next(f for f in findings if f.check == "gpu-exporter-fields")
    assert one.outcome is Outcome.UNKNOWN
    assert one.cause is None
    of_the_gpu = [f for f in findings if f.outcome is Outcome.UNKNOWN and (f.subject or "").startswith("gpu/")]
    assert len(of_the_gpu) > 10
    assert {f.cause for f in of_the_gpu} == {one.fingerprint}


_NAMES = sorted({name for field in FIELDS for name in field.metrics} | {"DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_FREE"})


@given(
    st.lists(
        st.builds(
            MetricSample,
            st.sampled_from(_NAMES),
            st.dictionaries(
                st.sampled_from(["gpu", "UUID", "uuid", "Hostname", "GPU_I_ID", "pod", "exported_pod", "device"]),
                st.text(max_size=8),
                max_size=6,
            ),
            st.none() | st.floats(allow_nan=False, allow_infinity=False),
        ),
        max_size=12,
    )
)
def test_no_page_breaks_the_reading(samples: list[MetricSample]) -> None:
    found = gpus_on([MetricFamily("x", "gauge", "", samples)], "host")
    for each in found:
        for name in each.__struct_fields__:
            if name not in IDENTITY:
                assert (getattr(each, name) is None) == (name in each.reasons), name
        assert len(msgspec.json.encode(each)) < 20_000
