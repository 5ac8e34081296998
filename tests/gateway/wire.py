"""A client that writes bytes as a test wants them, and reads answers one after the other."""

import io
import json
import socket
import ssl
from dataclasses import dataclass
from http.client import HTTPMessage, HTTPResponse
from typing import Any

from tests.support.certificates import NAME


@dataclass
class Answer:
    """A response, whole."""

    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of a problem document, after a look at its shape (RFC 9457)."""
        assert self.headers["Content-Type"] == "application/problem+json", self
        document = self.json
        assert document["status"] == self.status
        assert document["type"] == f"urn:gatehouse:problem:{document['code']}"
        assert document["request_id"] == self.headers["X-Request-Id"]
        assert document["title"] and document["detail"]
        return str(document["code"])


class _Kept(io.BufferedIOBase):
    """http.client closes its file after a response; the next one is still in it."""

    def __init__(self, file: io.BufferedIOBase) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        return self._file.read(size)

    def read1(self, size: int = -1) -> bytes:
        return self._file.read1(size)

    def readline(self, size: int | None = -1) -> bytes:
        return self._file.readline(-1 if size is None else size)

    def readinto(self, buffer: Any) -> int:
        return self._file.readinto(buffer)

    def close(self) -> None:
        pass


class Wire:
    """One connection to the gateway."""

    def __init__(self, port: int, timeout_s: float = 10, tls: ssl.SSLContext | None = None, name: str = NAME) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname=name)
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, data: bytes | str) -> None:
        self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def begin(self, method: str = "GET") -> HTTPResponse:
        """Read a response's head; its body can be read from what is returned."""
        wire = self

        class _Socket:
            def makefile(self, *_: object) -> _Kept:
                return _Kept(wire.file)  # type: ignore[arg-type]

        response = HTTPResponse(_Socket(), method=method)  # type: ignore[arg-type]
        response.begin()
        return response

    def read(self, method: str = "GET") -> Answer:
        """Read one response, whole."""
        response = self.begin(method)
        return Answer(response.status, response.headers, response.read())

    def ask(self, request: bytes | str, method: str = "GET") -> Answer:
        self.send(request)
        return self.read(method)

    def is_closed(self, timeout_s: float = 5) -> bool:
        """True once the gateway has closed the connection, and sent nothing more."""
        self.socket.settimeout(timeout_s)
        try:
            return self.file.read(1) == b""
        except TimeoutError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        self.file.close()
        self.socket.close()
