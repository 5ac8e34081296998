"""Settings and route table of this process; a wrong table never takes the place of a right one."""

import logging
import os
import sys
import tempfile

from gateway import certificates, routes
from gateway.config import GatewaySettings
from gateway.entries import RoutesFile
from gateway.watching import LastRight, Watched
from shared.settings import load

log = logging.getLogger(__name__)


_last_right: LastRight | None = None


class TableFile(Watched):
    """The route table's file."""

    def __init__(self, settings: GatewaySettings) -> None:
        super().__init__([settings.routes_file])
        self._path = settings.routes_file
        self._names = {**os.environ, **settings.names}

    def read(self) -> RoutesFile:
        """The table as it is now. Raise Mistakes."""
        self.are_read()
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
    """Read settings, table and certificates, and keep them. A mistake ends the process with status 2, and is said."""
    global _last_right
    settings = load(GatewaySettings)
    _last_right = LastRight(tempfile.TemporaryFile())  # noqa: SIM115 - open as long as the process runs
    try:
        TableFile(settings).read()
        certificates.check(settings)
    except routes.Mistakes as mistakes:
        sys.stderr.write(f"{settings.routes_file}: {len(mistakes.lines)} mistake(s)\n{mistakes}\n")
        sys.exit(2)
    except certificates.BadPair as error:
        sys.stderr.write(f"TLS_CERT_FILE, TLS_KEY_FILE: {error}\n")
        sys.exit(2)
