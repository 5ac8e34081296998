"""The pages speak the reader's language: every catalogue has every sentence, with the same gaps to fill."""

import ast
import re
import string
from functools import cache
from pathlib import Path
from urllib.parse import urlencode

import pytest

from services.auth.pages import words
from services.auth.pages.layout import FOLDER
from tests.auth.browsers import LOG_IN, Tab
from tests.auth.conftest import Person, Service

OTHERS = [language for language in words.LANGUAGES if language != "en"]
IN_TEMPLATE = re.compile(r'\bsay\("((?:[^"\\]|\\.)*)"')


@cache
def sentences() -> set[str]:
    """What the pages say, from their source."""
    auth = Path(words.__file__).parents[1]
    said = {found for file in FOLDER.glob("*.html") for found in IN_TEMPLATE.findall(file.read_text())}
    for file in auth.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "say":
                said |= {node.args[0].value} if isinstance(node.args[0], ast.Constant) else set()
    return said


def gaps(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None}


@pytest.mark.parametrize("language", OTHERS)
def test_a_catalogue_has_every_sentence_and_no_other(language: str) -> None:
    catalogue = words.catalogue(language)
    assert len(sentences()) > 80
    assert (sentences() - catalogue.keys(), catalogue.keys() - sentences()) == (set(), set())
    assert [english for english, said in catalogue.items() if gaps(english) != gaps(said) or not said.strip()] == []
    same = {english for english, said in catalogue.items() if english == said}
    assert same <= {"Code", "SMS"}, "these are English still"


def test_there_is_a_catalogue_for_each_language_and_no_other() -> None:
    assert {file.stem for file in words.FOLDER.iterdir()} == set(OTHERS)


@pytest.mark.parametrize(
    ("asked", "lang", "title"),
    [
        ("de", "de", "Anmelden"),
        ("de-AT,en;q=0.5", "de", "Anmelden"),
        ("fr-CA", "fr", "Se connecter"),
        ("es-419", "es", "Iniciar sesión"),
        ("pt-BR", "pt", "Entrar"),
        ("ja", "ja", "ログイン"),
        ("zh-CN", "zh-Hans", "登录"),
        ("nl,fr;q=0.8,en;q=0.5", "fr", "Se connecter"),
        ("nl", "en", "Log in"),
        ("", "en", "Log in"),
        ("*", "en", "Log in"),
        ("x" * 2_000, "en", "Log in"),
    ],
)
def test_a_page_is_in_the_language_that_the_browser_asks_for(
    service: Service, asked: str, lang: str, title: str
) -> None:
    page = Tab(service, **{"Accept-Language": asked}).open(LOG_IN)
    assert (page.tags[0], page.title) == (("html", {"lang": lang}), title)
    assert page.headers["Content-Language"] == lang and "Accept-Language" in page.headers["Vary"]


def test_an_app_may_ask_for_a_language(service: Service) -> None:
    tab = Tab(service, **{"Accept-Language": "de"})
    for locales, lang in (("fr-CA fr", "fr"), ("nl ja", "ja"), ("nl", "de"), ("", "de"), ("x" * 2_000, "de")):
        return_to = f"/auth/oauth/authorize?{urlencode({'client_id': 'app', 'ui_locales': locales})}"
        page = tab.open(f"/auth/oauth/login?{urlencode({'return_to': return_to})}")
        assert page.tags[0][1]["lang"] == lang
        again = tab.send(page.form, email="nobody@example.com", password="wrong wrong")
        assert again.tags[0][1]["lang"] == lang


def test_reasons_and_the_pages_of_mails_are_in_it_too(service: Service) -> None:
    tab = Tab(service, **{"Accept-Language": "de"})
    page = tab.send(tab.open(LOG_IN).form, email="nobody@example.com", password="wrong wrong")
    assert page.alert == "Adresse oder Passwort ist falsch."
    assert tab.open("/auth/oauth/login").title == "Das geht so nicht"
    assert tab.open("/auth/v1/verify?type=signup&token_hash=x").title == "Bestätigen Sie Ihre E-Mail-Adresse"


def test_whoever_chose_a_language_reads_it_once_they_are_known(service: Service, alice: Person) -> None:
    from tests.auth.authenticators import App

    App(alice).answer()
    alice.change(data={"locale": "ja-JP"})
    tab = Tab(service, **{"Accept-Language": "de"})
    page = tab.open(tab.log_in(alice).headers["Location"])
    assert (page.tags[0][1]["lang"], page.title) == ("ja", "2 段階目の確認")


def test_an_account_made_on_the_page_keeps_its_language(service: Service) -> None:
    tab = Tab(service, **{"Accept-Language": "pt-BR"})
    form = tab.open(LOG_IN.replace("login?", "login/sign-up?")).form
    tab.send(form, email="new@example.com", password="correct horse battery staple")
    assert service.rows("SELECT user_metadata FROM users") == [{"user_metadata": {"locale": "pt"}}]
    assert service.events("message.requested")[-1].data["locale"] == "pt"
