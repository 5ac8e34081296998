"""Every mail in every language: whole, in that language only, and the same on the wire as it was written."""

import re
from collections import Counter
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.header import decode_header
from html import escape
from html.parser import HTMLParser
from typing import Any

import pytest

from services.notify import shelves
from services.notify.catalogue import EVERYWHERE, PLACEHOLDER, Catalogue, Sentence
from services.notify.library import FOLDER, Library, Written
from services.notify.mail_settings import MailSettings
from services.notify.providers import Mail
from services.notify.providers.mail import compose
from services.notify.samples import samples
from shared.ids import new_id

SHELF = shelves.built_in()
LIBRARY = Library(SHELF, MailSettings().brand)
TAGS = sorted(SHELF.catalogues)
OF_A_REGION = {"pt-PT": "pt"}  # a language that only says what differs
ENGLISH = SHELF.catalogues["en"]
LANGUAGES = ["de", "en", "es", "fr", "ja", "pt", "zh"]
WRITTEN_AS = {"zh": "zh-Hans"}
VOID = {"meta", "br", "img"}
# Words of English that are no words of the others; and what is Latin in Chinese and Japanese, too.
FUNCTION_WORDS = re.compile(r"\b(the|you|your|this|that|with|from|were|account|password|device|logged)\b", re.I)
LATIN = {"SMS", "IP", "iPhone", "iPad", "Apple", "Google"}

each_language = pytest.mark.parametrize("tag", TAGS)
each_translation = pytest.mark.parametrize("tag", [tag for tag in TAGS if tag != "en"])
each_template = pytest.mark.parametrize("name", SHELF.templates)


def merged(tag: str) -> Catalogue:
    catalogue = SHELF.catalogues[tag]
    return catalogue.over(SHELF.catalogues[OF_A_REGION[tag]]) if tag in OF_A_REGION else catalogue


def sentences(catalogue: Catalogue) -> dict[tuple[str, str], Sentence]:
    tables = {"common": catalogue.common, "values": catalogue.values, **catalogue.sections}
    return {(section, place): sentence for section, table in tables.items() for place, sentence in table.items()}


def test_ours_are_in_order() -> None:
    assert shelves.read(FOLDER, shelves.Shelf())[1] == []
    assert set(LANGUAGES) <= set(TAGS)
    assert {file.name for file in FOLDER.iterdir()} == {
        "templates.toml", "layout.html", "layout.txt", *(f"{tag}.toml" for tag in TAGS)
    }  # fmt: skip


@each_template
def test_every_template_says_something_of_its_own(name: str) -> None:
    template = SHELF.templates[name]
    assert template.needed <= ENGLISH.words(name, template).keys()
    said = {
        parameter
        for sentence in ENGLISH.sections.get(name, template.same).values()
        for parameter in sentence.parameters
    }
    common = {parameter for place in template.common.values() for parameter in ENGLISH.common[place].parameters}
    assert template.params - {"link", "code"} - said - common <= {"factor_type", "email"}, "nobody is told"


@each_translation
def test_a_translation_has_the_sentences_of_english_with_the_same_parameters(tag: str) -> None:
    theirs = sentences(merged(tag))
    assert theirs.keys() == sentences(ENGLISH).keys()
    for key, ours in sentences(ENGLISH).items():
        assert theirs[key].by == ours.by, key
        assert theirs[key].texts.keys() >= ours.texts.keys(), key
        for value, text in theirs[key].texts.items():
            like = ours.texts.get(value, ours.texts["other"])
            assert Counter(PLACEHOLDER.findall(text)) == Counter(PLACEHOLDER.findall(like)), (key, value)


@each_translation
def test_no_english_is_left(tag: str) -> None:
    for key, sentence in sentences(SHELF.catalogues[tag]).items():
        for value, text in sentence.texts.items():
            bare = PLACEHOLDER.sub("", text).strip()
            if key[0] != "values" and bare:
                assert text != sentences(ENGLISH)[key].texts.get(value), key
            assert not FUNCTION_WORDS.search(bare), (key, text)
            if tag in ("ja", "zh", "zh-Hant"):
                assert set(re.findall(r"[A-Za-z]+", bare)) <= LATIN, (key, text)


@each_language
def test_sentences_are_whole_and_tidy(tag: str) -> None:
    for key, sentence in sentences(SHELF.catalogues[tag]).items():
        for text in sentence.texts.values():
            assert text == text.strip() and text and "  " not in text and "\n" not in text, key
            assert not re.search(r"[<>&\t]", text), key
            if key[1] in ("lead", "note", "not_you"):
                assert text[-1] in ".:。：?!", (key, text)
            if key[1] == "subject":
                assert len(text) <= 78 and text[-1] not in ".:。", (key, text)
    if tag == "fr":
        assert not any(re.search(r"(?<![\u00a0])[?;»]| :", text) for text in texts_of(tag)), "no space that breaks"


def test_a_region_says_only_what_differs() -> None:
    for tag, language in OF_A_REGION.items():
        own, wider = sentences(SHELF.catalogues[tag]), sentences(SHELF.catalogues[language])
        assert [key for key, sentence in own.items() if sentence == wider[key]] == []
        assert len(own) < len(wider)


def texts_of(tag: str) -> Iterator[str]:
    return (text for sentence in sentences(SHELF.catalogues[tag]).values() for text in sentence.texts.values())


@each_language
def test_every_mail_is_whole_whatever_its_parameters_say(tag: str) -> None:
    for name in SHELF.templates:
        for params in samples(SHELF, name, tag):
            mail = LIBRARY.mail(name, [tag], params)
            assert mail.tag == WRITTEN_AS.get(tag, tag), name
            assert f'<html lang="{mail.tag}" dir="ltr">' in mail.html
            assert mail.subject.strip() and len(mail.text.strip()) > 10, name
            assert not re.search(r"[{}<>]|&amp;|\bNone\b(?! is left)|\n\n\n", mail.text), name
            assert "width=device-width" in mail.html and f"<title>{escape(mail.subject)}</title>" in mail.html
            if "link" in params:
                assert params["link"] in mail.text.split("\n"), "whole, and alone on its line"
                assert mail.html.count(f'href="{escape(params["link"])}"') == 2
            if "code" in params:
                assert params["code"] in mail.text.split("\n"), "whole, and alone on its line"
                assert f">{params['code']}</p>" in mail.html and "user-select: all" in mail.html


@each_template
def test_no_parameter_is_markup_in_any_language(name: str) -> None:
    for tag in TAGS:
        for params in samples(SHELF, name, tag):
            nasty = {key: f'"\'></p><script>alert("{key}")</script>{{app}}{{{{7*7}}}}' for key in params}
            for key in params.keys() & {"factor_type"}:
                nasty[key] = params[key]
            mail = LIBRARY.mail(name, [tag], nasty)
            tame = LIBRARY.mail(name, [tag], {key: nasty[key] if key == "factor_type" else "tame" for key in params})
            assert tags_in(mail) == tags_in(tame), (tag, name)
            assert "49" not in mail.text and "Gatehouse{{" not in mail.text


class Tags(HTMLParser):
    """Opening tags with the names of their attributes; each is closed in its turn."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, [name for name, _ in attrs]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def tags_in(mail: Written) -> list[Any]:
    parser = Tags()
    parser.feed(mail.html)
    parser.close()
    assert parser.open == []
    return parser.seen


@each_language
def test_on_the_wire_a_mail_is_short_lines_of_ascii_and_the_same_when_it_is_read(tag: str) -> None:
    for name in SHELF.templates:
        params = next(samples(SHELF, name, tag))
        written = LIBRARY.mail(name, [tag], params)
        mail = Mail(new_id(), "alice@example.com", written.subject, written.text, written.html, written.tag)
        source = compose(mail, "no-reply@example.com", "Gatehouse ゲート").as_bytes()

        assert source.isascii() and max(len(line) for line in source.split(b"\r\n")) <= 998
        assert b"\n" not in source.replace(b"\r\n", b"") and b"\r" not in source.replace(b"\r\n", b"")
        read = message_from_bytes(source, policy=policy.default)
        assert (read["Subject"], read["Content-Language"]) == (written.subject, written.tag)
        assert read["From"] == "Gatehouse ゲート <no-reply@example.com>"
        for kind, said in (("plain", written.text), ("html", written.html)):
            part = read.get_body((kind,))
            assert part is not None and part.get_content().replace("\r\n", "\n") == said
            assert part.get_content_charset() == "utf-8"
        check_encoded_words(source, written.subject)


def check_encoded_words(source: bytes, subject: str) -> None:
    """RFC 2047: 75 characters at most, each of whole characters; an older reader agrees."""
    raw = re.search(rb"(?m)^Subject: ((?:.*\r\n[ \t])*.*)\r\n", source)
    assert raw
    field = raw[1].decode()
    words = re.findall(r"=\?[^? ]+\?[^? ]+\?[^? ]*\?=", field)
    assert all(len(word) <= 75 for word in words)
    for word in words:
        ((value, charset),) = decode_header(word)
        assert isinstance(value, bytes)
        value.decode(charset or "ascii")
    old = "".join(
        value.decode(charset or "ascii") if isinstance(value, bytes) else value
        for value, charset in decode_header(field.replace("\r\n", ""))
    )
    assert old == subject
    assert bool(words) != subject.isascii()


@each_language
def test_only_parameters_that_exist_stand_in_sentences(tag: str) -> None:
    for name, section in SHELF.catalogues[tag].sections.items():
        allowed = SHELF.templates[name].params | EVERYWHERE
        assert {parameter for sentence in section.values() for parameter in sentence.parameters} <= allowed, name


def test_the_readme_names_every_template_with_its_parameters() -> None:
    readme = (FOLDER.parent / "README.md").read_text()
    table = readme.split("| template | parameters")[1].split("\n\n")[0].splitlines()[2:]
    told = {}
    for row in table:
        names, params = (set(re.findall(r"`([a-z_]+)`", cell)) for cell in row.strip("|").split("|"))
        told |= dict.fromkeys(names, params)
    assert told == {name: template.params for name, template in SHELF.templates.items()}
    documented = (FOLDER.parents[2] / "docs" / "mails.md").read_text()
    assert set(re.findall(r"(?m)^\| `([A-Za-z-]+)` \|", documented)) == set(TAGS)
