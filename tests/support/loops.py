"""Running a worker's loops inside a test."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def running(*loops: Callable[[threading.Event], None]) -> Iterator[None]:
    """The loops run, each in a thread, until the block ends; fail if one does not stop then."""
    stop = threading.Event()
    threads = [threading.Thread(target=loop, args=(stop,)) for loop in loops]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive(), "a loop did not stop"
