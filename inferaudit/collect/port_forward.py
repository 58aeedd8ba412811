"""A port-forward that the audit opens and closes itself: 127.0.0.1 here, a pod's port there, the API server between.

Each local connection is one websocket of the official client. It listens on the loopback address alone, on a port that
was free, holds a few connections, moves to another pod once, and is gone when the block ends, however it ends.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from inferaudit.collect.kube_client import ApiClient, connect
from inferaudit.collect.reach import Surroundings, look_around, no_ready_pod
from inferaudit.errors import CollectError, UsageError
from inferaudit.model import FactError, FactErrorKind
from inferaudit.redact import redact_text
from inferaudit.serving_address import Address

MAX_CONNECTIONS = 8
_CONNECT_S = 15.0
_PROOF_S = 20.0
_CLIENT_THREAD = "Kubernetes port forward proxy"  # how the official client names its threads
_CHUNK = 1 << 16


class ForwardError(CollectError):
    """A way that does not lead there; `error` becomes that of the facts. `gone`: another pod may do."""

    def __init__(self, error: FactError, *, gone: bool = False) -> None:
        super().__init__(error.reason)
        self.error = error
        self.gone = gone


@dataclass
class Tunnel:
    """An open port-forward. `pod` is where it ends now; `reconnects` counts the pods that went away under it.

    `suspect`: the pod was reached last time and its port was not.
    """

    client: ApiClient
    namespace: str
    pod: str
    pod_port: int
    another: Callable[[], str | None]
    port: int = 0
    reconnects: int = 0
    failure: ForwardError | None = None
    suspect: bool = False
    _listener: socket.socket | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _slots: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(MAX_CONNECTIONS))
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)

    def listen(self) -> None:
        """Take a free port of 127.0.0.1 and serve it from a thread."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=MAX_CONNECTIONS)
        self._listener.settimeout(0.2)
        self.port = int(self._listener.getsockname()[1])
        self._run(self._accept)

    def close(self) -> None:
        """End every connection and give the port back. Safe to call twice."""
        self._stop.set()
        if self._listener is not None:
            self._listener.close()
        for thread in self._threads:
            thread.join(2.0)

    def _run(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, name="inferaudit-port-forward", daemon=True)
        self._threads = [t for t in self._threads if t.is_alive()] + [thread]
        thread.start()

    def _accept(self) -> None:
        assert self._listener is not None  # noqa: S101  # listen() made it
        while not self._stop.is_set():
            try:
                local, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return  # closed
            if self._slots.acquire(blocking=False):
                self._run(self._serve, local)
            else:
                local.close()

    def _serve(self, local: socket.socket) -> None:
        try:
            with local:
                forward = self._dial()
                remote = forward.socket(self.pod_port)
                try:
                    self._pump(local, remote, lambda: forward.error(self.pod_port))
                finally:
                    forward.close()
        except ForwardError as error:
            self.failure = error
        except OSError:
            pass  # one side went away: the other has seen it
        finally:
            self._slots.release()

    def _dial(self) -> Any:
        """A connection to the pod; to another one where this one is gone, once."""
        with self._lock:
            if self.suspect and self.failure is not None:
                return self._move(self.failure)
            try:
                return _forward(self.client, self.namespace, self.pod, self.pod_port)
            except ForwardError as error:
                if not error.gone:
                    raise
                return self._move(error)

    def _move(self, why: ForwardError) -> Any:
        pod = None if self.reconnects else self.another()
        if pod is None:
            raise why
        self.pod, self.reconnects, self.suspect = pod, self.reconnects + 1, False
        return _forward(self.client, self.namespace, self.pod, self.pod_port)

    def _pump(self, local: socket.socket, remote: Any, refused: Callable[[], str | None]) -> None:
        """Bytes both ways until either side ends; what the kubelet says of a port that is shut becomes `failure`."""
        answered = False
        while not self._stop.is_set():
            ready, _, _ = select.select([local, remote], [], [], 0.2)
            for source, target in ((local, remote), (remote, local)):
                if source not in ready:
                    continue
                data = source.recv(_CHUNK)
                if not data:
                    if source is remote and not answered and (said := refused()):
                        why = _refused(self.client, self.namespace, self.pod, self.pod_port, said)
                        self.failure, self.suspect = ForwardError(why), True
                    return
                answered = answered or source is remote
                target.sendall(data)


@contextlib.contextmanager
def port_forward(around: Surroundings, address: Address, progress: Callable[[str], None]) -> Iterator[Tunnel]:
    """An open and proven port-forward to a ready pod of the workload; :class:`ForwardError` where none can be had."""
    if not around.ready:
        raise ForwardError(no_ready_pod(around))
    pod = around.names[0]

    def another() -> str | None:
        try:
            seen = look_around(around.kubernetes)
        except (CollectError, UsageError):  # in a thread of ours: why the first pod was lost is told all the same
            return None
        names = () if isinstance(seen, FactError) else seen.names
        return next((name for name in names if name != tunnel.pod), next(iter(names), None))

    _official()  # seconds on a busy machine, which must not count as the pod's
    tunnel = Tunnel(connect(around.kubernetes), around.namespace, pod, address.pod_port, another)
    with _quiet_client():
        try:
            progress(f"port-forward: to pod {pod}, port {address.pod_port}")
            tunnel.listen()
            _prove(tunnel, address.scheme)
            yield tunnel
        finally:
            tunnel.close()


def _prove(tunnel: Tunnel, scheme: str) -> None:
    """One GET through the tunnel: whether anything answers there is told by bytes alone. TLS is not verified here.

    A server that takes its time or speaks something else is for the endpoint's own facts to judge; a connection that
    ends without a byte leads nowhere.
    """
    try:
        with socket.create_connection(("127.0.0.1", tunnel.port), timeout=_PROOF_S) as plain:
            talk: socket.socket = plain
            if scheme == "https":
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                talk = context.wrap_socket(plain)
            talk.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: inferaudit\r\nConnection: close\r\n\r\n")
            if talk.recv(1):
                return
    except TimeoutError:
        return
    except ssl.SSLEOFError:
        pass
    except ssl.SSLError:
        return
    except OSError:
        pass
    for _ in range(10):  # the reason comes on a channel of its own, a moment later
        if tunnel.failure is not None:
            raise tunnel.failure
        threading.Event().wait(0.1)
    said = "the connection ends without an answer"
    raise ForwardError(_refused(tunnel.client, tunnel.namespace, tunnel.pod, tunnel.pod_port, said))


def _official() -> tuple[Any, Any, Any]:
    """The official client, its port-forward and the websocket library under it."""
    import websocket
    from kubernetes import client
    from kubernetes.client import CoreV1Api  # noqa: F401  # loads what is otherwise loaded at the first connection
    from kubernetes.stream import portforward

    return client, portforward, websocket


def _forward(client: ApiClient, namespace: str, pod: str, port: int) -> Any:
    """The official client's port-forward to one port of a pod."""
    official, portforward, websocket = _official()
    websocket.setdefaulttimeout(_CONNECT_S)
    api = official.CoreV1Api(official.ApiClient(configuration=client.settings))
    try:
        return portforward(api.connect_get_namespaced_pod_portforward, pod, namespace, ports=str(port))
    except official.ApiException as error:
        raise _not_connected(client, namespace, pod, port, str(error.reason)) from None
    finally:
        websocket.setdefaulttimeout(None)


def _not_connected(client: ApiClient, namespace: str, pod: str, port: int, said: str) -> ForwardError:
    status = re.search(r"[Hh]andshake status (\d{3})", said)
    code = int(status.group(1)) if status else None
    told = re.search(r'"message":\s*"((?:[^"\\]|\\.)*)"', said)
    text = _line((told.group(1) if told else said.partition(" -+-+-")[0]).replace("\\", ""))
    where = {"source": client.source, "verb": "create", "resource": "pods/portforward", "namespace": namespace}
    if code in (401, 403):
        reason = f"may not create pods/portforward in {namespace}: forbidden"
        remedy = "inferaudit generate rbac --with port-forward, or give --url URL"
        return ForwardError(FactError(FactErrorKind.DENIED, reason, remedy=remedy, **where))
    if code == 404 and not text:
        text = "it is gone"
    reason = f"no port-forward to pod {pod}, port {port}, in {namespace}: {text or 'no connection'}"
    # What no status explains (the node is gone, the kubelet does not answer) may be this pod's own trouble as well.
    return ForwardError(FactError(FactErrorKind.FAILED, reason, remedy="give --url URL", **where), gone=True)


def _refused(client: ApiClient, namespace: str, pod: str, port: int, said: str) -> FactError:
    """The kubelet reached the pod and not the port."""
    why = (
        f"nothing listens on port {port} of pod {pod}"
        if "refused" in said
        else f"pod {pod}, port {port}: {_line(said)}"
    )
    reason = f"the port-forward does not lead anywhere: {why}"
    remedy = "correct the Service's targetPort or the container's port (a port-forward reaches 127.0.0.1 in the pod)"
    return FactError(FactErrorKind.FAILED, reason, f"port-forward to {namespace}/{pod}:{port}", remedy=remedy)


@contextlib.contextmanager
def _quiet_client() -> Iterator[None]:
    """The official client lets errors of a lost connection out of its threads, as tracebacks on stderr."""
    before = threading.excepthook

    def hook(args: threading.ExceptHookArgs) -> None:
        if args.thread is None or not args.thread.name.startswith(_CLIENT_THREAD):
            before(args)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before


def _line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in redact_text(text))[:200].strip()
