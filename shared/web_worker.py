"""gunicorn's thread worker with a short way for what nearly every request is: a plain one that has arrived whole.

Such a request is read with one regular expression and answered in one write; and its thread looks a moment for the next
one on the connection before it gives it back. Whatever is not exactly that (a chunked body, one still on its way, an
unusual header, more than one request at once) goes gunicorn's own way, byte for byte as it came.
"""

import io
import re
import select
import sys
import time
from collections.abc import Callable, Iterable
from email.utils import formatdate
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_to_bytes

from gunicorn.workers.gthread import ThreadWorker

MAX_BYTES = 65_536
BODY_WAIT_MS = 20
LINGER_MS = 1
# No second reading is possible of what this matches: it has to stay stricter than gunicorn's parser.
HEAD = re.compile(
    rb"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (/(?!/)[!-\"$-~]*) HTTP/1\.1((?:\r\n[A-Za-z0-9-]+:[\t -~\x80-\xff]*)+)"
)
OTHER_WAY = frozenset({"HTTP_TRANSFER_ENCODING", "HTTP_EXPECT", "HTTP_UPGRADE", "HTTP_TE", "HTTP_TRAILER"})
LENGTH = re.compile(r"[0-9]{1,7}")
WITHOUT_BODY = ("1", "204", "304")
Environ = dict[str, Any]


class Worker(ThreadWorker):  # type: ignore[misc]
    """`worker_class = "shared.web_worker.Worker"`: process model, timeouts and graceful stop are gunicorn's."""

    def handle(self, conn: Any) -> Any:
        """Answer requests of this connection until there is none for the moment; True to keep the connection."""
        kept = self._serve(conn)
        while kept is True and self.alive and self.tpool._work_queue.empty() and _is_readable(conn.sock, LINGER_MS):
            kept = self._serve(conn)
        return kept

    def _serve(self, conn: Any) -> Any:
        if not conn.initialized or conn.is_http2 or conn.cfg.is_ssl or not isinstance(conn.client, tuple):
            return super().handle(conn)  # the first one of a connection: gunicorn prepares it
        if conn.parser.unreader.buf.getvalue():
            return super().handle(conn)
        conn.sock.setblocking(True)
        try:
            data = conn.sock.recv(MAX_BYTES)
            environ = read(data, conn.sock) if data else None
            if isinstance(environ, dict):
                return self._answer(conn, environ)
        except OSError:
            return False
        if environ is None:
            return False
        conn.parser.unreader.unread(environ)
        return super().handle(conn)

    def _answer(self, conn: Any, environ: Environ) -> bool:
        environ |= {
            "wsgi.errors": sys.stderr,
            "wsgi.version": (1, 0),
            "wsgi.multithread": True,
            "wsgi.multiprocess": self.cfg.workers > 1,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
            "wsgi.url_scheme": "http",
            "SERVER_SOFTWARE": "gunicorn",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_NAME": conn.server[0],
            "SERVER_PORT": str(conn.server[1]),
            "REMOTE_ADDR": conn.client[0],
            "REMOTE_PORT": str(conn.client[1]),
            "SCRIPT_NAME": "",
        }
        self.nr += 1
        if self.nr >= self.max_requests:
            self.alive = False
        is_kept = self.alive and self.cfg.keepalive and len(self.keepalived_conns) < self.max_keepalived
        try:
            return answer(self.wsgi, environ, conn.sock.sendall, is_kept=bool(is_kept))
        except OSError:
            return False  # the client has gone
        except Exception:
            self.log.exception("Error handling request")
            return False


def read(data: bytes, sock: Any) -> Environ | bytes | None:
    """The request that these bytes are, as WSGI wants it, or the bytes read so far if they are anything else.

    None if the client has gone. A body that is not here yet is waited for a moment.
    """
    head, end, body = data.partition(b"\r\n\r\n")
    match = HEAD.fullmatch(head) if end else None
    environ = _environ(match) if match else None
    if environ is None:
        return data
    length = int(environ.get("CONTENT_LENGTH", 0))
    while len(body) < length and len(data) < MAX_BYTES:
        more = sock.recv(MAX_BYTES) if _is_readable(sock, BODY_WAIT_MS) else b""
        if not more:
            break
        data, body = data + more, body + more
    if len(body) != length:
        return data
    environ["wsgi.input"] = io.BytesIO(body)
    return environ


def _environ(match: re.Match[bytes]) -> Environ | None:
    method, target, fields = match.groups()
    path, _, query = target.partition(b"?")
    environ: Environ = {
        "REQUEST_METHOD": method.decode(),
        "RAW_URI": target.decode(),
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query.decode(),
    }
    for line in fields[2:].split(b"\r\n"):
        name, _, value = line.partition(b":")
        key = _key(name)
        if key in environ or key in OTHER_WAY:
            return None
        environ[key] = value.strip(b" \t").decode("latin-1")
    is_usual = environ.get("HTTP_CONNECTION", "keep-alive").lower() == "keep-alive" and "HTTP_HOST" in environ
    return environ if is_usual and LENGTH.fullmatch(environ.get("CONTENT_LENGTH", "0")) else None


@lru_cache(1024)
def _key(name: bytes) -> str:
    key = name.decode().upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"


def answer(
    application: Callable[..., Iterable[bytes]], environ: Environ, send: Callable[[bytes], Any], *, is_kept: bool
) -> bool:
    """Call the application and send what it says; True if the connection can go on.

    Without a Content-Length the body goes out in chunks, as it comes.
    """
    said: dict[str, Any] = {}

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], Any]:
        said.update(status=status, headers=headers)
        return send

    chunks = application(environ, start_response)
    try:
        status, headers = said["status"], said["headers"]
        length = next((int(value) for name, value in headers if name.lower() == "content-length"), None)
        is_empty = environ["REQUEST_METHOD"] == "HEAD" or status.startswith(WITHOUT_BODY)
        is_chunked = length is None and not is_empty
        waiting, sent = _head(status, headers, is_kept=is_kept, is_chunked=is_chunked), 0
        for chunk in () if is_empty else chunks:
            if chunk:
                send(waiting + (b"%x\r\n%b\r\n" % (len(chunk), chunk) if is_chunked else chunk))
                waiting, sent = b"", sent + len(chunk)
        if waiting or is_chunked:
            send(waiting + (b"0\r\n\r\n" if is_chunked else b""))
        return is_kept and (is_empty or is_chunked or sent == length)
    finally:
        if hasattr(chunks, "close"):
            chunks.close()


def _head(status: str, headers: list[tuple[str, str]], *, is_kept: bool, is_chunked: bool) -> bytes:
    lines = [
        f"HTTP/1.1 {status}",
        f"Date: {_date(int(time.time()))}",
        f"Connection: {'keep-alive' if is_kept else 'close'}",
        *(f"{name}: {value}" for name, value in headers),
        *(("Transfer-Encoding: chunked",) if is_chunked else ()),
    ]
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1:
        raise ValueError("a header holds a line break")
    return head.encode("latin-1") + b"\r\n\r\n"


@lru_cache(2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


def _is_readable(sock: Any, timeout_ms: int) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(timeout_ms))
