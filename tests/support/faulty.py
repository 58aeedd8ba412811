"""A scripted HTTP server that fails in every way a load engine must tell apart, and behaves oddly but correctly.

`FAULTS` (in `faulty_cases.py`) names them all. A fault is asked for by the first segment of the path, so that one
server serves every case: `FaultyServer().url("stall_body")` is a base URL. What happens before a path can be read
(refused, reset at accept, a full accept queue) has a port of its own, which `url` gives as well.

    with FaultyServer() as server:
        run(server.url(name), FAULTS[name]) == FAULTS[name].expected
"""

import contextlib
import socket
import threading
from dataclasses import dataclass, field

from support.faulty_cases import FAULTS
from support.faulty_wire import ERROR_CLASSES, LIMIT_S, Fault, Wire

__all__ = ["ERROR_CLASSES", "FAULTS", "Fault", "FaultyServer"]


@dataclass
class FaultyServer:
    """Serves every fault until closed; `requests` are the raw requests it read whole, `connections` their number."""

    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    _stopped: threading.Event = field(default_factory=threading.Event)
    _open: list[socket.socket] = field(default_factory=list)
    _ports: dict[str, int] = field(default_factory=dict)

    def __enter__(self) -> "FaultyServer":
        self._ports[""] = self._listen(None)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def url(self, name: str) -> str:
        """The base URL under which this fault happens."""
        fault = FAULTS[name]
        if fault.expected == "dns":
            return "http://no-such-host.invalid:80"
        port = self._ports[""]
        if fault.port:
            port = self._ports.get(name) or self._ports.setdefault(name, self._own_port(fault))
        return f"{fault.scheme}://127.0.0.1:{port}/{name}"

    def _own_port(self, fault: Fault) -> int:
        if fault.port == "raw":
            return self._listen(fault)
        held = socket.socket()
        held.bind(("127.0.0.1", 0))  # held, so that nobody else can listen there
        self._open.append(held)
        port = int(held.getsockname()[1])
        if fault.port == "full":
            held.listen(0)
            for _ in range(4):  # Linux drops the SYN once the accept queue is full
                waiting = socket.socket()
                waiting.setblocking(False)
                waiting.connect_ex(("127.0.0.1", port))
                self._open.append(waiting)
        return port

    def _listen(self, fault: Fault | None) -> int:
        listening = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._open.append(listening)
        threading.Thread(target=self._accept, args=(listening, fault), daemon=True).start()
        return int(listening.getsockname()[1])

    def _accept(self, listening: socket.socket, fault: Fault | None) -> None:
        while not self._stopped.is_set():
            try:
                sock = listening.accept()[0]
            except OSError:
                return
            self.connections += 1
            self._open.append(sock)
            threading.Thread(target=self._serve, args=(sock, fault), daemon=True).start()

    def _serve(self, sock: socket.socket, fault: Fault | None) -> None:
        wire = Wire(sock, self._stopped)
        # A client that hangs up is what half of the cases are about; a ValueError is a socket that our own stop closed.
        with contextlib.suppress(OSError, ValueError), sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(LIMIT_S)
            if fault and fault.script:
                fault.script(wire)
                return
            left = b""
            while True:
                asked, left = self._read(wire, left)
                if asked is None or asked.script is None:
                    return
                asked.script(wire)
                if sock.fileno() < 0 or asked.body_bytes:  # a body that was not read cannot be skipped either
                    return

    def _read(self, wire: Wire, data: bytes) -> tuple[Fault | None, bytes]:
        while b"\r\n\r\n" not in data:
            more = wire.sock.recv(65536)
            if not more:
                return None, b""
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        if head.count(b" ") < 2:  # no request of HTTP/1.1: the second half of an HTTP/2 preface
            return None, b""
        name = head.split(b" ", 2)[1].decode().lstrip("/").split("/", 1)[0]
        if FAULTS.get(name, FAULTS["ok"]).body_bytes:
            return FAULTS[name], b""
        lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        length = int(lengths[0]) if lengths else 0
        while len(body) < length:
            more = wire.sock.recv(65536)
            if not more:
                return None, b""
            body += more
        wire.request = head + b"\r\n\r\n" + body[:length]
        self.requests.append(wire.request)
        return FAULTS.get(name, FAULTS["ok"]), body[length:]
