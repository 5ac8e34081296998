"""Which language a reader gets: what they chose, then what the request asked for, the first that there is."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from deploy.local.simulators import Simulators
from services.notify import events, languages, planner, store
from services.notify.catalogue import Catalogue, read_catalogue
from services.notify.config import NotifySettings
from services.notify.library import CannotRender, Library, Shelf
from services.notify.mail_settings import MailSettings
from services.notify.shelves import built_in
from shared.contracts import MessageRequested, ProfileUpdated, UserRegistered
from shared.ids import new_id
from shared.postgres import Connection, Database

BRAND = MailSettings().brand
PORTUGUESE = """
[common]
hello = "Olá,"
[welcome]
subject = "Boas-vindas"
lead = "A sua conta está pronta."
"""


@pytest.mark.parametrize(
    ("wanted", "tags"),
    [
        ("pt_BR", ["pt-BR", "pt"]),
        ("PT", ["pt"]),
        ("en-GB", ["en-GB", "en"]),
        ("zh-TW", ["zh-TW", "zh-Hant", "zh"]),
        ("zh-hant-hk", ["zh-Hant-HK", "zh-Hant", "zh"]),
        ("zh_Hans_CN", ["zh-Hans-CN", "zh-Hans", "zh"]),
        ("iw-IL", ["he-IL", "he"]),
        ("sr-Latn-RS", ["sr-Latn-RS", "sr-Latn", "sr"]),
        ("../../etc", []),
        ("en/../../etc", []),
        ("*", []),
        ("", []),
        ("x" * 36, []),
    ],
)
def test_a_language_is_looked_for_under_what_comes_nearest(wanted: str, tags: list[str]) -> None:
    assert languages.stand_ins(wanted) == tags


@pytest.mark.parametrize(("tag", "runs"), [("he", "rtl"), ("ar-EG", "rtl"), ("zh-Hans", "ltr"), ("de", "ltr")])
def test_scripts_run_their_own_way(tag: str, runs: str) -> None:
    assert languages.direction(tag) == runs


def test_a_script_brings_its_fonts() -> None:
    assert "PingFang TC" in languages.fonts("zh-TW") and "PingFang SC" in languages.fonts("zh")
    assert "Hiragino" in languages.fonts("ja-JP") and "PingFang" not in languages.fonts("de")


@pytest.fixture(scope="module")
def shelf() -> Shelf:
    """English, some Portuguese, and a language with nothing in it yet."""
    ours = built_in()
    portuguese, wrong = read_catalogue(PORTUGUESE, ours.templates)
    assert wrong == []
    return Shelf(ours.templates, {"en": ours.catalogues["en"], "pt": portuguese, "nl": Catalogue()}, ours.files)


@pytest.mark.parametrize(
    ("wishes", "own", "tag"),
    [
        (["it", "nl", "pt-BR", "en"], "en", "pt"),
        (["it", "en", "pt"], "en", "en"),
        (["nonsense!", "*", "pt"], "en", "pt"),
        (["it"], "pt", "pt"),
        ([], "en", "en"),
        ([], "it", "en"),
    ],
)
def test_the_first_language_counts_that_has_the_whole_template(
    shelf: Shelf, wishes: list[str], own: str, tag: str
) -> None:
    mail = Library(shelf, BRAND, own).mail("welcome", wishes, {})

    assert mail.tag == tag
    assert f'lang="{tag}" dir="ltr"' in mail.html
    assert ("Olá" in mail.text, "Hello" in mail.text) == (tag == "pt", tag == "en")


def test_a_mail_is_never_in_two_languages(shelf: Shelf) -> None:
    mail = Library(shelf, BRAND).mail("account_exists", ["pt", "it"], {})

    assert mail.tag == "en" and "Olá" not in mail.text


def test_a_message_says_the_language_it_was_asked_for_in(shelf: Shelf) -> None:
    mail = Library(shelf, BRAND).mail("message", ["it", "de"], {"title": "Ciao", "body": "Bo: ti piace?"})

    assert (mail.tag, mail.subject, mail.text) == ("it", "Ciao", "Bo: ti piace?\n")


def test_an_unknown_template_is_named(shelf: Shelf) -> None:
    with pytest.raises(CannotRender, match="no template welcome_back"):
        Library(shelf, BRAND).mail("welcome_back", [], {})


@pytest.mark.parametrize(
    ("message", "profile", "signed_up", "expected"),
    [
        ({"locale": "de", "languages": ["fr", "ja"]}, "es", "pt", ["de", "es", "fr", "ja"]),
        ({"locale": "fr", "languages": ["fr", "ja"]}, "es", "pt", ["es", "fr", "ja"]),
        ({"locale": "fr", "languages": ["fr", "ja"]}, None, "pt", ["pt", "fr", "ja"]),
        ({"locale": "fr", "languages": ["fr", "ja"]}, None, None, ["fr", "ja"]),
        ({"locale": "de"}, "es", None, ["de", "es"]),  # from an auth of yesterday
        ({}, None, None, []),
    ],
)
def test_what_a_person_chose_counts_before_what_a_request_asked_for(
    db: Database, message: dict[str, Any], profile: str | None, signed_up: str | None, expected: list[str]
) -> None:
    now, user_id, message_id = datetime.now(UTC), new_id(), new_id()
    asked = MessageRequested(
        message_id=message_id, user_id=user_id, email="a@example.com", channels=["email"], template="welcome", **message
    )
    with db.transaction() as conn:
        events.add_contact(
            conn, UserRegistered(user_id=user_id, email="a@example.com", locale=signed_up, created_at=now)
        )
        if profile:
            events.update_profile(conn, ProfileUpdated(user_id=user_id, locale=profile, version=1))
        events.accept_message(conn, asked)
        planner.plan(conn, message_id, after=None)
        assert claim(conn, message_id).locales == expected


def claim(conn: Connection, message_id: Any) -> store.Claimed:
    ids = [delivery.id for delivery in store.list_deliveries(conn, message_id, limit=10)]
    (claimed,) = store.claim_deliveries(conn, ids, lease_s=60)
    return claimed


SUBJECTS = {
    "de-AT": "Bestätigen Sie Ihre E-Mail-Adresse",
    "en-GB": "Confirm your address",
    "es-MX": "Confirma tu correo electrónico",
    "fr-CA": "Confirmez votre adresse e-mail",
    "ja": "メールアドレスの確認",
    "pt-BR": "Confirme seu e-mail",
    "pt-PT": "Confirme o seu e-mail",
    "zh-CN": "请验证您的邮箱地址",
    "zh-TW": "請驗證您的電子郵件地址",
    "ko": "Confirm your address",
}


def test_a_mail_arrives_in_each_language(
    running_worker: NotifySettings, publish: Callable[..., UUID], simulators: Simulators
) -> None:
    """As a relay takes it in: the subject decoded (RFC 2047), text and HTML in that language, code and link whole."""
    link = "https://app.example.com/auth/v1/verify?token_hash=s3cret&type=signup"
    for language in SUBJECTS:
        asked = MessageRequested(
            message_id=new_id(),
            email=f"{language}@example.com",
            channels=["email"],
            template="confirm_signup",
            params={"name": "王 Zoë", "link": link, "code": "482913"},
            locale="it",
            languages=["it-CH", language, "en"],
        )
        publish(asked)

    for language, subject in SUBJECTS.items():
        (arrived,) = simulators.wait_for(1, channel="smtp", to=f"{language}@example.com")
        mail = arrived["mail"]
        assert (mail["subject"], arrived["warnings"]) == (subject, [])
        assert {"王 Zoë" in mail[kind] for kind in ("text", "html")} == {True}
        assert {link, "482913"} <= set(mail["text"].splitlines())
        assert arrived["headers"]["content-language"].split("-")[0] == ("en" if language == "ko" else language[:2])
        assert f'lang="{arrived["headers"]["content-language"]}"' in mail["html"]
        assert arrived["body"].isascii()
