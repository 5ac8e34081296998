"""A small HTTP/2 client that shows frames: status, reset code and GOAWAY, which the push libraries hide."""

import json
import socket
import ssl
import time
from dataclasses import dataclass, field
from typing import Any, Self

import h2.config
import h2.connection
import h2.events
import h2.settings
import jwt

from deploy.local.simulators import Credentials

DEVICE = "ab12" * 16
MAX_FRAME_BYTES = 16_384
ALERT = {"aps": {"alert": {"title": "Hello", "body": "there"}}}


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    reset_code: int | None = None
    is_done: bool = False

    @property
    def reason(self) -> str:
        return str(json.loads(self.body)["reason"]) if self.body else ""


class ApnsClient:
    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials
        self.goaway: h2.events.ConnectionTerminated | None = None
        self.is_settings_seen = False
        self.answers: dict[int, Answer] = {}
        context = ssl.create_default_context(cafile=str(credentials.ca_file))
        context.set_alpn_protocols(["h2"])
        raw = socket.create_connection((credentials.host, credentials.ports.apns), timeout=10)
        self._socket = context.wrap_socket(raw, server_hostname=credentials.host)
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._h2.initiate_connection()
        self._flush()
        self.read_until(lambda: self.is_settings_seen)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @property
    def max_streams(self) -> int:
        return int(self._h2.remote_settings.max_concurrent_streams)

    def ignore_max_streams(self) -> None:
        """Go on as if the server had not sent SETTINGS_MAX_CONCURRENT_STREAMS."""
        self._h2.remote_settings[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS] = 2**31 - 1
        self._h2.remote_settings.acknowledge()

    def provider_token(self, key: str | None = None, kid: str | None = None, **claims: Any) -> str:
        right = {"iss": self.credentials.team_id, "iat": int(time.time()), **claims}
        payload = {name: value for name, value in right.items() if value is not None}
        signing_key = key or self.credentials.apns_key_file.read_text()
        headers = {"kid": self.credentials.key_id if kid is None else kid}
        return jwt.encode(payload, signing_key, algorithm="ES256", headers=headers)

    def begin(
        self, headers: dict[str, str | None] | None = None, body: Any = ALERT, device: str = DEVICE, **pseudo: str
    ) -> int:
        """Send one push and return its stream; a header given as None is left out."""
        stream_id = self._h2.get_next_available_stream_id()
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        merged: dict[str, str | None] = {
            ":method": pseudo.get("method", "POST"), ":scheme": "https", ":authority": "localhost",
            ":path": pseudo.get("path", f"/3/device/{device}"), "apns-topic": self.credentials.topic,
            "apns-push-type": "alert", **(headers or {}),
        }  # fmt: skip
        if "authorization" not in merged:
            merged["authorization"] = f"bearer {self.provider_token()}"
        self._h2.send_headers(stream_id, [(k, v) for k, v in merged.items() if v is not None], end_stream=not content)
        if content:
            for start in range(0, len(content), MAX_FRAME_BYTES):
                is_last = start + MAX_FRAME_BYTES >= len(content)
                self._h2.send_data(stream_id, content[start : start + MAX_FRAME_BYTES], end_stream=is_last)
        self.answers[stream_id] = Answer()
        self._flush()
        return stream_id

    def push(self, headers: dict[str, str | None] | None = None, body: Any = ALERT, **more: str) -> Answer:
        stream_id = self.begin(headers, body, **more)
        self.read_until(lambda: self.answers[stream_id].is_done)
        return self.answers[stream_id]

    def read_until(self, is_enough: Any) -> None:
        """Raise ConnectionError when the connection ends first."""
        while not is_enough():
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionError("the server closed the connection")
            for event in self._h2.receive_data(data):
                self._note(event)
            if self.goaway is None:
                self._flush()

    def detach(self) -> socket.socket:
        """The TCP connection below TLS: there a reset cannot be mistaken for an end."""
        raw = socket.socket(fileno=self._socket.detach())
        raw.settimeout(10)
        return raw

    def _note(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RemoteSettingsChanged):
            self.is_settings_seen = True
        elif isinstance(event, h2.events.ResponseReceived):
            headers = {str(name): str(value) for name, value in event.headers}
            self.answers[event.stream_id].status = int(headers.pop(":status"))
            self.answers[event.stream_id].headers = headers
        elif isinstance(event, h2.events.DataReceived):
            self.answers[event.stream_id].body += event.data
        elif isinstance(event, h2.events.StreamEnded):
            self.answers[event.stream_id].is_done = True
        elif isinstance(event, h2.events.StreamReset):
            self.answers[event.stream_id].reset_code = int(event.error_code)
            self.answers[event.stream_id].is_done = True
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = event

    def _flush(self) -> None:
        self._socket.sendall(self._h2.data_to_send())
