"""Passwords and keys of one platform: made at the first start, kept in files only the owner can read, never printed."""

import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path


class SecretFiles:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, name: str, make: Callable[[], str] = lambda: secrets.token_urlsafe(32)) -> str:
        """The secret `folder/name`; made if it is missing."""
        path = self.folder / name
        if not path.exists():
            write_private(path, make())
        return path.read_text()

    def write_all(self, values: Mapping[str, str]) -> None:
        """Make the folder hold exactly these: what pydantic-settings reads as SECRETS_DIR."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in self.folder.iterdir():
            if path.name not in values:
                path.unlink()
        for name, value in values.items():
            write_private(self.folder / name, value)


def write_private(path: Path, text: str) -> None:
    """Replace the file as a whole, so that an interruption leaves the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.rename(path)
