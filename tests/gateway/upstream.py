"""A service's stand-in that does with a connection what a test tells it to: slow, rude, truncated, or plainly right."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


@dataclass
class Received:
    """A request as it arrived. `body` is read by `read_body`, `raw` is the head's bytes."""

    method: str
    target: str
    fields: list[tuple[str, str]]
    raw: bytes
    stream: "Stream" = field(repr=False)
    body: bytes = b""

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def value(self, name: str) -> str | None:
        found = self.values(name)
        return found[0] if found else None

    def read_body(self) -> bytes:
        """Read all of the body, and keep it."""
        self.body = b"".join(self.pieces())
        return self.body

    def pieces(self) -> Iterator[bytes]:
        """The body in pieces as they come."""
        if (self.value("transfer-encoding") or "").lower() == "chunked":
            return self.stream.chunks()
        return self.stream.exactly(int(self.value("content-length") or 0))


class Stream:
    """One connection from the gateway."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.file = connection.makefile("rb")

    def next_request(self) -> Received | None:
        raw = b""
        while not raw.endswith(b"\r\n\r\n"):
            line = self.file.readline()
            if not line:
                return None
            raw += line
        first, *rest = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ", 2)
        fields = [(name, value.strip()) for name, _, value in (line.partition(":") for line in rest)]
        return Received(method, target, fields, raw, self)

    def exactly(self, length: int) -> Iterator[bytes]:
        while length:
            piece = self.file.read1(min(length, 1 << 18))
            if not piece:
                raise ConnectionError("the body ended early")
            length -= len(piece)
            yield piece

    def chunks(self) -> Iterator[bytes]:
        while size := int(self.file.readline().split(b";")[0], 16):
            yield self.file.read(size)
            self.file.readline()
        self.file.readline()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self, body: bytes = b"", *, status: str = "200 OK", fields: str = "") -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{fields}\r\n"
        self.send(head.encode("latin-1") + body)

    def close(self) -> None:
        """End the connection at once."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def is_gone(self, timeout_s: float = 5) -> bool:
        """True once the gateway has ended the connection."""
        self.socket.settimeout(timeout_s)
        try:
            while self.socket.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            return True
        return True


Script = Callable[[Received, Stream], None]


def echo(request: Received, stream: Stream) -> None:
    """Answer with what arrived, as JSON."""
    request.read_body()
    document = {"method": request.method, "target": request.target, "fields": request.fields}
    document["body_bytes"] = len(request.body)
    stream.answer(json.dumps(document).encode(), fields="Content-Type: application/json\r\n")


class Upstream:
    """`on("/data/v1/slow", script)` says what to do at a path; elsewhere it echoes. `requests` holds all that came."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.requests: list[Received] = []
        self.connections = 0
        self._scripts: dict[str, Script] = {}
        threading.Thread(target=self._accept, daemon=True).start()

    def on(self, path: str, script: Script) -> str:
        self._scripts[path] = script
        return path

    def seen(self, path: str) -> list[Received]:
        return [request for request in self.requests if request.target.partition("?")[0] == path]

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, ValueError):
            stream = Stream(connection)
            with stream.file:
                while (request := stream.next_request()) is not None:
                    self.requests.append(request)
                    script = self._scripts.get(request.target.partition("?")[0], echo)
                    script(request, stream)


class Peers:
    """Two of them, as the targets of one service."""

    def __init__(self) -> None:
        self.one, self.two = Upstream(), Upstream()

    def on(self, path: str, script: Script) -> str:
        self.one.on(path, script)
        return self.two.on(path, script)

    def seen(self, path: str) -> list[Received]:
        return self.one.seen(path) + self.two.seen(path)

    def close(self) -> None:
        self.one.close()
        self.two.close()
