"""The files a sender needs, made once: a Google service account, an Apple signing key, an authority to trust."""

import datetime
import ipaddress
import json
import secrets
import string
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = datetime.timedelta(days=825)
RENEW_BEFORE = datetime.timedelta(days=30)


@dataclass(frozen=True)
class Ports:
    """Where the simulators listen: `web` also serves FCM, OAuth and the control API."""

    web: int = 8100
    apns: int = 8101
    smtp: int = 8102


@dataclass(frozen=True)
class Credentials:
    """What a sender is configured with. The files exist."""

    host: str
    ports: Ports
    folder: Path
    project_id: str
    client_email: str
    key_id: str
    team_id: str
    topic: str

    @property
    def web_url(self) -> str:
        return f"http://{self.host}:{self.ports.web}"

    @property
    def fcm_url(self) -> str:
        """The base for `/{project}/messages:send`, shaped as pyfcm's FCM_END_POINT_BASE."""
        return f"{self.web_url}/v1/projects"

    @property
    def token_uri(self) -> str:
        return f"{self.web_url}/token"

    @property
    def service_account_file(self) -> Path:
        return self.folder / "fcm-service-account.json"

    @property
    def apns_key_file(self) -> Path:
        return self.folder / f"AuthKey_{self.key_id}.p8"

    @property
    def ca_file(self) -> Path:
        """The authority that signed the certificate of the APNs and SMTP ports."""
        return self.folder / "ca.pem"

    @property
    def certificate_file(self) -> Path:
        return self.folder / "server.pem"

    @property
    def certificate_key_file(self) -> Path:
        return self.folder / "server.key"


def prepare(
    folder: Path,
    ports: Ports | None = None,
    *,
    host: str = "127.0.0.1",
    project_id: str = "gatehouse-local",
    topic: str = "app.gatehouse.phone",
) -> Credentials:
    """Make what is missing in `folder` and return it all; a second call changes nothing but moved ports."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    existing = next(folder.glob("AuthKey_*.p8"), None)
    credentials = Credentials(
        host=host,
        ports=ports or Ports(),
        folder=folder,
        project_id=project_id,
        client_email=f"sender@{project_id}.iam.gserviceaccount.com",
        key_id=existing.stem.removeprefix("AuthKey_") if existing else _identifier(),
        team_id="GATEHOUSE1",
        topic=topic,
    )
    if existing is None:
        _write(credentials.apns_key_file, _pem(ec.generate_private_key(ec.SECP256R1())))
    _prepare_service_account(credentials)
    if not _is_certificate_good(credentials):
        _make_certificates(credentials)
    return credentials


def _prepare_service_account(credentials: Credentials) -> None:
    path = credentials.service_account_file
    known = json.loads(path.read_text()) if path.exists() else {}
    account = {
        "type": "service_account",
        "project_id": credentials.project_id,
        "private_key_id": known.get("private_key_id") or secrets.token_hex(20),
        "private_key": known.get("private_key") or _pem(rsa.generate_private_key(65537, 2048)).decode(),
        "client_email": credentials.client_email,
        "client_id": "100000000000000000000",
        "token_uri": credentials.token_uri,
    }
    if account != known:
        _write(path, json.dumps(account, indent=2).encode())


def _is_certificate_good(credentials: Credentials) -> bool:
    files = (credentials.ca_file, credentials.certificate_file, credentials.certificate_key_file)
    if not all(path.exists() for path in files):
        return False
    certificate = x509.load_pem_x509_certificate(credentials.certificate_file.read_bytes())
    is_named = (
        _alternative_names(credentials.host)
        == certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    )
    return is_named and certificate.not_valid_after_utc > _now() + RENEW_BEFORE


def _make_certificates(credentials: Credentials) -> None:
    """An authority that signs one server certificate; its key is not kept, so nothing else can ever be signed by it."""
    authority_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority_name = _name("Gatehouse simulators' authority")
    authority = (
        _certificate(authority_name, authority_name, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    server = (
        _certificate(_name("Gatehouse simulators"), authority_name, server_key.public_key())
        .add_extension(_alternative_names(credentials.host), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    _write(credentials.certificate_key_file, _pem(server_key))
    _write(credentials.certificate_file, server.public_bytes(serialization.Encoding.PEM))
    _write(credentials.ca_file, authority.public_bytes(serialization.Encoding.PEM))


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - datetime.timedelta(hours=1))
        .not_valid_after(_now() + LIFETIME)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative_names(host: str) -> x509.SubjectAlternativeName:
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    try:
        named: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        named = x509.DNSName(host)
    return x509.SubjectAlternativeName(names if named in names else [*names, named])


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _identifier() -> str:
    """Ten capitals and digits, as Apple's key ids are."""
    return "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(10))


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes) -> None:
    """Readable by the owner only, and never half there."""
    beside = path.with_suffix(path.suffix + ".new")
    beside.touch(mode=0o600)
    beside.write_bytes(content)
    beside.replace(path)
