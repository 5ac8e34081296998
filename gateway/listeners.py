"""Where one worker lets clients in: the public address, TLS beside it, and the operator's, which has other pages."""

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gateway.client import ClientConnection

if TYPE_CHECKING:
    from gateway.gate import Gate

log = logging.getLogger(__name__)
# What the kernel holds back for a slow reader: little, so that a slow but steady one shows that it moves.
UNSENT_BYTES = 131_072
NO_DESCRIPTOR_S, NO_ROOM_S = 1.0, 0.1
NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Listener:
    """One listener. The other workers share it: taking one connection at a time spreads the load."""

    def __init__(self, gate: "Gate", sock: socket.socket, client: type[ClientConnection]) -> None:
        self.gate = gate
        self.loop = gate.loop
        self.sock = sock
        self.new_client = lambda: client(gate)
        self._closed = False

    def open(self) -> None:
        self.sock.setblocking(False)
        with contextlib.suppress(OSError):  # not TCP; connections inherit it
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        self._watch()

    def _watch(self) -> None:
        if not self._closed:
            self.loop.add_reader(self.sock.fileno(), self._accept)

    def _rest(self, seconds: float) -> None:
        self.loop.remove_reader(self.sock.fileno())
        self.loop.call_later(seconds, self._watch)

    def _accept(self) -> bool:
        """Take one connection; False if there is none, or no room for it."""
        if not self.has_room():
            self._rest(NO_ROOM_S)
            return False
        try:
            connection, _ = self.sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        except OSError as error:
            if error.errno not in NO_DESCRIPTOR:
                raise
            log.error("Cannot accept: %s", error)
            self._rest(NO_DESCRIPTOR_S)
            return False
        connection.setblocking(False)
        task = self.loop.create_task(self.greet(connection))
        self.gate.arriving.add(task)
        task.add_done_callback(self._greeted)
        return True

    def has_room(self) -> bool:
        return self.gate.room.is_left()

    async def greet(self, connection: socket.socket) -> None:
        """Make it a client's connection."""
        await self.loop.connect_accepted_socket(self.new_client, connection)

    def _greeted(self, task: asyncio.Task[Any]) -> None:
        self.gate.arriving.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.debug("A connection ended as it began: %s", error)

    def close(self) -> None:
        """Take what waits at the door, then stop listening."""
        self._closed = True
        self.loop.remove_reader(self.sock.fileno())
        while self._accept():
            pass
        self.sock.close()


class OperatorClient(ClientConnection):
    """Sees the operator's pages and nothing else."""

    is_operator = True


class OperatorListener(Listener):
    """Open to the operator also when there is no room for anybody else."""

    def __init__(self, gate: "Gate", sock: socket.socket) -> None:
        super().__init__(gate, sock, OperatorClient)

    def has_room(self) -> bool:
        return True


def listeners(gate: "Gate", sockets: Sequence[socket.socket]) -> list[Listener]:
    """The listeners of this worker, in the order in which gunicorn was told of them (`GatewaySettings.binds`)."""
    found: list[Listener] = []
    for name, sock in zip(gate.settings.binds, sockets, strict=True):
        if name == "tls":
            from gateway.tls import TlsListener  # not loaded where it is not used

            found.append(TlsListener(gate, sock))
        elif name == "operator":
            found.append(OperatorListener(gate, sock))
        else:
            found.append(Listener(gate, sock, ClientConnection))
    return found
