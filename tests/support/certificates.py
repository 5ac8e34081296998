"""An authority of the test's own, and the pairs it signs."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAME = "gateway.example"


class Authority:
    """Signs certificates; `client_context` is of a client that trusts it."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Gatehouse test authority")])
        self.certificate = self._sign(self._name, self._key, timedelta(0), timedelta(days=90), (), is_authority=True)

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        begins: timedelta,
        ends: timedelta,
        names: tuple[str, ...],
        *,
        is_authority: bool = False,
    ) -> bytes:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins - timedelta(minutes=1))
            .not_valid_after(now + ends)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        *names: str,
        begins: timedelta = timedelta(0),
        ends: timedelta = timedelta(days=30),
        password: bytes | None = None,
    ) -> tuple[bytes, bytes]:
        """A certificate (with the authority's as its chain) and its key, both PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, (names or (NAME,))[0])])
        leaf = self._sign(subject, key, begins, ends, names or (NAME,))
        encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        return leaf + self.certificate, pem

    def client_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self.certificate.decode())
        context.set_alpn_protocols(["http/1.1"])
        return context


class MountedPair:
    """`tls.crt` and `tls.key` as Kubernetes mounts a Secret: links through `..data`, which is turned in one step."""

    def __init__(self, folder: Path, pair: tuple[bytes, bytes]) -> None:
        self.folder = folder
        self._number = 0
        self.certificate, self.key = folder / "tls.crt", folder / "tls.key"
        self.put(pair)
        for path in (self.certificate, self.key):
            path.symlink_to(f"..data/{path.name}")

    def put(self, pair: tuple[bytes, bytes]) -> None:
        """Write both beside the old ones, and turn the link."""
        self._number += 1
        made = self.folder / f"..{self._number}"
        made.mkdir()
        for path, data in zip((self.certificate, self.key), pair, strict=True):
            (made / path.name).write_bytes(data)
        link = self.folder / "..new"
        link.symlink_to(made.name)
        link.rename(self.folder / "..data")
