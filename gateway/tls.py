"""TLS in the worker: a listener that shakes hands first, with certificates that may change meanwhile."""

import asyncio
import logging
import socket
import ssl
from typing import TYPE_CHECKING, Any

from gateway import certificates
from gateway.certificates import BadPair, PairFiles
from gateway.client import ClientConnection
from gateway.listeners import Listener
from gateway.meters import CERTIFICATE_EXPIRES, HANDSHAKE_FAILURES, TLS_RELOADS

if TYPE_CHECKING:
    from gateway.gate import Gate

log = logging.getLogger(__name__)
LOOK_EVERY_S = 0.4  # a change is taken when two looks in a row find the same
SHUTDOWN_S = 30.0  # a slow reader may take its last bytes; who is idle has less time (`client.LINGER_S`)
MOST_UNSENT_BYTES = 65_536  # as without TLS: the more is held back, the later a slow reader shows that it moves
NOT_TLS = frozenset({"HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "WRONG_VERSION_NUMBER", "UNEXPECTED_MESSAGE"})
NOT_OURS = frozenset({"UNSUPPORTED_PROTOCOL", "VERSION_TOO_LOW", "NO_SHARED_CIPHER", "NO_SUITABLE_GROUPS"})


class TlsClient(ClientConnection):
    """A client that came over TLS."""

    scheme = b"https"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(MOST_UNSENT_BYTES)


class TlsListener(Listener):
    """Lets in who has finished the handshake in time; until then a connection is nobody's, and costs little."""

    def __init__(self, gate: "Gate", sock: socket.socket) -> None:
        super().__init__(gate, sock, TlsClient)
        self._files = PairFiles(gate.settings)
        self._timeout_s = gate.settings.tls_handshake_timeout_s
        try:
            self._use(self._files.read())
        except BadPair as error:
            TLS_RELOADS.labels("refused").inc()
            log.error("the certificate cannot be used, the last right one stays: %s", error)
            self._use(self._files.last_right())

    def open(self) -> None:
        super().open()
        self.gate.later(self._follow())

    def _use(self, found: list[certificates.Certificate]) -> None:
        """From now on these are served; connections under way keep theirs."""
        self._context = certificates.serve(found)
        for one in found:
            CERTIFICATE_EXPIRES.labels(one.file).set(one.expires_at.timestamp())

    async def greet(self, connection: socket.socket) -> None:
        try:
            await self.loop.connect_accepted_socket(
                self.new_client,
                connection,
                ssl=self._context,
                ssl_handshake_timeout=self._timeout_s,
                ssl_shutdown_timeout=SHUTDOWN_S,
            )
        except OSError as error:
            HANDSHAKE_FAILURES.labels(_reason(error)).inc()

    async def _follow(self) -> None:
        """Every worker looks for itself, as for the route table."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if self._files.has_changed() and not self.gate.is_stopping:
                await self._reload()

    async def _reload(self) -> None:
        try:
            found = await asyncio.to_thread(self._files.read)
        except BadPair as error:
            TLS_RELOADS.labels("refused").inc()
            log.error("the certificate cannot be used, the one in use stays: %s", error)
        except Exception as error:  # a mistake of ours must not end the watch
            TLS_RELOADS.labels("refused").inc()
            self.gate.report(error)
        else:
            self._use(found)
            TLS_RELOADS.labels("taken").inc()
            log.info("a new certificate is in use")


def _reason(error: Any) -> str:
    """One of a few words for what the metrics count."""
    if isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        if reason in NOT_TLS:
            return "not_tls"
        if reason in NOT_OURS:
            return "version_or_cipher"
        return "refused_by_client" if "ALERT" in reason else "other"
    return "timeout" if isinstance(error, ConnectionAbortedError | TimeoutError) else "left"
