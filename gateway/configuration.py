"""Settings and route table of this process; a reload with a wrong table goes on with the last right one."""

import logging
import os
import sys

from gateway import routes
from gateway.config import GatewaySettings
from gateway.entries import RoutesFile
from shared.settings import load

log = logging.getLogger(__name__)
_last_right: RoutesFile | None = None  # found by the master, so that every worker forked from it has it


def check() -> None:
    """Read both, and keep the table. A mistake ends the process with status 2, and says every mistake there is."""
    global _last_right
    settings = load(GatewaySettings)
    try:
        _last_right = _read(settings)
    except routes.Mistakes as mistakes:
        sys.stderr.write(f"{settings.routes_file}: {len(mistakes.lines)} mistake(s)\n{mistakes}\n")
        sys.exit(2)


def table(settings: GatewaySettings) -> RoutesFile:
    """The route table as it is now; if it is wrong now, as it was when the gateway started."""
    try:
        return _read(settings)
    except routes.Mistakes as mistakes:
        if _last_right is None:
            raise
        log.error("the route table is wrong, the one from the start stays: %s", mistakes)
        return _last_right


def _read(settings: GatewaySettings) -> RoutesFile:
    return routes.read(settings.routes_file, {**os.environ, **settings.names})
