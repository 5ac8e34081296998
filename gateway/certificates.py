"""Certificates and keys from files: looked at before they are used, and made into what OpenSSL serves.

A key is read, handed to OpenSSL and kept in memory that has no name; it is never logged, nor part of a message.
"""

import json
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from gateway.watching import LastRight, Watched

if TYPE_CHECKING:
    from gateway.config import GatewaySettings

# TLS 1.3 has its own; for 1.2 what Mozilla calls intermediate, less finite-field Diffie-Hellman.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
PROTOCOLS = ["http/1.1"]


class BadPair(Exception):
    """A certificate and its key that cannot be served, and why."""


@dataclass(frozen=True)
class Pair:
    """A certificate with its chain, and its key, both PEM. `file` names the certificate in logs and metrics."""

    file: str
    certificate: str
    key: str = field(repr=False)


@dataclass(frozen=True)
class Certificate:
    """A pair that can be served: to whom, and until when."""

    file: str
    names: tuple[str, ...]
    expires_at: datetime
    context: ssl.SSLContext = field(repr=False)


class PairFiles(Watched):
    """The files of all pairs. The first is served to clients that name no host, or none that a certificate is for."""

    def __init__(self, settings: "GatewaySettings") -> None:
        self._pairs = settings.tls_files
        super().__init__(path for pair in self._pairs for path in pair)

    def read(self, *, in_time: bool = True) -> list[Certificate]:
        """What is in the files now. Raise BadPair; `in_time` also where a certificate is not valid at this time."""
        self.are_read()
        pairs = [Pair(str(file), _text(file), _text(key)) for file, key in self._pairs]
        found = [usable(pair, in_time=in_time) for pair in pairs]
        if _last_right is not None:
            _last_right.keep(json.dumps([[pair.file, pair.certificate, pair.key] for pair in pairs]))
        return found

    def last_right(self) -> list[Certificate]:
        """The last pairs that were right in this or another worker, by now perhaps expired. Raise BadPair without."""
        if _last_right is None:
            raise BadPair("there is no earlier one")
        return [usable(Pair(*pair), in_time=False) for pair in json.loads(_last_right.text())]


_last_right: LastRight | None = None


def check(settings: "GatewaySettings") -> None:
    """In the master: read the pairs and keep them for workers that start later. Raise BadPair.

    An expired one is served all the same: there is none better, and what comes without TLS goes on.
    """
    global _last_right
    if settings.tls_files:
        _last_right = LastRight(os.fdopen(os.memfd_create("tls"), "r+b"))
        PairFiles(settings).read(in_time=False)


def _text(path: Path) -> str:
    try:
        return path.read_text("latin-1")  # what is around the PEM may be anything
    except OSError as error:
        raise BadPair(f"{path}: {error.strerror}") from None


def usable(pair: Pair, *, in_time: bool) -> Certificate:
    """The pair ready to be served. Raise BadPair if it does not parse or match; with `in_time`, if not valid now."""
    try:
        chain = x509.load_pem_x509_certificates(pair.certificate.encode())
    except ValueError as error:
        raise BadPair(f"{pair.file} holds no certificates that can be read: {error}") from None
    leaf = chain[0]
    if in_time:
        _check_time(pair, leaf)
    return Certificate(pair.file, _names(leaf), leaf.not_valid_after_utc, _context(pair))


def _check_time(pair: Pair, leaf: x509.Certificate) -> None:
    now = datetime.now(UTC)
    if leaf.not_valid_after_utc <= now:
        raise BadPair(f"{pair.file} has expired at {leaf.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}")
    if leaf.not_valid_before_utc > now:
        raise BadPair(f"{pair.file} is not valid before {leaf.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}")


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(name.lower() for name in names.get_values_for_type(x509.DNSName))


def _context(pair: Pair) -> ssl.SSLContext:
    """TLS 1.2 and 1.3, HTTP/1.1 alone. A phone without AES in hardware may choose ChaCha20."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(PROTOCOLS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    with _nameless(pair.certificate) as certificate, _nameless(pair.key) as key:
        try:
            context.load_cert_chain(certificate, key, password=_no_password)
        except ssl.SSLError as error:
            raise BadPair(f"{pair.file} does not go with its key, or one cannot be used: {error.reason}") from None
        except ValueError as error:
            raise BadPair(f"{pair.file}: {error}") from None
    return context


def _no_password() -> str:
    raise ValueError("its key is encrypted")


@contextmanager
def _nameless(text: str) -> Iterator[str]:
    """A path, while it lasts, of a file in memory: OpenSSL reads files, and those on disk may change meanwhile."""
    descriptor = os.memfd_create("pem")
    try:
        os.write(descriptor, text.encode())
        yield f"/dev/fd/{descriptor}"
    finally:
        os.close(descriptor)


def serve(certificates: list[Certificate]) -> ssl.SSLContext:
    """One context for them all: the first certificate, or that which is for the host a client names (SNI)."""
    first, *others = certificates
    if others:
        contexts = {name: one.context for one in reversed(certificates) for name in one.names}

        def choose(connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
            name = (name or "").lower()
            found = contexts.get(name) or contexts.get("*." + name.partition(".")[2])
            if found is not None:
                connection.context = found

        first.context.sni_callback = choose
    return first.context
