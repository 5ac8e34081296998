"""An SMTP session that keeps to a time: smtplib's own bounds each wait, but not how many waits there are."""

import io
import smtplib
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


class TimedSession(smtplib.SMTP):
    """No wait lasts longer than `timeout_s`, and none beyond `until` (time.monotonic), which may be set anew.

    That holds for connecting to each address of the host, for TLS, for what is sent and for each next byte of a reply.
    After `until` nothing is sent: what is tried raises TimeoutError or SMTPServerDisconnected.
    """

    def __init__(self, host: str, port: int, *, local_hostname: str, timeout_s: float, until: float) -> None:
        self.until = until
        super().__init__(host, port, local_hostname, timeout_s)

    def send(self, s: "ReadableBuffer | str") -> None:
        if self.sock is None:
            raise smtplib.SMTPServerDisconnected("not connected")
        left = memoryview(s.encode(self.command_encoding) if isinstance(s, str) else s)
        while left:
            self.sock.settimeout(self._wait_s())
            left = left[self.sock.send(left) :]

    def getreply(self) -> tuple[int, bytes]:
        if self.sock is not None and self.file is None:
            self.file = io.BufferedReader(_Replies(self.sock, self._wait_s))
        reply = super().getreply()
        if self.sock is not None:  # after the reply to STARTTLS the handshake has what is left, as a whole
            self.sock.settimeout(max(min(self.timeout, self.until - time.monotonic()), 0.001))
        return reply

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        failure = OSError("the host has no address")
        for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            try:
                return socket.create_connection((str(address[0]), port), self._wait_s())
            except OSError as error:
                failure = error
        raise failure

    def _wait_s(self) -> float:
        """How long the next wait may be. Raise TimeoutError when the time is over."""
        left_s = self.until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the time is over")
        return min(self.timeout, left_s)


class _Replies(io.RawIOBase):
    """What the relay says, each wait for more of it with a timeout of its own."""

    def __init__(self, sock: socket.socket, wait_s: Callable[[], float]) -> None:
        self._sock, self._wait_s = sock, wait_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        self._sock.settimeout(self._wait_s())
        return self._sock.recv_into(buffer)
