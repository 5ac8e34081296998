"""The packages' own transports behind the same protocol: slower, one request at a time, without libcurl."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from hyper import HTTP20Connection  # type: ignore[import-untyped]
from hyper.tls import init_context  # type: ignore[import-untyped]

from services.notify.providers.fcm import FcmApi
from services.notify.providers.transport import Answer, NoAnswer, Request


class PyfcmTransport:
    """pyfcm's requests session."""

    def __init__(self, api: FcmApi, *, timeout_s: float) -> None:
        self._api, self._timeout_s = api, timeout_s

    def send(self, batch: Sequence[Request]) -> list[Answer | NoAnswer]:
        return [self._send(request) for request in batch]

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
        self._tls = init_context(str(ca_file) if ca_file else None)
        self._connections: dict[str, Any] = {}

    def send(self, batch: Sequence[Request]) -> list[Answer | NoAnswer]:
        return [self._send(request) for request in batch]

    def close(self) -> None:
        while self._connections:
            self._connections.popitem()[1].close()

    def _send(self, request: Request) -> Answer | NoAnswer:
        url = urlsplit(request.url)
        try:
            connection = self._connect(url.netloc, url.hostname or "", url.port or 443)
        except Exception as error:  # hyper raises what its layers raise
            return NoAnswer(False, type(error).__name__)
        try:
            stream = connection.request("POST", url.path, request.body, dict(request.headers))
            response = connection.get_response(stream)
            headers = {name.decode().lower(): value.decode() for name, value in response.headers}
            return Answer(response.status, headers, response.read())
        except Exception as error:
            with contextlib.suppress(Exception):
                connection.close()
            self._connections.pop(url.netloc, None)
            return NoAnswer(True, type(error).__name__)

    def _connect(self, netloc: str, host: str, port: int) -> Any:
        if netloc not in self._connections:
            connection = HTTP20Connection(
                host, port, secure=True, ssl_context=self._tls, force_proto="h2", timeout=self._timeout_s
            )
            connection.connect()
            self._connections[netloc] = connection
        return self._connections[netloc]
