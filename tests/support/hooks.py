"""A receiver of signed hook calls on loopback, as an operator runs one: it checks what arrives, and answers as told."""

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[str, dict[str, Any]], tuple[int, Any]]


@dataclass(frozen=True)
class Call:
    """One call that arrived, its signature checked."""

    path: str
    id: str
    payload: dict[str, Any]
    signatures: list[str]


class HookReceiver:
    """`calls` are those with a good signature; any other is answered 401 and counted."""

    def __init__(self) -> None:
        self.key = secrets.token_bytes(32)
        self.calls: list[Call] = []
        self.unsigned = 0
        self.answer: Answer = lambda path, payload: (200, {})
        self.content_type = "application/json"
        self.pause_s = 0.0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, answer = receiver._take(self.path, dict(self.headers.items()), body)
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", receiver.content_type)
                self.send_header("Content-Length", str(len(data)))
                if 300 <= status < 400:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()
                for byte in data if receiver.pause_s else ():
                    time.sleep(receiver.pause_s)
                    self.wfile.write(bytes([byte]))
                if not receiver.pause_s:
                    self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def secret(self) -> str:
        """As HOOK_SECRETS wants it."""
        return f"v1,whsec_{base64.b64encode(self.key).decode()}"

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{path}"

    def of(self, path: str) -> list[Call]:
        return [call for call in self.calls if call.path == f"/{path}"]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _take(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        good = "v1," + base64.b64encode(hmac.digest(self.key, signed, hashlib.sha256)).decode()
        signatures = headers["webhook-signature"].split(" ")
        if good not in signatures or abs(time.time() - int(headers["webhook-timestamp"])) > 300:
            self.unsigned += 1
            return 401, {}
        payload = json.loads(body)
        self.calls.append(Call(path, headers["webhook-id"], payload, signatures))
        return self.answer(path, payload)
