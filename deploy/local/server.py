"""A private server: one process with its own folder and ports. PostgreSQL, RabbitMQ and MongoDB derive from it."""

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Self

import psutil

from deploy.local import ports

HOST = "127.0.0.1"
MOST_OPEN_FILES = 65_536  # Erlang walks over every possible file at start: a limit of a billion costs minutes


class ServerError(Exception):
    """A server cannot be prepared or does not come up; the text says why and what to do."""


class NotReady(Exception):
    """The probe failed: the server does not answer, or not yet."""


class Server(ABC):
    """`prepare()`, then `start()`, `wait_until_ready()`, `stop()`; each may be repeated and does only what is missing.

    A supervisor may run the process instead: it takes `command()`, `env()` and `probe()`.
    """

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, folder: Path, port: int, log: Path | None = None) -> None:
        self.folder = folder.resolve()
        self.port = port
        self.log = log or self.folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def prepare(self) -> None:
        """Make what the first start needs: folders, configuration, an empty database."""

    @abstractmethod
    def program(self) -> list[str]:
        """The server's own command line; it stays in the foreground."""

    def wrapper(self) -> list[str]:
        """What goes before the program: programs that change the process and then become it."""
        return []

    def command(self) -> list[str]:
        """The whole command, ready for a supervisor."""
        return [*self.wrapper(), *self.program()]

    def env(self) -> dict[str, str]:
        return base_env(home=self.folder)

    @abstractmethod
    def probe(self) -> None:
        """Raise NotReady unless a client could work with the server now."""

    def ports(self) -> list[int]:
        return [self.port]

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.poll() is None else None

    def is_running(self) -> bool:
        return self.pid is not None

    def start(self) -> Self:
        """Start the process and return at once. Raise ServerError if one of its ports is taken."""
        if self.is_running():
            return self
        for port in self.ports():
            require_free(port, self.name)
        self._process = self.spawn(self.program())
        return self

    def spawn(self, program: list[str]) -> subprocess.Popen[bytes]:
        """In its own session, so that Ctrl-C reaches it through `stop()` and not from the terminal."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*self.wrapper(), *dying_with_parent(self.stop_signal), *program],
                env=self.env(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_ready(self, timeout_s: float = 60) -> Self:
        """Raise ServerError with the tail of the log if the process ends or does not answer in time."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                self.probe()
                return self
            except NotReady as error:
                reason = str(error)
            if not self.is_running():
                raise ServerError(f"{self.name} ended while starting. {self.end_of_log()}")
            if time.monotonic() > deadline:
                raise ServerError(f"{self.name} is not ready after {timeout_s:.0f} s ({reason}). {self.end_of_log()}")
            time.sleep(0.1)

    def stop(self, timeout_s: float = 20) -> None:
        """Ask the server to end and wait; kill it if it does not."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(self.stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_s)
        self.kill()

    def kill(self) -> None:
        """What `kill -9` does; returns when the process and what it leaves behind are gone."""
        if self._process is not None and self._process.poll() is None:
            kill_tree(self._process.pid)
            self._process.wait()
        self._process = None

    def restart(self, timeout_s: float = 60) -> Self:
        """Stop if running, start, and wait until ready."""
        self.stop()
        return self.start().wait_until_ready(timeout_s)

    def end_of_log(self) -> str:
        return end_of(self.log)

    def __enter__(self) -> Self:
        self.prepare()
        return self.start().wait_until_ready()

    def __exit__(self, *_: object) -> None:
        self.stop()


def base_env(home: Path) -> dict[str, str]:
    """A clean environment: nothing of the caller's leaks into a server but where programs are."""
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "LANG": "C.UTF-8", "TZ": "UTC"}


def require_free(port: int, name: str) -> None:
    if not ports.is_free(port):
        raise ServerError(f"Port {port}, meant for {name}, is taken by {ports.holder(port)}.")


def dying_with_parent(with_signal: signal.Signals) -> list[str]:
    """What makes the kernel stop the server when this process dies without stopping it.

    Only from the main thread: the kernel means the thread that started it, and a pool's threads end early.
    """
    if threading.current_thread() is not threading.main_thread() or not shutil.which("setpriv"):
        return []
    return ["setpriv", "--pdeathsig", with_signal.name.removeprefix("SIG")]


def sane_file_limit() -> list[str]:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft <= MOST_OPEN_FILES:
        return []
    return ["prlimit", f"--nofile={MOST_OPEN_FILES}:{MOST_OPEN_FILES}"]


def kill_tree(pid: int) -> None:
    """SIGKILL the process first, as a crash would, then whatever of its children outlives it by two seconds."""
    try:
        process = psutil.Process(pid)
        children = process.children(recursive=True)
        process.kill()
    except psutil.NoSuchProcess:
        return
    _, alive = psutil.wait_procs(children, timeout=2)
    for child in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    psutil.wait_procs(alive, timeout=2)


def end_of(path: Path, lines: int = 15) -> str:
    """The last lines of a log, for an error message."""
    if not path.exists():
        return f"{path} was not written."
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - 20_000))
        text = log.read().decode(errors="replace")
    if not text:
        return f"{path} is empty."
    return f"The end of {path}:\n" + "\n".join(f"  {line}" for line in text.splitlines()[-lines:])
