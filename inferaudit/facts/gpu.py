"""Facts about GPUs as the driver (NVML) or an exporter (DCGM) tells them, and what was sampled of them under load.

Units are in the names; bytes are bytes, percentages 0 to 100, power in watts, clocks in MHz, temperatures in °C.
Every reading is optional: a driver refuses much, field by field (MIG parents give no utilisation, consumer cards no
ECC). ``None`` means "not told", and :attr:`Gpu.reasons` says why; it never means zero.
"""

from __future__ import annotations

import msgspec

from inferaudit.facts.spec import FactSpec
from inferaudit.gpu_table import GpuSpec, find_gpu
from inferaudit.model import Scope
from inferaudit.xid_table import XidKind, xid_kind, xid_meaning


class NvLink(msgspec.Struct, frozen=True, kw_only=True):
    """One NVLink of a GPU. The counters are errors since the driver was loaded."""

    link: int
    active: bool | None = None
    version: int | None = None
    replay_errors: int | None = None
    recovery_errors: int | None = None
    crc_flit_errors: int | None = None
    crc_data_errors: int | None = None


class GpuFabric(msgspec.Struct, frozen=True, kw_only=True):
    """Registration with the NVSwitch fabric. `state`: not_supported, not_started, in_progress, completed.

    `status` is the NVML code of the registration, meaningful once `state` is completed (0 = success).
    `health_mask` is raw; `faults` names its set alarms.
    """

    state: str
    status: int | None = None
    clique: int | None = None
    health_mask: int | None = None
    faults: tuple[str, ...] = ()


class MigInstance(msgspec.Struct, frozen=True, kw_only=True):
    """One MIG device. `profile` is e.g. ``1g.10gb``, from the device's name."""

    uuid: str | None = None
    profile: str | None = None
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    gpu_slices: int | None = None
    compute_slices: int | None = None


class GpuProcess(msgspec.Struct, frozen=True, kw_only=True):
    """A process on a GPU. `name` is the file name alone: paths and arguments may hold secrets.

    `kind` is ``compute``, ``graphics`` or ``mps``; `used_bytes` is None where the driver may not tell.
    """

    pid: int
    kind: str
    name: str | None = None
    used_bytes: int | None = None


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU as NVML or DCGM shows it. `node` is the Kubernetes node when one was named, else the host's name.

    `lost` is True for a GPU that fell off the bus; its identity is kept. `unsupported` lists the fields the
    driver says this GPU or its mode does not have; `reasons` says for every field that is None why it is.
    `serial` is a digest, enough to recognise a board and not to order one.

    Only an exporter tells `last_xid` (the last XID since the exporter started, at an unknown time; 0 = none) and
    `holders` (``namespace/pod/container`` that Kubernetes gave the GPU to). `sources` names who was asked.
    """

    node: str
    index: int
    uuid: str | None = None
    sources: tuple[str, ...] = ("NVML",)
    lost: bool = False
    error: str | None = None
    product: str | None = None
    serial: str | None = None
    driver_version: str | None = None
    cuda_version: str | None = None
    vbios_version: str | None = None
    pci_bus_id: str | None = None
    compute_capability: str | None = None

    memory_total_bytes: int | None = None
    memory_reserved_bytes: int | None = None
    memory_used_bytes: int | None = None
    memory_free_bytes: int | None = None

    utilization_gpu_percent: int | None = None
    utilization_memory_percent: int | None = None
    performance_state: int | None = None
    sm_clock_mhz: int | None = None
    sm_clock_max_mhz: int | None = None
    memory_clock_mhz: int | None = None
    memory_clock_max_mhz: int | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    power_default_limit_w: float | None = None
    temperature_c: int | None = None
    temperature_memory_c: int | None = None
    temperature_slowdown_c: int | None = None
    temperature_shutdown_c: int | None = None
    temperature_margin_c: int | None = None
    clock_event_reasons: tuple[str, ...] | None = None

    ecc_enabled: bool | None = None
    ecc_enabled_pending: bool | None = None
    ecc_volatile_corrected: int | None = None
    ecc_volatile_uncorrected: int | None = None
    ecc_aggregate_corrected: int | None = None
    ecc_aggregate_uncorrected: int | None = None
    remapped_rows_correctable: int | None = None
    remapped_rows_uncorrectable: int | None = None
    remapped_rows_pending: bool | None = None
    remapped_rows_failure: bool | None = None
    retired_pages_single_bit: int | None = None
    retired_pages_double_bit: int | None = None
    retired_pages_pending: bool | None = None

    pcie_gen: int | None = None
    pcie_gen_max: int | None = None
    pcie_width: int | None = None
    pcie_width_max: int | None = None
    pcie_replays: int | None = None
    nvlinks: tuple[NvLink, ...] | None = None
    fabric: GpuFabric | None = None

    mig_enabled: bool | None = None
    mig_enabled_pending: bool | None = None
    mig_instances: tuple[MigInstance, ...] | None = None
    compute_mode: str | None = None
    persistence_mode: bool | None = None
    recovery_action: str | None = None
    processes: tuple[GpuProcess, ...] | None = None
    last_xid: int | None = None
    holders: tuple[str, ...] | None = None

    unsupported: tuple[str, ...] = ()
    reasons: dict[str, str] = {}

    @property
    def subject(self) -> str:
        """How findings name this GPU: ``gpu/<node>/<uuid>``, by its index where it tells no UUID."""
        return f"gpu/{self.node}/{self.uuid or f'index-{self.index}'}"

    @property
    def table(self) -> GpuSpec | None:
        """What is known of the product; None for one the table does not hold, MIG slices and vGPUs."""
        return find_gpu(self.product, self.memory_total_bytes)

    @property
    def silence(self) -> tuple[str, str] | None:
        """The finding that explains why nothing more is told: for a judgement's `cause`."""
        if self.lost or self.error:
            return ("gpu-lost", self.subject)
        return ("gpu-exporter-fields", f"node/{self.node}") if self.sources == ("DCGM",) else None

    @property
    def untold(self) -> dict[str, str]:
        """Fields that are None where nothing says that the GPU does not have them, with the reason."""
        return {name: why for name, why in self.reasons.items() if name not in self.unsupported}

    def lacks(self, field: str) -> bool:
        """True when the hardware does not have it, as against not telling: MIG parents refuse what they do have."""
        return field in self.unsupported and not self.mig_enabled

    def why_unknown(self, field: str) -> str:
        """Why `field` is None, in words fit for a finding."""
        return self.reasons.get(field) or self.error or "the driver does not tell it"


class NvmlDriver(msgspec.Struct, frozen=True, kw_only=True):
    """The driver on the host that was asked. `node` is empty unless a Kubernetes node was named for this host.

    `in_container`: it was asked from a container that may have been given some of the host's GPUs only.
    """

    host: str
    node: str = ""
    in_container: bool = False
    driver_version: str | None = None
    cuda_version: str | None = None
    nvml_version: str | None = None
    gpu_count: int | None = None
    reasons: dict[str, str] = {}


class XidEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An XID the driver announced in the watch. `offset_ms` counts from its start; None = an exporter counted it."""

    xid: int
    gpu: str | None = None
    offset_ms: float | None = None

    @property
    def kind(self) -> XidKind:
        """``hardware``, ``application`` or ``investigate``."""
        return xid_kind(self.xid)

    @property
    def words(self) -> str:
        """The number with its meaning, for a finding."""
        return f"XID {self.xid} ({xid_meaning(self.xid)})"


class XidWatch(msgspec.Struct, frozen=True, kw_only=True):
    """XID events of `window_s` seconds of watching `gpus` GPUs: no events says nothing of the time before.

    `window_s` None = since the exporter started: `source` tells who watched.
    """

    window_s: float | None
    gpus: int
    events: tuple[XidEvent, ...] = ()
    truncated: bool = False
    source: str = "NVML"

    @property
    def period(self) -> str:
        """What was watched and for how long, in words."""
        if self.window_s is None:
            return f"on {self.gpus} GPUs since their exporter started"
        return f"in {self.window_s:g} s of watching {self.gpus} GPUs"


class GpuSource(msgspec.Struct, frozen=True, kw_only=True):
    """What one source (``NVML``, ``DCGM``) says of one node's GPUs, to be held against what the others say.

    `products`, `drivers` and `uuids` are sorted and each once. `memory_bytes` is the total of the smallest GPU. `error`
    says why a source that was asked for gave nothing; its other fields are then empty and mean nothing.
    """

    source: str
    node: str
    count: int | None = None
    products: tuple[str, ...] = ()
    drivers: tuple[str, ...] = ()
    uuids: tuple[str, ...] = ()
    memory_bytes: int | None = None
    error: str | None = None


class GpuOperatorNode(msgspec.Struct, frozen=True, kw_only=True):
    """What the GPU operator's validator says of a node; None = not exported.

    `devices` are those its device plug-in shows, `pci_devices` those on the bus (bridges and audio may count).
    """

    node: str
    driver_ready: bool | None = None
    toolkit_ready: bool | None = None
    plugin_ready: bool | None = None
    cuda_ready: bool | None = None
    driver_validation: bool | None = None
    devices: int | None = None
    pci_devices: int | None = None


class GpuSamples(msgspec.Struct, frozen=True, kw_only=True):
    """Readings under load, one row a GPU and moment, in columns of equal length; None = not told at that moment.

    `t_ns` are nanoseconds on the load's clock, `gpu` indexes `uuids`. `interval_ms` is the pace at the end: it doubles,
    and every second moment is dropped, each time the table is full. `ended` says for a GPU why its rows stop early.
    """

    uuids: tuple[str, ...]
    interval_ms: float
    t_ns: tuple[int, ...] = ()
    gpu: tuple[int, ...] = ()
    utilization_gpu_percent: tuple[int | None, ...] = ()
    memory_used_bytes: tuple[int | None, ...] = ()
    power_w: tuple[float | None, ...] = ()
    sm_clock_mhz: tuple[int | None, ...] = ()
    temperature_c: tuple[int | None, ...] = ()
    clock_event_bits: tuple[int | None, ...] = ()
    missed: int = 0
    ended: dict[str, str] = {}


FACTS = (
    FactSpec("nvml.gpus", Scope.GPU, list[Gpu], "GPUs as driver or exporter show them", live=True, flag="--gpus local"),
    FactSpec("nvml.driver", Scope.GPU, NvmlDriver, "driver, CUDA and NVML versions", live=True, flag="--gpus local"),
    FactSpec("gpu.sources", Scope.GPU, list[GpuSource], "what each source says of GPUs", live=True, flag="--dcgm URL"),
    FactSpec(
        "gpu.operator",
        Scope.GPU,
        list[GpuOperatorNode],
        "the GPU operator's own validation of each node, where the exporter's page holds it",
        live=True,
        flag="--dcgm URL",
    ),
    FactSpec(
        "nvml.xid_events", Scope.GPU, XidWatch, "XID events seen during the audit", live=True, flag="--gpus local"
    ),
    FactSpec("load.gpu_samples", Scope.GPU, GpuSamples, "GPU readings while load was on", live=True, flag="--load"),
)
