"""The packages' own transports behind the same protocol: slower, one request at a time, without libcurl."""

import socket
import ssl
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import requests
from hyper import HTTP20Connection  # type: ignore[import-untyped]
from hyper.common.bufsocket import BufferedSocket  # type: ignore[import-untyped]

from services.notify.providers.fcm import FcmApi
from services.notify.providers.transport import OUT_OF_TIME, Answer, NoAnswer, Request


class PyfcmTransport:
    """pyfcm's requests session."""

    def __init__(self, api: FcmApi, *, timeout_s: float) -> None:
        self._api, self._timeout_s = api, timeout_s

    def send(self, batch: Sequence[Request], *, until: float) -> list[Answer | NoAnswer]:
        begin_until = until - self._timeout_s
        return [self._send(request) if time.monotonic() < begin_until else OUT_OF_TIME for request in batch]

    def close(self) -> None:
        self._api.requests_session.close()

    def _send(self, request: Request) -> Answer | NoAnswer:
        try:
            response = self._api.requests_session.post(
                request.url,
                data=request.body,
                headers=dict(request.headers),
                timeout=self._timeout_s,
                allow_redirects=False,
            )
        except requests.exceptions.ConnectTimeout as error:
            return NoAnswer(False, type(error).__name__)
        except requests.exceptions.RequestException as error:
            return NoAnswer("NewConnectionError" not in repr(error), type(error).__name__)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, headers, response.content)


class HyperTransport:
    """apns2's HTTP/2 connection, one for each server. Its client knows no `apns-id`, so it is bypassed."""

    def __init__(self, *, timeout_s: float, ca_file: Path | None = None) -> None:
        self._timeout_s = timeout_s
        self._tls = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
        self._tls.set_alpn_protocols(["h2"])
        self._connections: dict[str, _Connection] = {}

    def send(self, batch: Sequence[Request], *, until: float) -> list[Answer | NoAnswer]:
        begin_until = until - self._timeout_s
        return [self._send(request) if time.monotonic() < begin_until else OUT_OF_TIME for request in batch]

    def close(self) -> None:
        while self._connections:
            self._connections.popitem()[1].drop()

    def _send(self, request: Request) -> Answer | NoAnswer:
        url = urlsplit(request.url)
        connection = self._connections.get(url.netloc)
        if connection is None:
            connection = _Connection(url.hostname or "", url.port or 443, self._tls, self._timeout_s)
        try:
            connection.connect()
        except Exception as error:  # hyper raises what its layers raise
            connection.drop()
            return NoAnswer(False, type(error).__name__)
        self._connections[url.netloc] = connection
        try:
            stream = connection.request("POST", url.path, request.body, dict(request.headers))
            response = connection.get_response(stream)
            headers = {name.decode().lower(): value.decode() for name, value in response.headers}
            return Answer(response.status, headers, response.read())
        except Exception as error:
            del self._connections[url.netloc]
            connection.drop()
            return NoAnswer(True, type(error).__name__)


class _Connection(HTTP20Connection):  # type: ignore[misc]
    """hyper's connection over a socket of our own: with a timeout, TCP_NODELAY, and TLS as this Python knows it."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext, timeout_s: float) -> None:
        super().__init__(host, port, secure=True)
        self._tls, self._timeout_s = tls, timeout_s
        self._open: ssl.SSLSocket | None = None
        self._sock: BufferedSocket | None

    def connect(self) -> None:
        """Harmless when connected."""
        if self._sock is not None:
            return
        plain = socket.create_connection((self.host, self.port), timeout=self._timeout_s)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open = self._tls.wrap_socket(plain, server_hostname=self.host)
        self._sock = BufferedSocket(self._open, self.network_buffer_size)
        self._send_preamble()

    def drop(self) -> None:
        """Close at once, whatever the other side thinks."""
        if self._open is not None:
            self._open.close()
