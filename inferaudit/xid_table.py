"""What the NVIDIA driver's XID numbers mean for a service, as data.

Sources: NVIDIA's XID catalogue (docs.nvidia.com/deploy/xid-errors), the action lists of gpud (leptonai/gpud),
the EKS node monitoring agent and Azure's node health checks. They disagree on 63, 65, 68, 69, 73, 80, 92, 94 and 109;
those are neither failed as hardware nor excused, but left to be investigated.
"""

from __future__ import annotations

from typing import Literal

XidKind = Literal["hardware", "application", "investigate"]

_NVLINK = "NVLink error"
# All four sources ask for a reset, a reboot or a repair.
_HARDWARE = {
    46: "the GPU stopped processing",
    48: "double-bit memory error",
    54: "auxiliary power is not connected",
    62: "halt of the internal micro-controller",
    64: "a memory row or page could not be replaced",
    74: _NVLINK,
    79: "the GPU fell off the bus",
    95: "uncontained memory error",
    110: "security fault",
    119: "the GPU's system processor did not answer",
    120: "error of the GPU's system processor",
    136: "NVLink training failed",
    140: "unrecovered memory error",
    143: "initialisation failed",
    **dict.fromkeys((144, 145, 146, 147, 148, 149, 150), _NVLINK),
    151: "key rotation error",
    155: "NVLink error defined by software",
    158: "fatal time-out",
    171: "uncorrectable memory error",
}
_APPLICATION = {
    8: "the GPU stopped processing a task",
    13: "graphics engine exception",
    31: "memory page fault",
    32: "invalid or corrupted push buffer",
    37: "driver firmware error",
    43: "a task of the application stopped",
    44: "graphics engine fault",
    45: "a task was cleaned up after another error",
    66: "illegal access by the driver",
    67: "illegal access by the driver",
    **dict.fromkeys((106, 107, 108), "informational"),
}
_INVESTIGATE = {
    38: "driver firmware error",
    63: "a memory row or page is to be replaced",
    92: "high rate of corrected memory errors",
    94: "contained memory error",
    109: "context switch time-out",
    121: "chip-to-chip link error",
    137: "NVLink privilege error",
    154: "the recovery action changed",
    156: "a resource was retired",
    160: "a channel was retired",
}


def xid_kind(xid: int) -> XidKind:
    """The class of an XID; an unknown one is to be investigated."""
    if xid in _HARDWARE:
        return "hardware"
    return "application" if xid in _APPLICATION else "investigate"


def xid_meaning(xid: int) -> str:
    """A few words on an XID."""
    return _HARDWARE.get(xid) or _APPLICATION.get(xid) or _INVESTIGATE.get(xid) or "not in the table"
