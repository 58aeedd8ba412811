"""NVML through pynvml: one guarded way to call it, and what its error codes mean.

Only reading functions are ever named in this package; a test holds that. pynvml is imported when a session opens, so
that machines without GPUs pay nothing for it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from inferaudit.errors import CollectError

INVALID_ARGUMENT = 2
NOT_SUPPORTED = 3
NO_PERMISSION = 4
DRIVER_NOT_LOADED = 9
TIMEOUT = 10
LIBRARY_NOT_FOUND = 12
FUNCTION_NOT_FOUND = 13
GPU_IS_LOST = 15
VERSION_MISMATCH = 18
UNKNOWN = 999

# What a user can do with each code; the codes are those of nvml.h (nvmlReturn_t).
_MEANINGS = {
    1: "NVML is not initialised",
    INVALID_ARGUMENT: "the driver refuses the question",
    NOT_SUPPORTED: "not supported by this GPU or its mode",
    NO_PERMISSION: "the driver denies permission",
    DRIVER_NOT_LOADED: "the NVIDIA driver is not loaded",
    LIBRARY_NOT_FOUND: "libnvidia-ml.so.1 was not found",
    FUNCTION_NOT_FOUND: "not known to this driver version",
    14: "the GPU's infoROM is corrupted",
    GPU_IS_LOST: "the GPU is lost: it fell off the bus or stopped answering",
    16: "the GPU must be reset before it answers",
    17: "the operating system blocked the request",
    VERSION_MISMATCH: "the NVML library and the loaded driver are of different versions",
    25: "the driver does not know this version of the call",
    UNKNOWN: "the driver reported an unknown error",
}


class FabricInfo(ctypes.Structure):
    """``nvmlGpuFabricInfo_v2_t`` of nvml.h. Our own, for pynvml before 13 lays the cluster UUID out 64 bytes too long.

    The driver then fills in the wrong members, and a fabric that is not started reads as one that does not exist.
    """

    _fields_ = (
        ("version", ctypes.c_uint),
        ("cluster_uuid", ctypes.c_ubyte * 16),
        ("status", ctypes.c_int),
        ("clique_id", ctypes.c_uint),
        ("state", ctypes.c_ubyte),
        ("health_mask", ctypes.c_uint),
    )


class OldFabricInfo(ctypes.Structure):
    """``nvmlGpuFabricInfo_t`` of nvml.h, without a version and a health mask."""

    _fields_ = FabricInfo._fields_[1:5]


class NvmlCallError(CollectError):
    """A call NVML refused. `code` is NVML's return code; FUNCTION_NOT_FOUND also where pynvml itself lacks it."""

    def __init__(self, function: str, code: int, detail: str = "") -> None:
        super().__init__(detail or _MEANINGS.get(code) or f"NVML error {code}")
        self.function = function
        self.code = code

    @property
    def unsupported(self) -> bool:
        """True where the hardware, mode or driver simply does not have it."""
        return self.code in (NOT_SUPPORTED, FUNCTION_NOT_FOUND)

    @property
    def lost(self) -> bool:
        """True when the GPU will not answer again."""
        return self.code == GPU_IS_LOST


class Nvml:
    """An open session. `call` names a pynvml function; structures come back as pynvml gives them."""

    def __init__(self, pynvml: Any) -> None:
        self.pynvml = pynvml

    def call(self, function: str, *args: Any) -> Any:
        """The function's value; :class:`NvmlCallError` for every way it can fail."""
        pynvml = self.pynvml
        try:
            target = getattr(pynvml, function)
        except AttributeError:
            raise NvmlCallError(function, FUNCTION_NOT_FOUND, "not known to this version of pynvml") from None
        try:
            return target(*args)
        except pynvml.NVMLError as error:
            raise NvmlCallError(function, int(error.value)) from None
        except pynvml.NVMLLibraryMismatchError:
            # Not an NVMLError: what pynvml raises for process lists on drivers older than the versioned call.
            raise NvmlCallError(function, FUNCTION_NOT_FOUND) from None
        except UnicodeDecodeError:
            raise NvmlCallError(function, UNKNOWN, "the driver's answer is not text") from None

    def first(self, *functions: str, args: tuple[Any, ...] = ()) -> Any:
        """The first of `functions` that this driver knows, newest first; other refusals are raised at once."""
        for function in functions[:-1]:
            try:
                return self.call(function, *args)
            except NvmlCallError as error:
                if error.code != FUNCTION_NOT_FOUND:
                    raise
        return self.call(functions[-1], *args)

    def field_value(self, handle: Any, field_id: int) -> int:
        """An unsigned NVML field value (``NVML_FI_…``)."""
        value = self.call("nvmlDeviceGetFieldValues", handle, [field_id])[0]
        if value.nvmlReturn == INVALID_ARGUMENT:
            # How drivers answer for a field that was added after them: the question itself is not known to them.
            raise NvmlCallError("nvmlDeviceGetFieldValues", NOT_SUPPORTED, _MEANINGS[FUNCTION_NOT_FOUND])
        if value.nvmlReturn != 0:
            raise NvmlCallError("nvmlDeviceGetFieldValues", int(value.nvmlReturn))
        return int(value.value.uiVal)


@contextmanager
def nvml_session() -> Iterator[Nvml]:
    """Loads the library and opens NVML; :class:`NvmlCallError` says why it cannot. NVML counts its users itself."""
    try:
        import pynvml  # deferred: only a GPU audit needs it
    except ImportError:
        raise NvmlCallError("import", LIBRARY_NOT_FOUND, "the Python package nvidia-ml-py is not installed") from None
    nvml = Nvml(pynvml)
    nvml.call("nvmlInit")
    try:
        yield nvml
    finally:
        with suppress(NvmlCallError):  # nothing is left to read, and a lost driver cannot be closed better
            nvml.call("nvmlShutdown")
