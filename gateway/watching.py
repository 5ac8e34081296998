"""Files that may change while the process runs: how they looked when they were read last, and what was last right."""

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO

Look = tuple[str, int, int, int, int] | None


class Watched:
    """One or several files that are read together."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = tuple(paths)
        self._read = self._before = self._look()

    def _look(self) -> list[Look]:
        return [_look(path) for path in self._paths]

    def has_changed(self) -> bool:
        """True if they are not what was read, and have not changed further since this was asked the last time."""
        now = self._look()
        is_settled, self._before = now == self._before, now
        return is_settled and now != self._read

    def are_read(self) -> None:
        """They are read now: to be called before, so that a change in between is seen as one."""
        self._read = self._look()


def _look(path: Path) -> Look:
    """Which file it is and in what state: a mount of Kubernetes is changed by turning a link to another folder."""
    try:
        found = os.stat(path)
        return os.path.realpath(path), found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
    except OSError:
        return None


class LastRight:
    """The last text that was right, in a nameless file that the master makes and every worker inherits."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def keep(self, text: str) -> None:
        data = text.encode()
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        os.pwrite(self._file.fileno(), data, 0)
        os.ftruncate(self._file.fileno(), len(data))
        fcntl.lockf(self._file, fcntl.LOCK_UN)

    def text(self) -> str:
        fcntl.lockf(self._file, fcntl.LOCK_SH)
        data = os.pread(self._file.fileno(), os.fstat(self._file.fileno()).st_size, 0)
        fcntl.lockf(self._file, fcntl.LOCK_UN)
        return data.decode()
