"""The platform's own commands, run as a user runs them, in a folder and on ports of the test's own."""

import contextlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from deploy.local import ports
from deploy.local.settings import OFFSETS, Settings
from deploy.local.supervision import MARK, Supervisor

ROOT = Path(__file__).parents[2]


class Platform:
    """`run("up", "postgres")` is `python -m deploy.local up postgres` with this platform's folder and ports."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings(home, free_base())
        self.supervisor = Supervisor(self.settings)
        self.first_output = ""

    @property
    def environ(self) -> dict[str, str]:
        own = {"GATEHOUSE_HOME": str(self.settings.home), "GATEHOUSE_PORT": str(self.settings.port)}
        return {**os.environ, **own}

    def begin(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "deploy.local", *arguments],
            cwd=ROOT,
            env={**self.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, status: int = 0, **environ: str) -> str:
        """The output; fail unless the command ends with `status`."""
        process = self.begin(*arguments, **environ)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == status, output
        return output

    def processes(self) -> list[psutil.Process]:
        """Everything that runs on behalf of this platform, found by what every process of it inherits."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == str(self.settings.home):
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def pid_of(self, part: str) -> int:
        return int(self.supervisor.states()[part]["pid"])

    def kill(self) -> None:
        """End it without ceremony; the tests of `down` say how it should end."""
        while processes := self.processes():
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(processes, timeout=5)

    def kill_supervisor(self) -> None:
        pid = self.supervisor.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        psutil.Process(pid).wait(5)


def free_base() -> int:
    """A first port such that the whole range of a platform is free; `free_ports` hands out none of these."""
    while True:
        base = random.SystemRandom().randrange(27_500, 31_000)
        if all(ports.is_free(base + offset) for offset in OFFSETS.values()):
            return base


@pytest.fixture
def make_platform(tmp_path: Path) -> Iterator[Callable[..., Platform]]:
    made: list[Platform] = []

    def make(name: str = "home") -> Platform:
        made.append(Platform(tmp_path / name))
        return made[-1]

    yield make
    for platform in made:
        platform.kill()


@pytest.fixture
def platform(make_platform: Callable[..., Platform]) -> Platform:
    return make_platform()
