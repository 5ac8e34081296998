"""Settings and route table of this process; a wrong table never takes the place of a right one."""

import fcntl
import logging
import os
import sys
import tempfile

from gateway import routes
from gateway.config import GatewaySettings
from gateway.entries import RoutesFile
from shared.settings import load

log = logging.getLogger(__name__)
Look = tuple[str, int, int, int, int]


class LastRight:
    """The text of the last right table, in a nameless file that the master makes and every worker inherits."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process runs

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


_last_right: LastRight | None = None


class TableFile:
    """The route table's file, and how it looked when it was read last."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._path = settings.routes_file
        self._names = {**os.environ, **settings.names}
        self._read = self._before = self._look()

    def _look(self) -> Look | None:
        """Which file it is and in what state: a ConfigMap is changed by turning a symbolic link to another folder."""
        try:
            found = os.stat(self._path)
            return os.path.realpath(self._path), found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
        except OSError:
            return None

    def has_changed(self) -> bool:
        """True if it is not what was read, and has not changed further since this was asked the last time."""
        now = self._look()
        is_settled, self._before = now == self._before, now
        return is_settled and now != self._read

    def read(self) -> RoutesFile:
        """The table as it is now. Raise Mistakes."""
        self._read = self._look()
        text = routes.text_of(self._path)
        routes_file = routes.parse(text, self._names)
        if _last_right is not None:
            _last_right.keep(text)
        return routes_file

    def read_or_last_right(self) -> RoutesFile:
        """The table as it is now; if it is wrong now, the last one that was right in this or another worker."""
        try:
            return self.read()
        except routes.Mistakes as mistakes:
            if _last_right is None:
                raise
            log.error("the route table is wrong, the last right one stays: %s", mistakes)
            return routes.parse(_last_right.text(), self._names)


def check() -> None:
    """Read both, and keep the table. A mistake ends the process with status 2, and says every mistake there is."""
    global _last_right
    settings = load(GatewaySettings)
    _last_right = LastRight()
    try:
        TableFile(settings).read()
    except routes.Mistakes as mistakes:
        sys.stderr.write(f"{settings.routes_file}: {len(mistakes.lines)} mistake(s)\n{mistakes}\n")
        sys.exit(2)
