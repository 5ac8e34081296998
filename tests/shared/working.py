"""A worker for tests: `python -m tests.shared.working MODE` runs `shared.worker` with loops that do what MODE says."""

import sys
import threading
import time
from collections.abc import Callable

from shared import worker
from shared.settings import Settings, load


def patient(stop: threading.Event) -> None:
    """Finishes what it has in hand, and says so."""
    stop.wait()
    time.sleep(0.3)
    sys.stdout.write("finished what was in hand\n")


def dying(stop: threading.Event) -> None:
    stop.wait(0.2)
    raise RuntimeError("no connection to amqp://things:hunter2@mq/")


def exiting(stop: threading.Event) -> None:
    stop.wait(0.2)
    sys.exit(0)


def ending(stop: threading.Event) -> None:
    stop.wait(0.2)


def failing_task() -> None:
    sys.stdout.write("tried\n")
    raise RuntimeError("not this time")


def fail() -> None:
    raise ConnectionError("down")


LOOPS: dict[str, Callable[[threading.Event], None]] = {
    "patient": patient,
    "dying": dying,
    "exiting": exiting,
    "ending": ending,
    "periodic": worker.every(0.1, failing_task),
}

if __name__ == "__main__":
    mode = sys.argv[1]
    ready = {"storage": lambda: None, "queue": fail if mode == "periodic" else (lambda: None)}
    sys.exit(worker.run("things-worker", load(Settings), {"patient": patient, mode: LOOPS[mode]}, ready))
