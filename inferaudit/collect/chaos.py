"""``--chaos``: what the loss of one replica does to the endpoint. It deletes one pod of a workload the policy names.

The one harm an audit does on purpose, hence in two steps: :func:`propose_chaos` reads and says what would be done,
:func:`collect_chaos` does it. Nothing is deleted of a workload with fewer than two ready pods, of one whose pods nobody
brings back, or when the endpoint does not answer beforehand; afterwards the recovery is waited for.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from inferaudit.collect.endpoint import parse_place
from inferaudit.collect.endpoint_requests import Asked as Request
from inferaudit.collect.endpoint_stream import status_class
from inferaudit.collect.endpoint_wire import WIRES, read_answer
from inferaudit.collect.http_client import Http, Scrubber, credentials
from inferaudit.collect.kube_client import ApiClient, ApiError, Asked, PlainPage, connect
from inferaudit.collect.reach import Surroundings
from inferaudit.errors import CollectError, UsageError
from inferaudit.facts.reach import ChaosRequest, Degradation
from inferaudit.model import Fact, FactError, FactErrorKind
from inferaudit.plan import ChaosPlan, HttpAuth
from inferaudit.pod_state import is_ready, pod_name, serves
from inferaudit.redact import redact_text
from inferaudit.runtime_registry import runtime
from inferaudit.tls import tls_context

_AT_ONCE = 8
_REQUEST_S = 10.0
_POLL_S = 1.0
_UNSURE_S = 30.0  # how long a deletion that got no answer is given to show
_FACT = "endpoint.degradation"


def propose_chaos(around: Surroundings, targets: Sequence[str], url: str, auth: HttpAuth) -> ChaosPlan | FactError:
    """What would be deleted, or why nothing will be. `targets` are the policy's, as KIND/NAMESPACE/NAME."""
    if around.subject not in targets:
        listed = ", ".join(targets) or "nothing"
        return _not_done(around, f"the policy's chaos.targets names {listed}", f"add {around.subject} to chaos.targets")
    if not url:
        return _not_done(
            around, "no endpoint would be watched that outlives a pod", "give --url URL, or run in the cluster"
        )
    if (around.replicas or 0) < 2 or len(around.ready) < 2:
        have = f"{around.replicas} wanted, {len(around.ready)} ready"
        return _not_done(around, f"with fewer than two replicas ({have}) it would be an outage", "raise the replicas")
    owned = [(pod, owner) for pod in around.ready if (owner := _controller(pod))]
    if not owned:
        return _not_done(around, "its pods have no controller that would bring one back", "use a Deployment")
    # Of the newest revision, should a rollout be under way: that of most ready pods.
    owners = [owner for _, owner in owned]
    chosen = max(owners, key=owners.count)
    pod = next(pod for pod, owner in owned if owner == chosen)
    if owners.count(chosen) < 2:
        return _not_done(around, "a rollout is under way: no two ready pods are alike", "wait for its end")
    return ChaosPlan(
        kubernetes=around.kubernetes,
        subject=around.subject,
        namespace=around.namespace,
        pod=pod_name(pod),
        pod_uid=str(pod["metadata"].get("uid")),
        owner_uid=chosen,
        replicas=int(around.replicas or 0),
        ready=owners.count(chosen),
        url=url,
        auth=auth,
    )


def chaos_words(plan: ChaosPlan) -> str:
    """One paragraph for the terminal."""
    grace = "with one second of grace" if plan.abrupt else "with its own grace period"
    where = f"context {plan.kubernetes.context}" if plan.kubernetes.context else "the cluster that this runs in"
    return (
        f"--chaos deletes pod {plan.pod} in namespace {plan.namespace} of {where}, "
        f"one of {plan.ready} ready of {plan.subject}, "
        f"{grace}, while at most {plan.rate:g} small requests/s go to {plan.url}; its controller makes a new one, and "
        f"the recovery is waited for, at most {plan.limit_s:g} s"
    )


def collect_chaos(
    plan: ChaosPlan,
    facts: Mapping[str, Fact],
    stop: threading.Event,
    progress: Callable[[str], None] = lambda _: None,
    *,
    environ: Mapping[str, str] | None = None,
) -> dict[str, Fact]:
    """The fact ``endpoint.degradation``. `facts` are the endpoint's; `stop` ends it early and keeps what was seen."""
    try:
        watch = _prepared(plan, facts, os.environ if environ is None else environ)
        return {_FACT: Fact(_run(plan, watch, stop, progress))}
    except ApiError as error:
        return {_FACT: Fact(error=error.error)}


@dataclass
class _Watch:
    """Light requests, each on a connection of its own, so that each may meet another pod."""

    post: Callable[[], tuple[float | None, int | None, str | None]]
    route: str
    rate: float
    clock: Callable[[], float] = time.monotonic
    seen: list[tuple[float, float | None, int | None, str | None]] = field(default_factory=list)
    skipped: int = 0
    _open: int = 0
    _due: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def tick(self, pool: ThreadPoolExecutor) -> None:
        """Send what is due; what cannot be sent, for too many are open, is counted."""
        now = self.clock()
        self._due = self._due or now
        if now < self._due:
            return
        self._due = max(self._due + 1 / self.rate, now - 1.0)
        with self._lock:
            if self._open >= _AT_ONCE:
                self.skipped += 1
                return
            self._open += 1
        pool.submit(self._send, now)

    def _send(self, began: float) -> None:
        try:
            ms, status, error = self.post()
        except Exception as bug:  # a lost request must not look like one that was never sent
            ms, status, error = None, None, type(bug).__name__
        with self._lock:
            self._open -= 1
            self.seen.append((began, ms, status, error))


@dataclass
class _After:
    """What the pods showed. `recovered` is a time of the watch's clock; `trouble` why the last look showed nothing."""

    gone: bool
    recovered: float | None = None
    trouble: str = ""


def _prepared(plan: ChaosPlan, facts: Mapping[str, Fact], environ: Mapping[str, str]) -> _Watch:
    """The request that will be sent again and again; :class:`ApiError` where the endpoint gave no good answer."""
    plain, target, known = (facts.get(f"endpoint.{name}") for name in ("plain", "target", "runtime"))
    good = plain is not None and plain.value is not None and plain.value.status == 200 and plain.value.error is None
    if not good or target is None or target.value is None or known is None or known.value is None:
        raise _stopped(plan, "the endpoint did not answer a real request, so nothing was deleted")
    api, route = target.value.api, plain.value.route  # type: ignore[union-attr]  # `good` looked
    if api.endswith("-grpc"):
        raise _stopped(plan, "the loss of a replica is watched over HTTP alone, so nothing was deleted")
    place = parse_place(plan.url, api)
    headers, context = credentials(plan.auth, environ), tls_context(plan.auth)
    base = place.origin if api == "custom" else place.base
    profile = runtime(known.value.profile)
    with Http(base, headers, context, _REQUEST_S) as http:
        asked = Request(http, WIRES[api], profile.api_prefix, target.value.model, place.path, Scrubber(()), profile)
        sample = asked.sample()
    if sample is None:
        raise _stopped(plan, f"nothing tells what {api} takes, so no request could be sent and nothing was deleted")
    body = json.dumps(sample[0]).encode()

    def post() -> tuple[float | None, int | None, str | None]:
        with Http(base, headers, context, _REQUEST_S) as once:
            reply = once.post(route, body)
        error = reply.error or status_class(reply.status)
        if error is None and read_answer(api, reply.text).error:
            error = "error_in_body"
        return reply.ms, reply.status, error

    return _Watch(post, route, plan.rate)


def _run(plan: ChaosPlan, watch: _Watch, stop: threading.Event, progress: Callable[[str], None]) -> Degradation:
    client = connect(plan.kubernetes)
    client.deadline = client.clock() + plan.before_s + plan.limit_s + plan.after_s + 60.0
    pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="chaos")
    try:
        progress(f"chaos: watching {plan.url} for {plan.before_s:g} s")
        _while(watch, pool, stop, lambda passed: passed < plan.before_s)
        if stop.is_set():
            raise _stopped(plan, "interrupted before anything was deleted", FactErrorKind.INTERRUPTED)
        if not _drain(watch):
            raise _stopped(plan, "requests were still without an answer, so nothing was deleted")
        if not watch.seen:
            raise _stopped(plan, "no request was seen to be answered, so nothing was deleted")
        if broken := [error for _, _, _, error in watch.seen if error]:
            text = f"{len(broken)} of {len(watch.seen)} requests failed ({broken[0]}) before anything was deleted"
            raise _stopped(plan, f"{text}: nothing was")
        plan = replace(plan, ready=_still_enough(client, plan))
        progress(f"chaos: deleting pod {plan.namespace}/{plan.pod}")
        deleted = watch.clock()
        doubt = _delete(client, plan)
        after = _await(client, plan, watch, pool, stop, deleted, progress, sure=not doubt)
        _drain(watch)
        if not after.gone:
            what = "that it went was not seen" if after.trouble else "it was still there afterwards"
            raise _stopped(plan, f"the deletion of pod {plan.pod} got no good answer ({doubt}), and {what}")
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return Degradation(
        subject=plan.subject,
        pod=plan.pod,
        url=plan.url,
        route=watch.route,
        replicas=plan.replicas,
        ready=plan.ready,
        rate_per_s=plan.rate,
        abrupt=plan.abrupt,
        limit_s=plan.limit_s,
        recovery_s=None if after.recovered is None else round(after.recovered - deleted, 3),
        unseen=after.trouble,
        requests=[
            ChaosRequest(
                at_s=round(began - deleted, 3), ms=None if ms is None else round(ms, 3), status=status, error=error
            )
            for began, ms, status, error in sorted(watch.seen, key=lambda each: each[0])
        ],
        skipped=watch.skipped,
        interrupted=stop.is_set(),
    )


def _while(watch: _Watch, pool: ThreadPoolExecutor, stop: threading.Event, goes_on: Callable[[float], bool]) -> None:
    began = watch.clock()
    while not stop.is_set() and goes_on(watch.clock() - began):
        watch.tick(pool)
        stop.wait(min(0.05, 1 / watch.rate))


def _drain(watch: _Watch) -> bool:
    """Wait for the open requests; each is bounded by itself. False where one still hangs."""
    end = watch.clock() + _REQUEST_S + 1.0
    while watch._open and watch.clock() < end:
        time.sleep(0.02)
    return not watch._open


def _await(
    client: ApiClient,
    plan: ChaosPlan,
    watch: _Watch,
    pool: ThreadPoolExecutor,
    stop: threading.Event,
    deleted: float,
    progress: Callable[[str], None],
    *,
    sure: bool,
) -> _After:
    """What became of the pods, within the limit. Requests go on for a while after the recovery.

    `sure`: the API server said yes to the deletion; else it counts once the pod is seen to go.
    """
    after = _After(gone=sure)
    done = threading.Event()

    def look() -> None:
        reader = client
        while not done.wait(_POLL_S):
            try:
                if reader.dead is not None:  # one lost connection ends a client for good, and not this watch
                    reader = connect(plan.kubernetes)
                    reader.deadline = client.deadline
                pods = _pods(reader, plan)
            except (CollectError, UsageError) as error:
                after.trouble = _line(str(error))  # the API server's own trouble is not the service's
                continue
            after.trouble = ""
            after.gone = after.gone or not any(_uid(pod) == plan.pod_uid and not _ending(pod) for pod in pods)
            ready = [pod for pod in pods if is_ready(pod) and _uid(pod) != plan.pod_uid]
            if after.gone and len(ready) >= plan.ready:
                after.recovered = watch.clock()
                return

    looking = threading.Thread(target=look, name="inferaudit-chaos", daemon=True)
    looking.start()
    progress(f"chaos: waiting for {plan.ready} ready pods, at most {plan.limit_s:g} s")
    try:

        def limit() -> float:
            return plan.limit_s if after.gone else min(plan.limit_s, _UNSURE_S)

        _while(watch, pool, stop, lambda passed: after.recovered is None and passed < limit())
        if after.recovered is not None:
            _while(watch, pool, stop, lambda passed: passed < plan.after_s)
    finally:
        done.set()
        looking.join(2.0)
    if looking.is_alive() and after.recovered is None:
        after.trouble = after.trouble or "the API server did not answer the last look at the pods"
    if after.recovered is not None and after.recovered - deleted > plan.limit_s:
        after.recovered = None
    return after


def _pods(client: ApiClient, plan: ChaosPlan) -> list[dict[str, Any]]:
    """The pods that the same controller made and that serve, whatever their state."""
    path = f"/api/v1/namespaces/{plan.namespace}/pods"
    pods = client.items(path, Asked("list", "pods", plan.namespace), PlainPage, lambda page: page.items or ())
    return [pod for pod in pods if serves(pod) and _controller(pod) == plan.owner_uid]


def _still_enough(client: ApiClient, plan: ChaosPlan) -> int:
    """How many are ready now: as many have to be again. What was ready when the plan was made may be long ago."""
    ready = [_uid(pod) for pod in _pods(client, plan) if is_ready(pod)]
    if len(ready) < 2:
        raise _stopped(plan, f"only {len(ready)} pods were ready when it came to it: nothing was deleted")
    if plan.pod_uid not in ready:
        raise _stopped(plan, f"pod {plan.pod} was not ready when it came to it: nothing was deleted")
    return len(ready)


def _delete(client: ApiClient, plan: ChaosPlan) -> str:
    """Exactly that pod, and no other that has its name by now. "" = it goes; else why it is not known whether it does.

    :class:`ApiError` where it surely was not deleted.
    """
    options: dict[str, Any] = {"preconditions": {"uid": plan.pod_uid}}
    if plan.abrupt:
        options["gracePeriodSeconds"] = 1
    status, body = client.send("DELETE", f"/api/v1/namespaces/{plan.namespace}/pods/{plan.pod}", options)
    if 200 <= status < 300:
        return ""
    try:
        message = str(msgspec.json.decode(body).get("message", ""))
    except (msgspec.DecodeError, AttributeError, UnicodeDecodeError):
        message = body.decode("utf-8", "replace")
    if status == 0 or status >= 500:  # it may have been done before the answer was lost
        return _line(message) or f"status {status}"
    denied = status in (401, 403)
    reason = (
        f"may not delete pods in {plan.namespace}: forbidden; nothing was deleted"
        if denied
        else f"pod {plan.pod} was not deleted: {_line(message) or f'status {status}'}"
    )
    remedy = "inferaudit generate rbac --with chaos"
    kind = FactErrorKind.DENIED if denied else FactErrorKind.FAILED
    raise ApiError(FactError(kind, reason, client.source, "delete", "pods", plan.namespace, remedy), status)


def _uid(pod: Mapping[str, Any]) -> str:
    return str(pod["metadata"].get("uid"))


def _ending(pod: Mapping[str, Any]) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def _controller(pod: Mapping[str, Any]) -> str:
    owners = (pod.get("metadata") or {}).get("ownerReferences") or ()
    return next((str(owner.get("uid")) for owner in owners if owner.get("controller")), "")


def _not_done(around: Surroundings, why: str, remedy: str) -> FactError:
    reason = f"no pod of {around.subject} was deleted: {why}"
    return FactError(FactErrorKind.NO_TARGET, reason, f"chaos on {around.subject}", remedy=remedy)


def _stopped(plan: ChaosPlan, why: str, kind: FactErrorKind = FactErrorKind.FAILED) -> ApiError:
    return ApiError(FactError(kind, f"--chaos: {why}", f"chaos on {plan.subject}", remedy="mend the endpoint first"))


def _line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in redact_text(text))[:300].strip()
