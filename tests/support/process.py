"""A process of ours under test, started as an operator starts it: by command line and environment."""

import signal
import subprocess
import sys
from pathlib import Path

from deploy.local.server import base_env
from tests.support.databases import ROOT


class Process:
    """`python -m …` in the repository's root; what it writes is in `out()`."""

    def __init__(self, *arguments: str, folder: Path, **environment: str) -> None:
        self._log = folder / "out.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=ROOT,
                env={**base_env(folder), "PYTHONUNBUFFERED": "1", **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def out(self) -> str:
        return self._log.read_text()

    def wait(self, timeout_s: float = 15) -> int:
        """Its exit status."""
        return self._process.wait(timeout_s)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> int:
        """SIGTERM and wait, SIGKILL if that is not enough; the exit status."""
        if self.is_running:
            self.send(signal.SIGTERM)
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self.wait()
