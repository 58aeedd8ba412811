"""Which DCGM metrics hold which field of a GPU, and how a value becomes it. Data.

Names are those of https://github.com/NVIDIA/dcgm-exporter (default-counters.csv, 1.x-compatibility-metrics.csv) and of
DCGM's dcgm_fields.h, before and since DCGM 4.6, which renamed many.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from inferaudit.collect.nvml_readings import RECOVERY_ACTIONS, clock_event_names

DEV = "DCGM_FI_DEV_"
# dcgm-exporter before 2.0, and its 1.x-compatibility-metrics.csv: the same readings in the same units.
FIRST_NAMES = {
    "dcgm_sm_clock": f"{DEV}SM_CLOCK",
    "dcgm_memory_clock": f"{DEV}MEM_CLOCK",
    "dcgm_memory_temp": f"{DEV}MEMORY_TEMP",
    "dcgm_gpu_temp": f"{DEV}GPU_TEMP",
    "dcgm_power_usage": f"{DEV}POWER_USAGE",
    "dcgm_pcie_replay_counter": f"{DEV}PCIE_REPLAY_COUNTER",
    "dcgm_gpu_utilization": f"{DEV}GPU_UTIL",
    "dcgm_mem_copy_utilization": f"{DEV}MEM_COPY_UTIL",
    "dcgm_xid_errors": f"{DEV}XID_ERRORS",
    "dcgm_fb_free": f"{DEV}FB_FREE",
    "dcgm_fb_used": f"{DEV}FB_USED",
    "dcgm_ecc_sbe_volatile_total": f"{DEV}ECC_SBE_VOL_TOTAL",
    "dcgm_ecc_dbe_volatile_total": f"{DEV}ECC_DBE_VOL_TOTAL",
    "dcgm_ecc_sbe_aggregate_total": f"{DEV}ECC_SBE_AGG_TOTAL",
    "dcgm_ecc_dbe_aggregate_total": f"{DEV}ECC_DBE_AGG_TOTAL",
    "dcgm_retired_pages_sbe": f"{DEV}RETIRED_SBE",
    "dcgm_retired_pages_dbe": f"{DEV}RETIRED_DBE",
    "dcgm_retired_pages_pending": f"{DEV}RETIRED_PENDING",
    "dcgm_fi_prof_gr_engine_active": "DCGM_FI_PROF_GR_ENGINE_ACTIVE",
}


class NoReading(Exception):  # noqa: N818  # no error of the program: why a field has no value
    """A metric that gives no reading; the text says why, and becomes the field's reason."""


class Field(NamedTuple):
    """A field of :class:`Gpu`, the metrics that may hold it, and how a value becomes it.

    `shared` fields belong to the board: where MIG is on, every instance repeats them.
    """

    name: str
    metrics: tuple[str, ...]
    read: Callable[[float], Any] = round
    shared: bool = True


def _positive(why: str) -> Callable[[float], int]:
    def read(value: float) -> int:
        if value <= 0:
            raise NoReading(why)
        return round(value)

    return read


def cuda_version(value: float) -> str:
    """``12.4`` of 12040."""
    return f"{round(value) // 1000}.{round(value) % 1000 // 10}"


FIELDS = (
    Field("cuda_version", ("DCGM_FI_CUDA_DRIVER_VERSION",), cuda_version),
    Field(
        "compute_capability",
        (f"{DEV}CUDA_COMPUTE_CAPABILITY",),
        lambda value: f"{round(value) >> 16}.{round(value) & 0xFFFF}",
    ),
    Field("utilization_memory_percent", (f"{DEV}MEM_COPY_UTIL",), shared=False),
    Field("performance_state", (f"{DEV}PSTATE",)),
    Field("sm_clock_mhz", (f"{DEV}SM_CLOCK",)),
    Field("sm_clock_max_mhz", (f"{DEV}MAX_SM_CLOCK",)),
    Field("memory_clock_mhz", (f"{DEV}MEM_CLOCK",)),
    Field("memory_clock_max_mhz", (f"{DEV}MAX_MEM_CLOCK",)),
    Field("power_w", (f"{DEV}POWER_USAGE", f"{DEV}BOARD_POWER_WATTS"), float),
    Field("power_limit_w", (f"{DEV}ENFORCED_POWER_LIMIT", f"{DEV}POWER_MGMT_LIMIT"), float),
    Field("power_default_limit_w", (f"{DEV}POWER_MGMT_LIMIT_DEF",), float),
    Field("temperature_c", (f"{DEV}GPU_TEMP", f"{DEV}GPU_TEMP_CELSIUS")),
    Field(
        "temperature_memory_c",
        (f"{DEV}MEMORY_TEMP", f"{DEV}MEMORY_TEMP_CELSIUS"),
        _positive("boards without a sensor in their memory answer 0"),
    ),
    Field("temperature_slowdown_c", (f"{DEV}SLOWDOWN_TEMP",), _positive("0 is no threshold")),
    Field("temperature_shutdown_c", (f"{DEV}SHUTDOWN_TEMP",), _positive("0 is no threshold")),
    Field("temperature_margin_c", (f"{DEV}GPU_TEMP_LIMIT",), _positive("boards answer 0 while they are cool")),
    Field(
        "clock_event_reasons",
        (f"{DEV}CLOCKS_EVENT_REASONS", f"{DEV}CLOCK_THROTTLE_REASONS"),
        lambda value: clock_event_names(round(value)),
    ),
    Field("ecc_enabled", (f"{DEV}ECC_CURRENT",), bool),
    Field("ecc_enabled_pending", (f"{DEV}ECC_PENDING",), bool),
    Field("ecc_volatile_corrected", (f"{DEV}ECC_SBE_VOL_TOTAL",)),
    Field("ecc_volatile_uncorrected", (f"{DEV}ECC_DBE_VOL_TOTAL",)),
    Field("ecc_aggregate_corrected", (f"{DEV}ECC_SBE_AGG_TOTAL",)),
    Field("ecc_aggregate_uncorrected", (f"{DEV}ECC_DBE_AGG_TOTAL",)),
    Field("remapped_rows_correctable", (f"{DEV}CORRECTABLE_REMAPPED_ROWS", f"{DEV}ROW_REMAP_CORRECTABLE_TOTAL")),
    Field(
        "remapped_rows_uncorrectable",
        (f"{DEV}UNCORRECTABLE_REMAPPED_ROWS", f"{DEV}ROW_REMAP_UNCORRECTABLE_TOTAL"),
    ),
    Field("remapped_rows_pending", (f"{DEV}ROW_REMAP_PENDING",), bool),
    Field("remapped_rows_failure", (f"{DEV}ROW_REMAP_FAILURE", f"{DEV}ROW_REMAP_FAILED"), bool),
    Field(
        "retired_pages_single_bit",
        (f"{DEV}RETIRED_SBE", f"{DEV}PAGE_RETIRED_SBE", f"{DEV}PAGE_RETIRED_SBE_TOTAL"),
    ),
    Field(
        "retired_pages_double_bit",
        (f"{DEV}RETIRED_DBE", f"{DEV}PAGE_RETIRED_DBE", f"{DEV}PAGE_RETIRED_DBE_TOTAL"),
    ),
    Field("retired_pages_pending", (f"{DEV}RETIRED_PENDING", f"{DEV}PAGE_RETIRED_PENDING"), bool),
    Field("pcie_gen", (f"{DEV}PCIE_LINK_GEN",)),
    Field("pcie_gen_max", (f"{DEV}PCIE_MAX_LINK_GEN",)),
    Field("pcie_width", (f"{DEV}PCIE_LINK_WIDTH",)),
    Field("pcie_width_max", (f"{DEV}PCIE_MAX_LINK_WIDTH",)),
    Field("pcie_replays", (f"{DEV}PCIE_REPLAY_COUNTER", f"{DEV}PCIE_REPLAY_TOTAL")),
    Field("persistence_mode", (f"{DEV}PERSISTENCE_MODE",), bool),
    Field(
        "recovery_action",
        (f"{DEV}GPU_RECOVERY_ACTION", f"{DEV}GET_GPU_RECOVERY_ACTION"),
        lambda value: RECOVERY_ACTIONS.get(round(value), f"action_{round(value)}"),
    ),
    Field("last_xid", (f"{DEV}XID_ERRORS", f"{DEV}XID_ERROR")),
)
