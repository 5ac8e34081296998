"""The files a sender is configured with: made once, then kept."""

import json
import stat
from pathlib import Path

from cryptography import x509

from deploy.local.simulators import Ports, prepare


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_second_preparation_changes_nothing(tmp_path):
    first = prepare(tmp_path / "new" / "folder")
    before = contents(first.folder)
    assert prepare(first.folder) == first
    assert contents(first.folder) == before
    assert set(before) == {
        "ca.pem", "server.pem", "server.key", "fcm-service-account.json", f"AuthKey_{first.key_id}.p8",
    }  # fmt: skip


def test_moved_ports_change_the_token_uri_and_no_key(tmp_path):
    first = json.loads(prepare(tmp_path).service_account_file.read_text())
    moved = prepare(tmp_path, Ports(web=9100, apns=9101, smtp=9102))
    second = json.loads(moved.service_account_file.read_text())
    assert second["token_uri"] == moved.token_uri == "http://127.0.0.1:9100/token"
    assert {**second, "token_uri": first["token_uri"]} == first


def test_what_is_missing_is_made_again(tmp_path):
    credentials = prepare(tmp_path)
    key = credentials.apns_key_file.read_bytes()
    credentials.certificate_file.unlink()
    again = prepare(tmp_path)
    assert again.certificate_file.exists()
    assert again.apns_key_file.read_bytes() == key


def test_only_the_owner_can_read_the_files_and_the_authoritys_key_is_not_kept(tmp_path):
    credentials = prepare(tmp_path)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {0o600}
    authority = x509.load_pem_x509_certificate(credentials.ca_file.read_bytes())
    server = x509.load_pem_x509_certificate(credentials.certificate_file.read_bytes())
    server.verify_directly_issued_by(authority)
    keys = [path.name for path in tmp_path.iterdir() if b"BEGIN PRIVATE KEY" in path.read_bytes()]
    assert sorted(keys) == [f"AuthKey_{credentials.key_id}.p8", "fcm-service-account.json", "server.key"]


def test_identifiers_look_as_apples_do(tmp_path):
    credentials = prepare(tmp_path)
    for identifier in (credentials.key_id, credentials.team_id):
        assert len(identifier) == 10
        assert identifier.isalnum()
        assert identifier.isupper() or identifier.isdigit()
