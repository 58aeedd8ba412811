"""What a node's kernel log says of its GPUs: the XIDs of the time before the audit, which no library tells.

The log is read, never followed: times are seconds before it was read.
"""

from __future__ import annotations

import msgspec

from inferaudit.facts.spec import FactSpec
from inferaudit.model import Scope
from inferaudit.xid_table import xid_meaning


class LoggedXid(msgspec.Struct, frozen=True, kw_only=True):
    """One XID line. `pci_bus_id` as the log writes it (``0000:1b:00``); `gpu` the UUID, where the driver's list has it.

    `age_s` counts from the line to the moment of reading.
    """

    xid: int
    age_s: float
    pci_bus_id: str | None = None
    gpu: str | None = None

    @property
    def words(self) -> str:
        """The number with its meaning and its age, for a finding."""
        return f"XID {self.xid} ({xid_meaning(self.xid)}), {duration(self.age_s)} before"


class KernelLog(msgspec.Struct, frozen=True, kw_only=True):
    """One node's log. `source` is what was read: ``/dev/kmsg`` or ``journal``. `reach_s`: the age of its oldest line.

    `whole_boot` True = it goes back to the node's start. `truncated` = more XIDs than were kept. `error` says why there
    is no log; all else is then empty and means nothing.
    """

    node: str
    source: str = ""
    reach_s: float | None = None
    whole_boot: bool = False
    events: tuple[LoggedXid, ...] = ()
    truncated: bool = False
    error: str | None = None

    @property
    def period(self) -> str:
        """How far back it goes, in words."""
        start = ", since the node started" if self.whole_boot else ""
        return f"{duration(self.reach_s or 0.0)} of {self.source}{start}"

    def judged(self, lookback_s: float) -> str:
        """What of it was judged, in words: the look-back where it goes further, else all of it."""
        if (self.reach_s or 0.0) > lookback_s:
            return f"the last {duration(lookback_s)} of {self.source}"
        return self.period


def duration(seconds: float) -> str:
    """``3.2 h``, ``12 min`` or ``40 s``."""
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


FACTS = (
    FactSpec(
        "gpu.kernel_log",
        Scope.GPU,
        list[KernelLog],
        "XIDs in the kernel logs of the hosts that were asked for their GPUs",
        live=True,
        flag="--gpus local",
    ),
)
