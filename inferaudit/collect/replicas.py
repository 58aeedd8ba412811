"""Each ready pod asked by itself, by GETs through the API server's proxy: what a load balancer hides shows here.

The proxy passes no credentials on (the API server takes the Authorization header for itself, and the audit sends it no
other): what a server tells only to callers with a key stays unknown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from inferaudit.collect.endpoint_look import health, models
from inferaudit.collect.http_client import Reply, Scrubber
from inferaudit.collect.kube_client import ApiClient, ApiError, Asked, connect
from inferaudit.facts.reach import ReplicaAnswer, Replicas
from inferaudit.model import Fact, FactError, FactErrorKind
from inferaudit.plan import ReplicasPlan
from inferaudit.pod_state import pod_name
from inferaudit.redact import redact_text
from inferaudit.runtime_recognition import HttpAnswer, next_probe, recognise
from inferaudit.runtime_registry import runtime

MAX_PODS = 64
_AT_ONCE = 4
_GET_S = 10.0
_MAX_BODY = 1 << 20
_UNREACHABLE = ("error trying to reach service", "no endpoints available", "no preferred addresses", "dial tcp")


class _Refused(Exception):  # noqa: N818  # the API server said no: a reason for all pods, not an error of ours
    def __init__(self, error: FactError) -> None:
        super().__init__(error.reason)
        self.error = error


def collect_replicas(plan: ReplicasPlan, progress: Callable[[str], None] = lambda _: None) -> dict[str, Fact]:
    """The fact ``endpoint.replicas``. A pod that does not answer costs its own answer; a refusal costs the fact."""
    client = connect(plan.kubernetes)
    progress(f"replicas: asking {len(plan.pods)} of {plan.total} ready pods through the API server's proxy")
    scrub = Scrubber(())
    images = _images(client, plan)

    def ask(pod: str) -> ReplicaAnswer:
        return _ask(client, plan, pod, images.get(pod, ("", "")), scrub)

    try:
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="replicas") as pool:
            answers = list(pool.map(ask, plan.pods))
    except _Refused as refused:
        return {"endpoint.replicas": Fact(error=refused.error)}
    except ApiError as error:
        return {"endpoint.replicas": Fact(error=error.error)}
    return {"endpoint.replicas": Fact(Replicas(subject=plan.subject, total=plan.total, answers=answers))}


def _ask(client: ApiClient, plan: ReplicasPlan, pod: str, image: tuple[str, str], scrub: Scrubber) -> ReplicaAnswer:
    replies: dict[str, Reply] = {}

    def get(path: str) -> Reply:
        if path not in replies:
            replies[path] = _get(client, plan, pod, path)
        return replies[path]

    answers: list[HttpAnswer] = []
    while (path := next_probe(answers)) is not None:
        reply = get(path.replace("{model}", "model"))
        if reply.status is None:
            return ReplicaAnswer(pod=pod, port=plan.port, error=scrub(reply.detail), image=image[0], image_id=image[1])
        answers.append(HttpAnswer(path, reply.status, reply.headers, reply.text))
    seen = recognise(answers)
    profile = runtime(seen.profile)
    listed = models(profile, get, lambda *_: Reply(error="not_asked", detail="only GETs go through the proxy"), scrub)
    names = None if listed.error else sorted({model.id for model in listed.value})
    asked = [each for each in health(profile, (names or [""])[0], get, scrub) if each.role == "ready"]
    there = [each for each in asked if each.status not in (404, 405, 401, 403)]
    said = next((each for each in there if each.proves == "model"), next(iter(there), None))
    return ReplicaAnswer(
        pod=pod,
        port=plan.port,
        runtime=seen.name,
        version=scrub(seen.version, 80) if seen.version else None,
        models=names,
        models_error=listed.error.reason if listed.error else "",
        ready=None if said is None else said.ready,
        ready_route=said.route if said else None,
        ready_status=said.status if said else None,
        image=image[0],
        image_id=image[1],
    )


def _get(client: ApiClient, plan: ReplicasPlan, pod: str, path: str) -> Reply:
    """One GET to a pod's port. Raises :class:`_Refused` when the API server itself says no; never retries."""
    import urllib3

    where = f"{'https:' if plan.scheme == 'https' else ''}{pod}:{plan.port}"
    target = f"{client.url}/api/v1/namespaces/{plan.namespace}/pods/{where}/proxy{path}"
    began = time.perf_counter_ns()
    try:
        response = client.pool.request(
            "GET",
            target,
            headers={**client.headers(), "Accept": "*/*", "User-Agent": "inferaudit"},
            timeout=urllib3.Timeout(connect=_GET_S, read=_GET_S),
            retries=False,
            redirect=False,
            preload_content=False,
        )
        try:
            body = _body(response, time.monotonic() + _GET_S)
        finally:
            response.close()
    except urllib3.exceptions.HTTPError as error:
        return Reply(error="timeout_headers", detail=f"no answer through the API server: {_line(str(error))}")
    except TimeoutError:
        return Reply(error="timeout_total", detail=f"the answer was not complete within {_GET_S:g} s")
    headers = {name.lower(): value[:1000] for name, value in list(response.headers.items())[:200]}
    said = _status(body) if response.status >= 400 else None
    if said is not None:
        _look_at(client, plan, pod, int(response.status), said)
        if response.status >= 500 and any(word in said for word in _UNREACHABLE):
            return Reply(
                error="refused", detail=f"the API server cannot reach port {plan.port} of the pod: {_line(said)}"
            )
    elapsed = (time.perf_counter_ns() - began) / 1e6
    return Reply(int(response.status), headers, body, elapsed)


def _body(response: Any, end: float) -> bytes:
    """At most `_MAX_BODY` of the body; TimeoutError at `end`, however many small pieces still come."""
    body = b""
    while len(body) < _MAX_BODY and (piece := response.read1(_MAX_BODY - len(body))):
        body += piece
        if time.monotonic() > end:
            raise TimeoutError
    return body


def _look_at(client: ApiClient, plan: ReplicasPlan, pod: str, status: int, said: str) -> None:
    """A Status of the API server's own: denied is denied for every pod."""
    if status == 401 or (status == 403 and "pods" in said and "proxy" in said):
        reason = f"replicas were not asked: may not get pods/proxy in {plan.namespace}: forbidden"
        raise _Refused(
            # Opt-in evidence: without it no launch is blocked, whoever withholds it.
            FactError(
                FactErrorKind.NOT_ASKED,
                reason,
                client.source,
                "get",
                "pods/proxy",
                plan.namespace,
                "inferaudit generate rbac --with proxy",
            )
        )


def _status(body: bytes) -> str | None:
    """The message of a Kubernetes Status; None for any other body."""
    try:
        data = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    ours = isinstance(data, dict) and data.get("kind") == "Status" and data.get("apiVersion") == "v1"
    return str(data.get("message") or "") if ours else None


def _images(client: ApiClient, plan: ReplicasPlan) -> dict[str, tuple[str, str]]:
    """Image and digest of each pod's container that opens the port; nothing where pods cannot be read."""
    asked = Asked("list", "pods", plan.namespace)
    try:
        from inferaudit.collect.kube_client import PlainPage

        pods = client.items(
            f"/api/v1/namespaces/{plan.namespace}/pods", asked, PlainPage, lambda page: page.items or ()
        )
    except ApiError:
        return {}
    return {pod_name(pod): _image(pod, plan.port) for pod in pods if pod_name(pod) in plan.pods}


def _image(pod: Mapping[str, Any], port: int) -> tuple[str, str]:
    containers = (pod.get("spec") or {}).get("containers") or ()
    opens = [c for c in containers if any(p.get("containerPort") == port for p in c.get("ports") or ())]
    name = (opens or list(containers) or [{}])[0].get("name")
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    status: Mapping[str, Any] = next((s for s in statuses if s.get("name") == name), {})
    return _line(str(status.get("image") or "")), _line(str(status.get("imageID") or ""))


def _line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in redact_text(text))[:300].strip()
