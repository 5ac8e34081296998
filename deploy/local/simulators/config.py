"""The simulators' settings.

A plain frozen dataclass, not pydantic-settings: importing pydantic costs this process 13 MB, a third of all it needs.
"""

import ipaddress
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from deploy.local.simulators.credentials import Ports

PREFIX = "SIMULATORS_"


@dataclass(frozen=True)
class Settings:
    host: str = "127.0.0.1"  # the name or address senders use; the certificate holds it
    listen: str = ""  # the address to listen on, where that is another one (0.0.0.0 in a container)
    viewers: str = "127.0.0.0/8,::1"
    port: int = 8100
    apns_port: int = 8101
    smtp_port: int = 8102
    folder: Path = Path(".local/simulators")
    project_id: str = "gatehouse-local"
    topic: str = "app.gatehouse.phone"
    keep_messages: int = 5_000
    keep_bytes: int = 32 * 1024 * 1024
    apns_streams: int = 1_000
    access_token_ttl_s: int = 3_600

    @property
    def ports(self) -> Ports:
        return Ports(web=self.port, apns=self.apns_port, smtp=self.smtp_port)

    @property
    def networks(self) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        return [ipaddress.ip_network(part.strip()) for part in self.viewers.split(",")]

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read SIMULATORS_<NAME>; all wrong or unknown names are reported at once, and the process ends with 2."""
        known = {PREFIX + field.name.upper(): field for field in fields(cls)}
        values: dict[str, object] = {}
        problems = [f"{name}: no such setting" for name in environ if name.startswith(PREFIX) and name not in known]
        for name, field in known.items():
            if name not in environ:
                continue
            if field.type is int:
                if environ[name].isdecimal():
                    values[field.name] = int(environ[name])
                else:
                    problems.append(f"{name}: {environ[name]!r} is not a whole number")
            else:
                values[field.name] = Path(environ[name]) if field.type is Path else environ[name]
        try:
            cls(viewers=environ.get(f"{PREFIX}VIEWERS", cls.viewers)).networks  # noqa: B018 - parses
        except ValueError as error:
            problems.append(f"{PREFIX}VIEWERS: {error}")
        if problems:
            print("\n".join(sorted(problems)), file=sys.stderr)
            raise SystemExit(2)
        return cls(**values)  # type: ignore[arg-type]
