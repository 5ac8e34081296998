"""A wire between a client and a server that can be held: nothing that was on its way arrives until it is let go."""

import contextlib
import socket
import threading
from collections.abc import Iterator


class Wire:
    """Listens on `port` and carries both ways to the server's port; `hold` keeps what the server says from now on."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._free = threading.Event()  # of the connections made since the last `hold`
        self._free.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self) -> threading.Event:
        """Hold the connections there are, until what this gives is set; those that come pass."""
        held, self._free = self._free, threading.Event()
        self._free.set()
        held.clear()
        return held

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                for source, target, free in ((client, server, None), (server, client, self._free)):
                    threading.Thread(target=_carry, args=(source, target, free), daemon=True).start()


def _carry(source: socket.socket, target: socket.socket, free: threading.Event | None) -> None:
    with source, contextlib.suppress(OSError):
        while data := source.recv(65_536):
            if free is not None:
                free.wait()
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def wire_to(port: int) -> Iterator[Wire]:
    wire = Wire(port)
    try:
        yield wire
    finally:
        wire.close()
