"""One worker in this process, or several in processes of their own: a common start, signs of life, and who died."""

from __future__ import annotations

import contextlib
import multiprocessing as mp
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from typing import Any

from inferaudit.bench.worker import CANCEL_STAGE, STOP_ISSUING, Beat, Part, Setup, Worker
from inferaudit.errors import CollectError
from inferaudit.plan import StagePlan

START_DELAY_NS = 50_000_000  # from the order to start until the clock starts, so that all workers start together
_READY_S = 120.0
_GRACE_S = 15.0
_HEARD_BY_PARENT = (signal.SIGINT, signal.SIGTERM)
Order = Callable[[int, Beat], str | None]


@dataclass(slots=True)
class Outcome:
    """What a stage brought: the parts of the workers that finished, and what became of those that did not."""

    parts: list[Part] = field(default_factory=list)
    lost: dict[int, str] = field(default_factory=dict)
    start_ns: int = 0
    warm_error: str | None = None


class Pool:
    """Runs stages on one or more workers. `run_stage` blocks; `order` is asked at each beat what to do."""

    def __init__(self, setups: list[Setup]) -> None:
        self._local = Worker(setups[0]) if len(setups) == 1 else None
        self._pipes: dict[int, Pipe] = {}
        self._processes: dict[int, Any] = {}
        if self._local is None:
            context = mp.get_context("spawn")  # a fork would copy threads' locks
            try:
                with _signals_held():
                    for setup in setups:
                        ours, theirs = context.Pipe()
                        process = context.Process(target=_serve, args=(theirs, setup), daemon=True)
                        process.start()
                        theirs.close()
                        self._pipes[setup.worker] = ours
                        self._processes[setup.worker] = process
            except BaseException:
                self.close()
                raise

    @property
    def endpoint_worker(self) -> Worker | None:
        """The worker in this process, if that is where it is."""
        return self._local

    def run_stage(self, place: int, stage: StagePlan, stop: Callable[[], bool], order: Order) -> Outcome:
        """Warm up, start together, run to the end."""
        outcome = Outcome()
        if self._local is not None:
            outcome.warm_error = self._local.warm(stage, stop)
            outcome.start_ns = time.time_ns() + START_DELAY_NS
            outcome.parts.append(self._local.run(place, stage, outcome.start_ns, lambda beat: order(0, beat)))
            return outcome
        alive = self._ask_all(("warm", stage), outcome)
        outcome.start_ns = time.time_ns() + START_DELAY_NS
        for worker in alive:
            self._send(worker, ("run", place, stage, outcome.start_ns), outcome)
        waiting = set(alive) & set(self._pipes)
        told: set[int] = set()
        give_up = None
        while waiting := waiting & set(self._pipes):
            pipes = {self._pipes[w]: w for w in waiting}
            if stop() and give_up is None:
                give_up = time.monotonic() + _GRACE_S
                for worker in waiting:
                    self._send(worker, CANCEL_STAGE, outcome)
            if give_up is not None and time.monotonic() > give_up:
                for worker in list(waiting):
                    self._lose(worker, outcome, "did not stop")
                    waiting.discard(worker)
            for pipe in wait(list(pipes), 0.2):
                worker = pipes[pipe]  # type: ignore[index]  # what was waited for
                message = self._receive(worker, outcome)
                if message is None:
                    waiting.discard(worker)
                elif isinstance(message, Beat):
                    wish = order(worker, message)
                    if wish is not None and worker not in told:
                        for other in waiting:
                            self._send(other, wish, outcome)
                        told |= waiting
                else:
                    outcome.parts.append(message)
                    waiting.discard(worker)
        return outcome

    def close(self) -> None:
        """End the workers; those that do not listen are killed."""
        if self._local is not None:
            self._local.close()
        for pipe in self._pipes.values():
            with contextlib.suppress(OSError):
                pipe.send(("close",))
        for worker, pipe in self._pipes.items():
            self._processes[worker].join(2)
            if self._processes[worker].is_alive():
                self._processes[worker].kill()
                self._processes[worker].join()
            pipe.close()
        self._pipes.clear()

    def _ask_all(self, question: Any, outcome: Outcome) -> list[int]:
        for worker in list(self._pipes):
            self._send(worker, question, outcome)
        alive = []
        deadline = time.monotonic() + _READY_S
        for worker in list(self._pipes):
            if not self._pipes[worker].poll(max(0.0, deadline - time.monotonic())):
                self._lose(worker, outcome, "did not get ready")
                continue
            answer = self._receive(worker, outcome)
            if answer is None:
                continue
            if isinstance(answer, Exception):
                raise CollectError(str(answer))
            outcome.warm_error = outcome.warm_error or answer[1]
            alive.append(worker)
        return alive

    def _send(self, worker: int, message: Any, outcome: Outcome) -> None:
        pipe = self._pipes.get(worker)
        if pipe is not None:
            try:
                pipe.send(message)
            except OSError:
                self._lose(worker, outcome, "died")  # a pipe nobody reads: told here before its end was read

    def _receive(self, worker: int, outcome: Outcome) -> Any:
        pipe = self._pipes.get(worker)
        if pipe is None:
            return None
        try:
            return pipe.recv()
        except (EOFError, OSError):
            self._lose(worker, outcome, "died")
            return None

    def _lose(self, worker: int, outcome: Outcome, what: str) -> None:
        process = self._processes[worker]
        if what != "died":
            process.kill()
        process.join(5)
        outcome.lost[worker] = f"worker {worker} {what} (exit code {process.exitcode}); what it had measured is lost"
        pipe = self._pipes.pop(worker, None)
        if pipe is not None:
            pipe.close()


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Processes started meanwhile hear neither Ctrl-C nor SIGTERM before `_serve` says what to do with them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # by the first start it would let them through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD_BY_PARENT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Pipe, setup: Setup) -> None:
    """The main of a worker process."""
    for number in _HEARD_BY_PARENT:  # sent to the whole group: the parent tells us, and gets what was measured
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD_BY_PARENT)
    worker: Worker | None = None
    try:
        while True:
            message = pipe.recv()
            if message[0] == "warm":
                try:
                    worker = worker or Worker(setup)
                    pipe.send(("ready", worker.warm(message[1], lambda: False)))
                except Exception as error:  # the parent raises it again, with our text
                    pipe.send(CollectError(str(error)))
            elif message[0] == "run" and worker is not None:
                pipe.send(worker.run(message[1], message[2], message[3], lambda beat: _beat(pipe, beat)))
            elif message[0] == "close":
                return
    except (EOFError, OSError):
        return  # the parent is gone
    finally:
        if worker is not None:
            worker.close()


def _beat(pipe: Pipe, beat: Beat) -> str | None:
    pipe.send(beat)
    while pipe.poll(0):
        order = pipe.recv()
        if order in (STOP_ISSUING, CANCEL_STAGE):
            return str(order)
    return None
