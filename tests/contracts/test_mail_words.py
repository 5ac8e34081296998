"""Words of auth's own that stand in mails as parameters are said in the language of the mail."""

from services.auth import devices, mails, passkey_makers
from services.auth.admin.changes import BY_ADMIN
from tests.support.mails import LIBRARY

SHELF = LIBRARY.shelf
ENGLISH = SHELF.catalogues["en"]


def test_names_of_devices_that_are_english_words_are_translated() -> None:
    words = {name for _, name in devices.NAMES if " " in name} | {"Unknown device"}
    assert words <= ENGLISH.values["device"].texts.keys()


def test_a_passkey_of_an_unknown_maker_is_not_named_twice() -> None:
    for name in ("passkey_added", "passkey_removed"):
        assert passkey_makers.UNKNOWN in ENGLISH.sections[name]["lead"].texts


def test_every_kind_of_secret_that_is_mailed_has_its_template() -> None:
    assert set(mails.TEMPLATES.values()) <= SHELF.templates.keys()
    assert all({"code"} <= SHELF.templates[name].params for name in mails.TEMPLATES.values())


def test_whose_device_it_was_is_translated_where_an_administrator_acted() -> None:
    assert BY_ADMIN["device"] in ENGLISH.values["device"].texts
