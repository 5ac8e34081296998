"""Settings of a process: read from the environment or from files, and every mistake told at once without its value."""

from pathlib import Path

import pytest
from pydantic import Field, SecretStr, ValidationError

from shared.settings import MongoUrl, PostgresUrl, Settings, load

GOOD = {
    "AMQP_URL": "amqp://auth:hunter2@mq:5672/",
    "ISSUER": "https://api.example.org/auth/v1",
    "JWKS_URL": "http://auth:8000/auth/v1/.well-known/jwks.json",
    "DATABASE_URL": "postgresql://auth:hunter3@db/auth",
}


class ThingSettings(Settings):
    database_url: PostgresUrl
    mongo_url: MongoUrl = SecretStr("mongodb://localhost/")
    things: list[str] = Field(default=[])


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*GOOD, "SECRETS_DIR", "BIND", "WORKER_BIND", "AUDIENCE", "LOG_LEVEL", "WEB_WORKERS", "WEB_THREADS"):
        monkeypatch.delenv(name, raising=False)


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        load(ThingSettings)
    assert ended.value.code == 2
    return capsys.readouterr().err


def set_all(monkeypatch: pytest.MonkeyPatch, **changes: str) -> None:
    for name, value in {**GOOD, **changes}.items():
        monkeypatch.setenv(name, value)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, WEB_THREADS="3")
    settings = load(ThingSettings)
    assert settings.web_threads == 3 and settings.audience == "gatehouse"
    assert settings.database_url.get_secret_value() == GOOD["DATABASE_URL"], "kept as it is written"


def test_nothing_set_names_everything_that_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(capsys)
    assert "4 setting(s) are wrong" in said
    assert all(f"  {name}: Field required" in said for name in GOOD)


def test_all_mistakes_are_told_at_once_each_with_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = {
        "AMQP_URL": "https://auth:hunter2@mq/",
        "DATABASE_URL": "hunter3",
        "MONGO_URL": "mysql://u:hunter4@m/",
        "JWKS_URL": "auth:8000",
        "WEB_THREADS": "many",
        "WEB_WORKERS": "0",
        "LOG_LEVEL": "LOUD",
        "MAX_BODY_BYTES": "10",
    }
    set_all(monkeypatch, **wrong)
    said = refusal(capsys)
    assert "8 setting(s) are wrong" in said
    assert all(f"  {name}: " in said for name in wrong)
    assert "hunter" not in said and "many" not in said and "Value error" not in said


def test_an_empty_variable_is_as_good_as_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_all(monkeypatch, ISSUER="", WEB_THREADS="")
    assert refusal(capsys) == "1 setting(s) are wrong:\n  ISSUER: Field required\n"


def test_a_value_that_is_not_json_where_a_list_belongs_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_all(monkeypatch, THINGS="hunter2,")
    said = refusal(capsys)
    assert "things" in said and "hunter2" not in said


def test_a_secret_may_come_from_a_file_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "amqp_url").write_text("amqp://auth:from-file@mq/\n")
    (tmp_path / "database_url").write_text("postgresql://auth:from-file@db/auth\n")
    set_all(monkeypatch, SECRETS_DIR=str(tmp_path))
    monkeypatch.delenv("AMQP_URL")
    settings = load(ThingSettings)
    assert settings.amqp_url.get_secret_value() == "amqp://auth:from-file@mq/"
    assert settings.database_url.get_secret_value() == GOOD["DATABASE_URL"]


def test_a_folder_of_secrets_that_is_not_there_is_told_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    set_all(monkeypatch, SECRETS_DIR=str(tmp_path / "none"))
    assert "SECRETS_DIR" in refusal(capsys)


def test_secrets_are_in_no_repr_and_settings_do_not_change(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch)
    settings = load(ThingSettings)
    assert "hunter" not in repr(settings) + str(settings) + str(settings.model_dump())
    with pytest.raises(ValidationError):
        settings.audience = "other"  # type: ignore[misc]
