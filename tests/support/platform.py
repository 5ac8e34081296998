"""A whole platform of its own, as `make up` starts it, on free ports and in a folder that goes with the test run."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.local.ports import is_free
from deploy.local.settings import OFFSETS, Settings
from deploy.local.supervision import Supervisor
from tests.support.databases import ROOT


class Platform:
    """`up`, `down`, and `kill("notify-worker")`, which is kill -9; the supervisor starts again what was killed."""

    def __init__(self) -> None:
        self.settings = Settings(home=Path(tempfile.mkdtemp(prefix="ghp-", dir="/tmp")), port=_free_range())
        self.settings.home.chmod(0o755)
        (self.settings.home / ".gatehouse").touch()
        self._supervisor = Supervisor(self.settings)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "GATEHOUSE_HOME": str(self.settings.home),
            "GATEHOUSE_PORT": str(self.settings.port),
        }

    def url(self, part: str) -> str:
        return self.settings.url_of(part)

    def run(self, *arguments: str, timeout_s: float = 180) -> subprocess.CompletedProcess[str]:
        """`python -m …` with this platform's settings; the completed process, its output as text."""
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )

    def up(self) -> "Platform":
        started = self.run("deploy.local", "up")
        assert started.returncode == 0, started.stdout + started.stderr
        return self

    def remove(self) -> None:
        self.run("deploy.local", "clean")
        shutil.rmtree(self.settings.home, ignore_errors=True)

    def pid(self, part: str) -> int:
        return int(self._supervisor.states()[part]["pid"])

    def kill(self, part: str) -> None:
        os.kill(self.pid(part), signal.SIGKILL)


def _free_range() -> int:
    """A base port above which every port that a platform takes is free; no other test takes any from there."""
    while True:
        base = random.SystemRandom().randrange(25_000, 27_500 - max(OFFSETS.values()))
        if all(is_free(base + offset) for offset in OFFSETS.values()):
            return base
