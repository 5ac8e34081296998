"""Where the platform lives and which ports it takes: GATEHOUSE_HOME and GATEHOUSE_PORT, and the layout that follows."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.server import HOST, ServerError

ROOT = Path(__file__).resolve().parents[2]

OFFSETS = {
    "gateway": 0, "auth": 1, "profile": 2, "data": 3, "notify": 4,
    "gateway-ops": 10, "auth-worker": 11, "profile-worker": 12, "data-worker": 13, "notify-worker": 14,
    "simulators": 20, "apns": 21, "smtp": 22, "provider": 23,
    "postgres": 30, "rabbitmq": 31, "rabbitmq-dist": 32, "epmd": 33, "mongo": 34,
    "rabbitmq-management": 35, "rabbitmq-prometheus": 36,
}  # fmt: skip

LONGEST_SOCKET_PATH = 90  # the kernel's limit is 107 bytes, and supervisord first binds a longer name
UNUSABLE = ["%", ";", '"', "\n"]  # in a path: special in supervisord's configuration


@dataclass(frozen=True)
class Settings:
    home: Path
    port: int

    def port_of(self, name: str) -> int:
        return self.port + OFFSETS[name]

    def address_of(self, name: str) -> str:
        return f"{HOST}:{self.port_of(name)}"

    def url_of(self, name: str) -> str:
        return f"http://{self.address_of(name)}"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def secrets(self) -> Path:
        return self.home / "secrets"

    @property
    def run(self) -> Path:
        """What belongs to one run: the supervisor's configuration and pid, the lock, the figures of the last start."""
        return self.home / "run"

    @property
    def socket(self) -> Path:
        path = self.run / "supervisor.sock"
        if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
            return path
        name = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:16]
        return Path(f"/tmp/gatehouse-{os.getuid()}") / f"{name}.sock"  # noqa: S108 - its owner and mode are checked


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Raise ServerError naming the setting that is wrong."""
    text = environ.get("GATEHOUSE_PORT") or "8080"
    highest = 65_535 - max(OFFSETS.values())
    if not text.isdecimal() or not 1024 <= int(text) <= highest:
        raise ServerError(f"GATEHOUSE_PORT must be a whole number from 1024 to {highest}, not {text!r}.")
    home = ROOT / Path(environ.get("GATEHOUSE_HOME") or ".local").expanduser()
    for path in (home, ROOT):
        if any(mark in str(path) for mark in UNUSABLE):
            raise ServerError(f"supervisord cannot handle {path}: choose a folder without any of {' '.join(UNUSABLE)}")
    return Settings(home=Path(os.path.normpath(home)), port=int(text))
