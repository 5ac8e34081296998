"""Start the parts as early as what they need allows, several at a time, with a line for each."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from deploy.local.parts import Job, Part, Step
from deploy.local.server import NotReady, ServerError, end_of
from deploy.local.settings import Settings
from deploy.local.supervision import MARK, Supervisor

PART_TIMEOUT_S = 90
STARTS_BEFORE_GIVING_UP = 3


class Progress:
    """One line for each finished step; on a terminal also a last line that says what is being waited for."""

    def __init__(self) -> None:
        self._began: float = psutil.Process().create_time()  # what the user waits for includes Python's own start
        self._lock = threading.Lock()
        self._is_live = sys.stdout.isatty()
        self.running: dict[str, float] = {}
        self.seconds: dict[str, float] = {}

    @property
    def elapsed_s(self) -> float:
        return time.time() - self._began

    def begin(self, name: str) -> None:
        with self._lock:
            self.running[name] = time.monotonic()

    def end(self, name: str) -> None:
        with self._lock:
            self.seconds[name] = took = round(time.monotonic() - self.running.pop(name), 1)
            self._print(f"  {name:<20} ready   {took:5.1f} s")

    def show(self) -> None:
        if self._is_live:
            with self._lock:
                waiting = ", ".join(f"{name} {time.monotonic() - since:.0f} s" for name, since in self.running.items())
                sys.stdout.write(f"\r\x1b[K  … {waiting[:100]}")
                sys.stdout.flush()

    def say(self, text: str) -> None:
        with self._lock:
            self._print(text)

    def _print(self, text: str) -> None:
        sys.stdout.write(f"\r\x1b[K{text}\n" if self._is_live else f"{text}\n")
        sys.stdout.flush()


class Start:
    """Runs every step in its own thread; a thread first waits for what its step needs."""

    def __init__(self, settings: Settings, supervisor: Supervisor, steps: Iterable[Step], progress: Progress) -> None:
        self._settings = settings
        self._supervisor = supervisor
        self._steps = list(steps)
        self._progress = progress
        self._done = {step.name: threading.Event() for step in self._steps}
        self._stopping = threading.Event()
        self._failure: Exception | None = None

    def run(self) -> None:
        """Raise ServerError for the first step that fails."""
        threads = [threading.Thread(target=self._follow, args=[step], daemon=True) for step in self._steps]
        for thread in threads:
            thread.start()
        while not self._failure and any(thread.is_alive() for thread in threads):
            self._progress.show()
            time.sleep(0.1)
        if self._failure:
            self.abandon()
            raise self._failure

    def abandon(self) -> None:
        """Begin nothing more; what was begun is the caller's to end."""
        self._stopping.set()

    def _follow(self, step: Step) -> None:
        for name in step.needs:
            while not self._done[name].wait(0.1):
                if self._stopping.is_set():
                    return
        if self._stopping.is_set():
            return
        self._progress.begin(step.name)
        try:
            step.run() if isinstance(step, Job) else self._start(step)
        except Exception as error:
            self._failure = self._failure or error
            self._stopping.set()
            return
        if not self._stopping.is_set():
            self._progress.end(step.name)
            self._done[step.name].set()

    def _start(self, part: Part) -> None:
        log = self._settings.logs / f"{part.name}.log"
        self._supervisor.start_part(part)
        deadline = time.monotonic() + PART_TIMEOUT_S
        starts: set[int] = set()
        while not self._stopping.is_set():
            try:
                return part.probe()
            except NotReady as error:
                reason = str(error)
            info = self._supervisor.states()[part.name]
            if info["statename"] not in ("STARTING", "RUNNING"):
                starts.add(info["start"])
            if len(starts) >= STARTS_BEFORE_GIVING_UP:
                raise ServerError(f"{part.name} ends as soon as it is started. {end_of(log)}")
            if time.monotonic() > deadline:
                raise ServerError(f"{part.name} is not ready after {PART_TIMEOUT_S} s ({reason}). {end_of(log)}")
            time.sleep(0.2)


def run_job(settings: Settings, name: str, command: list[str], env: dict[str, str], folder: Path) -> None:
    """Run a command to its end, its output in a log file. Raise ServerError if it fails."""
    log = settings.logs / f"{name}.log"
    with log.open("ab") as output:
        result = subprocess.run(
            command,
            cwd=folder,
            env=env | {MARK: str(settings.home)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    if result.returncode != 0:
        raise ServerError(f"{name} failed with status {result.returncode}. {end_of(log)}")
