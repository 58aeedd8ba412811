"""What the status of pods says: readiness, waiting reasons, ends of containers, how long a start took. Pure."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Object = Mapping[str, Any]

# Reasons of the events that tell of a pod which its controller was not allowed to create.
REFUSED = frozenset({"FailedCreate", "ReplicaSetCreateError", "FailedCreatePod"})
_KILLED = re.compile(r"Container (\S+) failed (liveness|startup) probe, will be restarted")


@dataclass(frozen=True, slots=True)
class Waiting:
    """A container that waits, and why."""

    pod: str
    container: str
    reason: str
    message: str
    image: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """The last end of a container. `finished_at` is the API's timestamp; `restarts` counts since the pod's creation."""

    pod: str
    container: str
    reason: str
    exit_code: int | None
    finished_at: str
    restarts: int
    message: str = ""


def pod_name(pod: Object) -> str:
    """A pod's name."""
    return str((pod.get("metadata") or {}).get("name") or "")


def condition(obj: Object, kind: str) -> Object | None:
    """The status condition of that type; None when it is not there."""
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c.get("type") == kind), None)


def is_ready(pod: Object) -> bool:
    """True when the pod's Ready condition says so and it is not being deleted."""
    ready = condition(pod, "Ready")
    return bool(ready and ready.get("status") == "True") and not (pod.get("metadata") or {}).get("deletionTimestamp")


def serves(pod: Object) -> bool:
    """False for a worker of a LeaderWorkerSet's group: its leader alone takes the requests of all."""
    labels = (pod.get("metadata") or {}).get("labels") or {}
    return str(labels.get("leaderworkerset.sigs.k8s.io/worker-index", "0")) == "0"


def is_current(pod: Object) -> bool:
    """True for a pod that is to run: neither being deleted nor at its end."""
    finished = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return not finished and not (pod.get("metadata") or {}).get("deletionTimestamp")


def container_statuses(pod: Object) -> Iterator[Object]:
    """Statuses of init containers first, then of containers."""
    status = pod.get("status") or {}
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def waiting(pods: Iterable[Object], *reasons: str) -> list[Waiting]:
    """Containers that wait for one of `reasons`."""
    found = []
    for pod in pods:
        for status in container_statuses(pod):
            state = (status.get("state") or {}).get("waiting") or {}
            if state.get("reason") in reasons:
                image = str(status.get("image") or "")
                name = str(status.get("name"))
                found.append(Waiting(pod_name(pod), name, str(state["reason"]), str(state.get("message") or ""), image))
    return found


def ended(pods: Iterable[Object]) -> list[Ended]:
    """The last end of each container that has restarted, or that has ended and waits for its restart."""
    found = []
    for pod in pods:
        for status in (pod.get("status") or {}).get("containerStatuses") or ():
            last = (status.get("lastState") or {}).get("terminated") or (status.get("state") or {}).get("terminated")
            if last:
                found.append(
                    Ended(
                        pod_name(pod),
                        str(status.get("name")),
                        str(last.get("reason") or ""),
                        last.get("exitCode"),
                        str(last.get("finishedAt") or ""),
                        int(status.get("restartCount") or 0),
                        str(last.get("message") or ""),
                    )
                )
    return found


def parse_time(text: Any) -> dt.datetime | None:
    """An API timestamp; None for what is none."""
    try:
        parsed = dt.datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=dt.UTC)


def seconds_between(earlier: Any, later: Any) -> float | None:
    """Seconds from one API timestamp to another; None when either is none."""
    first, second = parse_time(earlier), parse_time(later)
    return None if first is None or second is None else (second - first).total_seconds()


def start_seconds(pod: Object, container: str) -> float | None:
    """Seconds from the start of a container to the readiness of its pod, of a pod that is ready and never restarted.

    It is the API's only measure of a start, with a resolution of a second. A pod that lost its readiness later shows
    the time of its return, which is why callers leave out what no start can be (:func:`measured_start_s`).
    """
    ready = condition(pod, "Ready")
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        if status.get("name") == container and not status.get("restartCount"):
            started = ((status.get("state") or {}).get("running") or {}).get("startedAt")
            if started and ready and ready.get("status") == "True":
                took = seconds_between(started, ready.get("lastTransitionTime"))
                return took if took is not None and took >= 0 else None
    return None


def measured_start_s(pods: Iterable[Object], container: str, budget_s: float | None) -> tuple[float, str] | None:
    """The slowest start seen and its pod; None when no start was seen.

    With a `budget_s`, a longer time cannot be a start (the probe would have ended it): such a pod was unready later.
    """
    starts = [(took, pod_name(pod)) for pod in pods if (took := start_seconds(pod, container)) is not None]
    possible = [each for each in starts if budget_s is None or each[0] <= budget_s]
    return max(possible) if possible else None


def killed_by_probe(events: Iterable[Object]) -> dict[tuple[str, str], list[str]]:
    """Names of the pods, once for each event, by container and probe (``liveness``, ``startup``) that killed it."""
    found: dict[tuple[str, str], list[str]] = {}
    for event in events:
        hit = _KILLED.search(str(event.get("message") or event.get("note") or ""))
        if hit and event.get("reason") in ("Killing", "Unhealthy"):
            pod = (event.get("involvedObject") or event.get("regarding") or {}).get("name")
            found.setdefault((hit[1], hit[2]), []).append(str(pod))
    return found
