"""GPU readings and XIDs while load is on, in a process of their own: what is read there cannot delay what is measured.

A thread would share the interpreter with the load engine, and on a busy machine hold it at the wrong moment.
"""

from __future__ import annotations

import contextlib
import multiprocessing as mp
import os
import signal
import time
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

from inferaudit.collect.nvml_sampler import GpuSampler
from inferaudit.collect.nvml_watch import XidWatcher
from inferaudit.model import Fact, FactError, FactErrorKind

_READY_S = 30.0
_ANSWER_S = 20.0
_READY = "ready"
_NICE = 10
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class GpuWatch:
    """Samples and watches every GPU of this host while its ``with`` block runs; :meth:`facts` afterwards.

    A class for the process it owns: it is asked to end, and killed when it does not.
    """

    def __init__(self) -> None:
        self._pipe: Connection | None = None
        self._process: Any = None
        self._facts: tuple[Fact, Fact] | None = None

    def __enter__(self) -> Self:
        context = mp.get_context("spawn")  # a fork would copy threads' locks
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), name="inferaudit-gpus", daemon=True)
        # Ctrl-C goes to the whole group; the child inherits what is blocked here and ends when the pipe does.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        with contextlib.suppress(OSError, EOFError):
            if self._pipe.poll(_READY_S):
                self._pipe.recv()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.facts()

    def facts(self) -> tuple[Fact, Fact]:
        """Ends it: (``load.gpu_samples``, ``nvml.xid_events``). A second call gives the same."""
        if self._facts is None:
            self._facts = self._asked() or (_silent("sampled"), _silent("watched for XIDs"))
            self._process.join(1.0)
            if self._process.is_alive():
                self._process.kill()
        return self._facts

    def _asked(self) -> tuple[Fact, Fact] | None:
        assert self._pipe is not None  # noqa: S101  # it was entered
        try:
            self._pipe.send("end")
            while self._pipe.poll(_ANSWER_S):
                answer = self._pipe.recv()
                if answer != _READY:  # one that came too late to be waited for
                    samples, xids = answer
                    return samples, xids
        except (OSError, EOFError):
            pass
        finally:
            self._pipe.close()
        return None


def _silent(what: str) -> Fact:
    reason = f"GPUs could not be {what}: the process that asked the driver gave no answer"
    return Fact(
        error=FactError(FactErrorKind.FAILED, reason, "NVML", remedy="see the kernel log for XID or NVRM lines")
    )


def _serve(pipe: Connection) -> None:
    """The child: samples until it is told to end or its parent is gone."""
    with contextlib.suppress(OSError):
        os.nice(_NICE)  # the load comes first
    sampler = GpuSampler(clock=time.time_ns)  # the load's clock
    sampler.start()
    with XidWatcher() as watcher, contextlib.suppress(OSError, EOFError):
        pipe.send(_READY)
        pipe.recv()
        pipe.send((sampler.stop(), watcher.fact("NVML")))
