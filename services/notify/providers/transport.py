"""Many HTTP requests at once on few connections: pycurl's multi interface, HTTP/2 where TLS agrees on it.

Of a request without an answer it says whether it may have arrived: libcurl itself sends again only what a server
named as not taken (GOAWAY above the last stream id, REFUSED_STREAM) or what met a connection closed while idle.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Protocol

import pycurl

MAX_ANSWER_BYTES = 64 * 1024
NEVER_SENT = frozenset(
    {
        pycurl.E_COULDNT_RESOLVE_HOST, pycurl.E_COULDNT_RESOLVE_PROXY, pycurl.E_COULDNT_CONNECT,
        pycurl.E_SSL_CONNECT_ERROR, pycurl.E_PEER_FAILED_VERIFICATION, pycurl.E_SSL_CACERT_BADFILE,
        pycurl.E_URL_MALFORMAT, pycurl.E_UNSUPPORTED_PROTOCOL,
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """A POST."""

    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def retry_after_s(self) -> float | None:
        """Retry-After in either form (RFC 9110, section 10.2.3); None when absent or unreadable."""
        value = self.headers.get("retry-after", "").strip()
        if value.isascii() and value.isdecimal():
            return float(value[:9])
        try:
            at = parsedate_to_datetime(value)
        except ValueError:
            return None
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return max((at - datetime.now(UTC)).total_seconds(), 0.0)


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """`is_sent`: the request may have arrived."""

    is_sent: bool
    reason: str


OUT_OF_TIME = NoAnswer(False, "no time was left")


class Transport(Protocol):
    def send(self, requests: Sequence[Request], *, until: float) -> list[Answer | NoAnswer]:
        """Send all; an answer for each, in their order. After `until` (time.monotonic) nothing is sent."""

    def close(self) -> None:
        """End the connections."""


class _Exchange:
    """One easy handle with what it receives; used again and again."""

    def __init__(self, ca_file: Path | None) -> None:
        self.curl = curl = pycurl.Curl()
        self.index = self.size = 0
        self.headers: dict[str, str] = {}
        self.chunks: list[bytes] = []
        curl.exchange = self
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.POST, 1)
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS)
        curl.setopt(pycurl.PIPEWAIT, 1)  # wait for the connection there is, rather than open one more
        curl.setopt(pycurl.TCP_NODELAY, 1)
        curl.setopt(pycurl.TCP_KEEPALIVE, 1)
        curl.setopt(pycurl.FOLLOWLOCATION, 0)
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.WRITEFUNCTION, self._receive)
        curl.setopt(pycurl.HEADERFUNCTION, self._receive_header)
        if ca_file:
            curl.setopt(pycurl.CAINFO, str(ca_file))

    def begin(self, index: int, request: Request, timeout_s: float) -> None:
        self.index, self.headers, self.chunks, self.size = index, {}, [], 0
        self.curl.setopt(pycurl.CONNECTTIMEOUT_MS, max(int(timeout_s * 500), 1))  # to libcurl 0 is no limit
        self.curl.setopt(pycurl.TIMEOUT_MS, max(int(timeout_s * 1000), 1))
        self.curl.setopt(pycurl.URL, request.url)
        self.curl.setopt(pycurl.HTTPHEADER, [f"{name}: {value}" for name, value in request.headers.items()])
        self.curl.setopt(pycurl.POSTFIELDS, request.body)

    def answer(self) -> Answer:
        return Answer(self.curl.getinfo(pycurl.RESPONSE_CODE), self.headers, b"".join(self.chunks))

    def failure(self, code: int) -> NoAnswer:
        is_sent = code not in NEVER_SENT and self.curl.getinfo(pycurl.REQUEST_SIZE) > 0
        return NoAnswer(is_sent, f"curl {code}: {self.curl.errstr()[:150]}")

    def _receive(self, chunk: bytes) -> int | None:
        self.size += len(chunk)
        if self.size > MAX_ANSWER_BYTES:
            return -1
        self.chunks.append(chunk)
        return None

    def _receive_header(self, line: bytes) -> None:
        if line.startswith(b"HTTP/"):
            self.headers, self.chunks = {}, []
        name, colon, value = line.decode("latin-1").partition(":")
        if colon:
            self.headers[name.strip().lower()] = value.strip()


class CurlTransport:
    """Used by one thread at a time. `timeout_s` bounds a whole `send`, however many requests it has."""

    def __init__(
        self, *, timeout_s: float, ca_file: Path | None = None, connections: int = 4, streams: int = 100
    ) -> None:
        self._timeout_s, self._ca_file = timeout_s, ca_file
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_PIPELINING, pycurl.PIPE_MULTIPLEX)
        self._multi.setopt(pycurl.M_MAX_HOST_CONNECTIONS, connections)
        self._multi.setopt(pycurl.M_MAX_CONCURRENT_STREAMS, streams)
        self._idle: list[_Exchange] = []

    def send(self, requests: Sequence[Request], *, until: float) -> list[Answer | NoAnswer]:
        timeout_s = min(self._timeout_s, until - time.monotonic())
        if timeout_s <= 0:
            return [OUT_OF_TIME] * len(requests)
        answers: list[Answer | NoAnswer | None] = [None] * len(requests)
        exchanges = []
        for index, request in enumerate(requests):
            exchange = self._idle.pop() if self._idle else _Exchange(self._ca_file)
            exchange.begin(index, request, timeout_s)
            self._multi.add_handle(exchange.curl)
            exchanges.append(exchange)
        try:
            self._perform(answers)
        finally:
            for exchange in exchanges:
                self._multi.remove_handle(exchange.curl)
            self._idle += exchanges
        return [answer or NoAnswer(True, "the transport lost the answer") for answer in answers]

    def close(self) -> None:
        self._idle.clear()
        self._multi.close()

    def _perform(self, answers: list[Answer | NoAnswer | None]) -> None:
        running = 1
        while running:
            status, running = self._multi.perform()
            while status == pycurl.E_CALL_MULTI_PERFORM:
                status, running = self._multi.perform()
            more = 1
            while more:
                more, done, failed = self._multi.info_read()
                for curl in done:
                    answers[curl.exchange.index] = curl.exchange.answer()
                for curl, code, _ in failed:
                    answers[curl.exchange.index] = curl.exchange.failure(code)
            if running and self._multi.select(0.5) == -1:
                time.sleep(0.002)  # libcurl has no socket to wait for at this instant
