"""The simulators as a child process, for tests and tools: start, ask, tell, stop."""

import http.client
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

from deploy.local.simulators.credentials import Credentials, Ports, prepare

ROOT = Path(__file__).parents[3]


class Simulators:
    """`with Simulators(folder, ports) as simulators:` - started when entered, stopped when left.

    `settings` are the names of deploy.local.simulators.config.Settings, for example `keep_messages=10`.
    """

    def __init__(self, folder: Path, ports: Ports | None = None, **settings: object) -> None:
        self.credentials: Credentials = prepare(folder, ports)
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("the simulators are not running")
        return self._process.pid

    def start(self, timeout_s: float = 15.0) -> Self:
        """Return when all three ports answer; raise RuntimeError with the log's end if they do not."""
        ports, folder = self.credentials.ports, self.credentials.folder
        values = {
            "port": ports.web, "apns_port": ports.apns, "smtp_port": ports.smtp, "folder": folder, **self._settings,
        }  # fmt: skip
        environ = {**os.environ, **{f"SIMULATORS_{name.upper()}": str(value) for name, value in values.items()}}
        log_file = folder / "simulators.log"
        with log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "deploy.local.simulators"],
                cwd=ROOT,
                env=environ,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        end = time.monotonic() + timeout_s
        while not self._is_healthy():
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise RuntimeError(f"the simulators did not start: {log_file.read_text()[-2000:]}")
            time.sleep(0.05)
        return self

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # what arrived

    def messages(self, **query: object) -> list[dict[str, Any]]:
        """Newest first; `channel`, `to`, `after`, `limit`, `outcome`."""
        given = {name: value for name, value in query.items() if value is not None}
        items: list[dict[str, Any]] = self.call("GET", f"/api/messages?{urlencode(given)}")["items"]
        return items

    def wait_for(self, count: int = 1, timeout_s: float = 10.0, **query: object) -> list[dict[str, Any]]:
        """Messages, as soon as there are at least `count`; raise TimeoutError with what came instead."""
        end = time.monotonic() + timeout_s
        while True:
            found = self.messages(**query)
            if len(found) >= count:
                return found
            if time.monotonic() > end:
                others = [(m["channel"], m["to"], m["outcome"], m["reason"]) for m in self.messages(outcome="all")]
                raise TimeoutError(f"{len(found)} of {count} messages for {query}; arrived in all: {others[:20]}")
            time.sleep(0.02)

    def stats(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.call("GET", "/api/stats")
        return answer

    def forget(self) -> None:
        """No messages, no counters, no faults."""
        self.call("DELETE", "/api/messages")
        self.call("DELETE", "/api/faults")

    def fault(self, channel: str, kind: str, **fields: object) -> dict[str, Any]:
        """`simulators.fault("fcm", "status", status=429, retry_after_s=2, count=3)`."""
        answer: dict[str, Any] = self.call("POST", "/api/faults", {"channel": channel, "kind": kind, **fields})
        return answer

    def call(self, method: str, path: str, body: object = None) -> Any:
        connection = http.client.HTTPConnection(self.credentials.host, self.credentials.ports.web, timeout=10)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"content-type": "application/json"})
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        if response.status >= 400:
            raise ValueError(f"{method} {path}: {response.status} {text.decode()}")
        return json.loads(text) if text else None

    def _is_healthy(self) -> bool:
        """Our own process answers: another one on the same port does not count."""
        try:
            return bool(self.call("GET", "/healthz")["pid"] == self.pid)
        except (OSError, ValueError, http.client.HTTPException):
            return False
