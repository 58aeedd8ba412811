"""What the NVIDIA driver's XID numbers mean for a service, as data: class, action, and who says so.

Sources: NVIDIA's XID catalogue (docs.nvidia.com/deploy/xid-errors) with its immediate actions as leptonai/gpud ships
them, and what three watchers of Kubernetes nodes act on: aws/eks-node-monitoring-agent, Azure/azurehpc-health-checks,
NVIDIA/k8s-device-plugin. They disagree on 63, 65, 68, 69, 73, 80, 92, 94 and 109; those are neither failed as hardware
nor excused, but left to be investigated. A site that knows better says so (:class:`XidPolicy`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

XidKind = Literal["hardware", "application", "investigate"]
XidJudgement = Literal["hardware", "application", "investigate", "ignored"]
CLEANED_UP = 45
"""Announced for every task that another fault ended: beside another XID of the same GPU it says nothing more."""
_MAX_XID = 10_000
_SITE = "gpu-xid-hardware"

_NVLINK = "NVLink error"
# All sources that name them ask for a reset, a reboot or a repair.
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
    56: "display engine error",
    57: "error in programming the video memory interface",
    58: "unstable video memory interface",
    63: "a memory row or page is to be replaced",
    65: "video processor exception",
    68: "video decoder exception",
    69: "graphics engine class error",
    73: "video encoder error",
    78: "a virtual GPU did not start",
    80: "corrupted data were sent to the GPU",
    81: "VGA subsystem error",
    92: "high rate of corrected memory errors",
    94: "contained memory error",
    109: "context switch time-out",
    121: "chip-to-chip link error",
    137: "NVLink privilege error",
    154: "the recovery action changed",
    156: "a resource was retired",
    160: "a channel was retired",
}

# The immediate actions of NVIDIA's catalogue.
_ACTIONS: Mapping[str, Sequence[int]] = {
    "reset the GPU": (46, 62, 64, 95, 109, 110, 119, 120, 136, 140, 143, 155, 156, 158),
    "reboot the machine": (79,),
    "restart the virtual machine": (151,),
    "check power and cabling": (54,),
    "update the software": (78,),
    "follow NVIDIA's procedure for it": (45, 48, 74, *range(144, 151)),
    "do what the recovery action says": (154,),
    "restart the application": (
        *(8, 11, 13, 25, 31, 32, 39, 40, 41, 60, 68, 69, 70, 71, 75, 76, 77, 80, 82, 83, 84, 85, 86, 88, 89, 94),
        *(*range(96, 106), *range(126, 136), 139),
    ),
    "none": (14, 37, 38, 43, 44, 63, 66, 67, 92, 93, 106, 107, 108, 121, 137, 141, 152, 153, 157, 160, 161),
}
# What takes a node or a GPU out of service there.
_FATAL_FOR: Mapping[str, Sequence[int]] = {
    "EKS": (46, 48, 54, 62, 63, 64, 74, 79, 95, 109, 110, 119, 120, 136, 140, 142, 143, 151, 155, 156, 158),
    "Azure": (48, 56, 57, 58, 62, 63, 64, 65, 68, 69, 73, 74, 79, 80, 81, 92, 119, 120),
}
_DEVICE_PLUGIN = "the Kubernetes device plug-in"
_DEVICE_PLUGIN_IGNORES = (13, 31, 43, 45, 68, 109)
_NOTES = {171: "leptonai/gpud: a detail of XID 48"}
_BY_CLASS: Mapping[XidKind, str] = {
    "hardware": "drain the node and reset the GPU",
    "application": "look at the server's log",
    "investigate": "look at the kernel log",
}


class XidEntry(NamedTuple):
    """One XID: its class, a few words on it, what to do, and who says what. `sources` is empty where nobody does."""

    xid: int
    kind: XidKind
    meaning: str
    action: str
    sources: tuple[str, ...]


def xid_kind(xid: int) -> XidKind:
    """The class of an XID; an unknown one is to be investigated."""
    if xid in _HARDWARE:
        return "hardware"
    return "application" if xid in _APPLICATION else "investigate"


def xid_meaning(xid: int) -> str:
    """A few words on an XID."""
    return _HARDWARE.get(xid) or _APPLICATION.get(xid) or _INVESTIGATE.get(xid) or "not in the table"


def xid_entry(xid: int) -> XidEntry:
    """All that is known of an XID, with its sources."""
    kind = xid_kind(xid)
    said = next((action for action, xids in _ACTIONS.items() if xid in xids), None)
    sources = [f"NVIDIA's catalogue: {said}"] if said else []
    fatal = [name for name, xids in _FATAL_FOR.items() if xid in xids]
    if fatal:
        sources.append(f"fatal for {' and '.join(fatal)}")
    if xid in _DEVICE_PLUGIN_IGNORES:
        sources.append(f"ignored by {_DEVICE_PLUGIN}")
    if xid in _NOTES:
        sources.append(_NOTES[xid])
    action = said if said and said != "none" else _BY_CLASS[kind]
    return XidEntry(xid, kind, xid_meaning(xid), action, tuple(sources))


def known_xids() -> tuple[int, ...]:
    """Every XID that a source or a class of the table names, in order."""
    named = (*_HARDWARE, *_APPLICATION, *_INVESTIGATE, *_DEVICE_PLUGIN_IGNORES)
    listed = (xid for xids in (*_ACTIONS.values(), *_FATAL_FOR.values()) for xid in xids)
    return tuple(sorted({*named, *listed}))


class XidPolicy(NamedTuple):
    """What a site says of XIDs, against the table: `fatal` are judged as hardware faults, `ignored` not at all.

    `fault` says what is wrong with what the site wrote; nothing can be judged by it then.
    """

    fatal: frozenset[int] = frozenset()
    ignored: frozenset[int] = frozenset()
    fault: str = ""

    def kind(self, xid: int) -> XidJudgement:
        """The class of an XID at this site."""
        if xid in self.ignored:
            return "ignored"
        return "hardware" if xid in self.fatal else xid_kind(xid)

    def why(self, xid: int) -> str:
        """Where the class of an XID comes from, for evidence."""
        if xid in self.fatal or xid in self.ignored:
            return f"XID {xid}: {'ignored' if xid in self.ignored else 'fatal'} by this audit's policy"
        return f"XID {xid}: {'; '.join(xid_entry(xid).sources) or 'no source names it'}"

    def besides(self, xids: Iterable[int]) -> str:
        """For the end of a sentence: which of these were seen and ignored; empty where none was."""
        seen = sorted({xid for xid in xids if xid in self.ignored})
        return f"; ignored by policy: {', '.join(f'XID {xid} ({xid_meaning(xid)})' for xid in seen)}" if seen else ""


def site_xids(ignore: object, fatal: object = (), check: str = _SITE) -> XidPolicy:
    """The policy of two lists of XIDs; its `fault` names what is no list, no XID, or in both."""
    where = f"parameters.{check}"
    fault = _fault(ignore, f"{where}.ignore") or _fault(fatal, f"{where}.fatal")
    if fault:
        return XidPolicy(fault=fault)
    policy = XidPolicy(frozenset(_listed(fatal)), frozenset(_listed(ignore)))
    both = sorted(policy.fatal & policy.ignored)
    return XidPolicy(fault=f"{where}: XID {both[0]} is in ignore and in fatal") if both else policy


def site_policy(policy: Mapping[str, Any], ignore: object, check: str) -> XidPolicy:
    """What the parameters of gpu-xid-hardware say in a whole audit policy, and what `check` ignores beside that."""
    given = policy.get("parameters", {}).get(_SITE, {})
    site, own = site_xids(given.get("ignore", ()), given.get("fatal", ())), site_xids(ignore, check=check)
    return XidPolicy(site.fatal, site.ignored | own.ignored, site.fault or own.fault)


def _listed(given: object) -> Sequence[Any]:
    return given if isinstance(given, Sequence) and not isinstance(given, str) else ()


def _fault(given: object, where: str) -> str:
    if isinstance(given, str) or not isinstance(given, Sequence):
        return f"{where}: a list of XIDs is wanted, as in [13, 31], not {given!r}"
    for xid in given:
        if isinstance(xid, bool) or not isinstance(xid, int) or not 0 < xid < _MAX_XID:
            return f"{where}: {xid!r} is no XID; they are whole numbers, as in [13, 31]"
    return ""
