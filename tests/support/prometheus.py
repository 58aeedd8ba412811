"""A real Prometheus and Alertmanager (Debian's) on loopback, and a metrics page to scrape, for one test module."""

from __future__ import annotations

import http.client
import http.server
import json
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .processes import ProcessError, Processes, free_port

REACHES_A_PERSON: dict[str, Any] = {
    "route": {"receiver": "pager"},
    "receivers": [{"name": "pager", "webhook_configs": [{"url": "http://127.0.0.1:9/"}]}],
}
REACHES_NOBODY: dict[str, Any] = {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}


def program(name: str) -> Path:
    """The program on PATH; one line says which package is missing."""
    found = shutil.which(name)
    if found is None:
        package = "prometheus-alertmanager" if "alertmanager" in name else "prometheus"
        raise ProcessError(f"{name} is missing: apt-get install {package}")
    return Path(found)


@dataclass
class Monitoring:
    """Both programs; `prometheus` and `alertmanager` are their URLs."""

    processes: Processes
    folder: Path
    port: int
    alertmanager_port: int
    scrapes: list[dict[str, Any]] = field(default_factory=list)

    @property
    def prometheus(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def alertmanager(self) -> str:
        return f"http://127.0.0.1:{self.alertmanager_port}"

    def load(self, rules: str, *, alertmanagers: bool = True, wired: bool = False) -> None:
        """Replaces the rules and waits until each was evaluated; a file that does not load is a ProcessError.

        `wired` waits for the Alertmanager too: after a reload Prometheus takes five seconds to find it again.
        """
        (self.folder / "rules.yaml").write_text(rules)
        self._configure(alertmanagers)
        reply = request(self.port, "POST", "/-/reload")
        if reply[0] != 200:
            raise ProcessError(f"Prometheus refused its configuration: {reply[1]!r}")
        wanted = len([r for g in yaml.safe_load(rules)["groups"] for r in g["rules"]])

        def evaluated() -> bool:
            loaded = self.rules()
            return len(loaded) == wanted and all(rule["health"] != "unknown" for rule in loaded)

        self.processes.until("the rules are evaluated", evaluated)
        if wired:
            self.processes.until("the Alertmanager is known", self._wired)

    def rules(self) -> list[dict[str, Any]]:
        """The rules as Prometheus lists them."""
        answer = json.loads(request(self.port, "GET", "/api/v1/rules")[1])
        return [rule for group in answer["data"]["groups"] for rule in group["rules"]]

    def firing(self) -> set[str]:
        """The names of the alerts that fire now."""
        return {rule["name"] for rule in self.rules() if rule.get("state") == "firing"}

    def query(self, promql: str) -> list[dict[str, Any]]:
        """An instant vector."""
        from urllib.parse import quote

        answer = json.loads(request(self.port, "GET", f"/api/v1/query?query={quote(promql)}")[1])
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def route(self, config: Mapping[str, Any]) -> None:
        """Replaces Alertmanager's configuration."""
        (self.folder / "alertmanager.yml").write_text(yaml.safe_dump(dict(config)))
        reply = request(self.alertmanager_port, "POST", "/-/reload")
        if reply[0] != 200:
            raise ProcessError(f"Alertmanager refused its configuration: {reply[1]!r}")

    def _wired(self) -> bool:
        answer = json.loads(request(self.port, "GET", "/api/v1/alertmanagers")[1])
        return bool(answer["data"]["activeAlertmanagers"])

    def _configure(self, alertmanagers: bool = True) -> None:
        config: dict[str, Any] = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": self.scrapes,
        }
        if alertmanagers:
            static = [{"targets": [f"127.0.0.1:{self.alertmanager_port}"]}]
            config["alerting"] = {"alertmanagers": [{"static_configs": static}]}
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(config))


@contextmanager
def monitoring(folder: Path, targets: Mapping[str, Mapping[str, str]]) -> Iterator[Monitoring]:
    """Both started, without rules. `targets`: ``host:port`` and the labels of the target, ``job`` among them."""
    processes = Processes(folder)
    it = Monitoring(processes, folder, free_port(), free_port())
    for address, labels in targets.items():
        rest = {key: value for key, value in labels.items() if key != "job"}
        static = [{"targets": [address], "labels": rest}]
        it.scrapes.append({"job_name": labels["job"], "static_configs": static})
    it._configure()
    (folder / "rules.yaml").write_text("groups: []\n")
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(REACHES_A_PERSON))
    try:
        processes.start(
            "alertmanager",
            program("prometheus-alertmanager"),
            f"--config.file={folder}/alertmanager.yml",
            f"--storage.path={folder}/alertmanager",
            f"--web.listen-address=127.0.0.1:{it.alertmanager_port}",
            "--cluster.listen-address=",
        )
        processes.start(
            "prometheus",
            program("prometheus"),
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/tsdb",
            f"--web.listen-address=127.0.0.1:{it.port}",
            "--web.enable-lifecycle",
            # Before 2.50 a reload forgets all targets for some seconds unless told otherwise.
            "--enable-feature=new-service-discovery-manager",
        )
        processes.until("Prometheus is ready", lambda: _ready(it.port))
        processes.until("Alertmanager is ready", lambda: _ready(it.alertmanager_port))
        yield it
    finally:
        processes.stop()


class Page:
    """A metrics page in this process: what `text` returns is served to every GET."""

    def __init__(self) -> None:
        self.text = ""
        page = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = page.text.encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing on the test's output."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Page:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join(10)
        self.server.server_close()


def request(port: int, method: str, path: str) -> tuple[int, bytes]:
    """Status and body of one request to a loopback port."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def _ready(port: int) -> bool:
    try:
        return request(port, "GET", "/-/ready")[0] == 200
    except OSError:
        return False
