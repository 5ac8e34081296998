"""Show the parts' log files together, each line with the name of its part."""

import os
import sys
import time
from pathlib import Path
from typing import BinaryIO

from deploy.local.server import ServerError

LAST_LINES = 20
COLOURS = [36, 33, 32, 35, 34, 31]


class Followed:
    """One growing file; supervisord may replace it by a new one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO = path.open("rb")
        self._rest = b""

    def last_lines(self, count: int) -> list[str]:
        self._file.seek(max(0, self.path.stat().st_size - 300 * count))
        return self.new_lines()[-count:]

    def new_lines(self) -> list[str]:
        text = self._rest + self._file.read()
        *lines, self._rest = text.split(b"\n")
        if self._is_replaced():
            self._file.close()
            self._file = self.path.open("rb")
        return [line.decode(errors="replace") for line in lines]

    def _is_replaced(self) -> bool:
        try:
            now = self.path.stat()
        except FileNotFoundError:
            return False
        return now.st_ino != os.fstat(self._file.fileno()).st_ino or now.st_size < self._file.tell()


def show(folder: Path, parts: list[str], *, is_followed: bool) -> None:
    """Raise ServerError if there is nothing to show."""
    paths = sorted(path for path in folder.glob("*.log") if not parts or path.stem in parts)
    if not paths:
        raise ServerError(f"There is no log of {', '.join(parts) or 'any part'} in {folder}.")
    width = max(len(path.stem) for path in paths)
    files = [(label(path.stem, width, place), Followed(path)) for place, path in enumerate(paths)]
    for name, file in files:
        write(name, file.last_lines(LAST_LINES))
    while is_followed:
        for name, file in files:
            write(name, file.new_lines())
        time.sleep(0.3)


def label(name: str, width: int, place: int) -> str:
    text = name.ljust(width)
    return f"\x1b[{COLOURS[place % len(COLOURS)]}m{text}\x1b[0m" if sys.stdout.isatty() else text


def write(name: str, lines: list[str]) -> None:
    for line in lines:
        print(f"{name} | {line}", flush=True)
