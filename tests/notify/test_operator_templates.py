"""An operator's folder of templates lies over the built-in one; what is wrong in it costs nobody their mail."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from services.notify import shelves
from services.notify.content import Writer
from services.notify.library import CannotRender, Library, Written
from services.notify.mail_settings import MailSettings
from services.notify.samples import samples
from tests.notify.test_content import claimed

OURS = shelves.built_in()
BRAND = MailSettings().brand
BUILT_IN = Library(OURS, BRAND)
BODY = '{% extends "layout.html" %}{% block content %}<h1>Ciao</h1><a href="{{ link }}">Sì</a> {{ code }}{% endblock %}'
Put = Callable[..., tuple[Library, list[str]]]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """`put({"de.toml": "…"})`: the library with these files in the operator's folder, and what is wrong with them."""

    def written(files: dict[str, str | bytes]) -> tuple[Library, list[str]]:
        for path, content in files.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
        shelf, problems = shelves.over_built_in(tmp_path)
        return Library(shelf, BRAND), [str(problem) for problem in problems]

    return written


def sample(library: Library, name: str, tag: str) -> Written:
    return library.mail(name, [tag], next(samples(library.shelf, name, tag)))


def test_one_sentence_is_replaced_and_every_other_stays(put: Put) -> None:
    library, problems = put({"de.toml": '[confirm_signup]\nlead = "Fast geschafft, {name}!"\n'})

    mail, ours = sample(library, "confirm_signup", "de"), sample(BUILT_IN, "confirm_signup", "de")
    assert problems == []
    assert "Fast geschafft, Jörg Weiß!" in mail.text and "Fast geschafft, Jörg Weiß!" in mail.html
    assert (mail.subject, mail.tag) == (ours.subject, "de")
    assert sample(library, "confirm_signup", "fr") == sample(BUILT_IN, "confirm_signup", "fr")
    assert sample(library, "recovery", "de") == sample(BUILT_IN, "recovery", "de")


def test_a_common_sentence_is_replaced_in_every_template(put: Put) -> None:
    library, problems = put({"zh.toml": '[common]\nfooter = "{app} 敬上"\n'})

    assert problems == []
    mails = [sample(library, name, "zh-CN") for name in library.shelf.templates]
    assert all("Gatehouse 敬上" in mail.text and "Gatehouse 敬上" in mail.html for mail in mails)
    assert {mail.tag for mail in mails} == {"zh-Hans"}


def test_a_language_of_a_region_says_only_what_differs(put: Put) -> None:
    library, problems = put({"de-AT.toml": '[recovery]\nsubject = "Ein neues Kennwort, bitte"\n'})

    assert problems == []
    assert sample(library, "recovery", "de-AT").subject == "Ein neues Kennwort, bitte"
    assert sample(library, "recovery", "de-CH") == sample(BUILT_IN, "recovery", "de")
    assert sample(library, "welcome", "de-AT").text == sample(BUILT_IN, "welcome", "de").text


def test_a_further_language_serves_the_templates_it_has(put: Put) -> None:
    italian = '[common.hello]\nby = "name"\nother = "Ciao {name},"\nnone = "Ciao,"\n'
    italian += '[welcome]\nsubject = "Ti diamo il benvenuto"\nlead = "Il tuo account è pronto."\n'
    library, problems = put({"it.toml": italian})

    assert sample(library, "welcome", "it-CH").text == "Ciao Zoë Miller,\n\nIl tuo account è pronto.\n"
    assert sample(library, "recovery", "it") == sample(BUILT_IN, "recovery", "en")
    assert len(problems) == len(OURS.templates) - 2, "all but this one and the one that is the same in each language"
    assert any("it.toml: [recovery] lacks button, copy_link, lead" in problem for problem in problems)


def test_a_language_from_right_to_left_is_laid_out_so(put: Put) -> None:
    hebrew = '[common]\nhello = "שלום,"\n[welcome]\nsubject = "ברוכים הבאים"\nlead = "החשבון שלך מוכן."\n'
    library, _ = put({"he.toml": hebrew})

    mail = library.mail("welcome", ["iw"], {})
    assert (
        '<html lang="he" dir="rtl">' in mail.html and 'align="right"' in mail.html and 'align="left"' not in mail.html
    )


def test_files_stand_in_for_the_layout(put: Put) -> None:
    files = {"en/recovery/subject.txt": "Hey {{ name }}", "en/recovery/body.txt": "{{ link }} {{ code }}"}
    library, problems = put({**files, "it/recovery/body.html": BODY, "en/recovery/body.html": BODY})

    mail = sample(library, "recovery", "en-GB")
    assert problems == []
    assert mail.subject == "Hey Zoë Miller" and mail.text.endswith(" 482913\n") and "<h1>Ciao</h1>" in mail.html
    assert sample(library, "recovery", "it") == mail, "without sentences one file is not yet a language"
    assert sample(library, "recovery", "de") == sample(BUILT_IN, "recovery", "de")


def test_a_layout_stands_for_all_mails(put: Put) -> None:
    block = "{% block content %}{{ words.lead }}{{ link }}{{ code }}{% endblock %}"
    layout = "<b lang={{ lang }}>{{ brand.app_name }}</b>" + block
    library, problems = put({"layout.html": layout, "de/recovery/body.html": BODY})

    assert problems == []
    assert sample(library, "welcome", "ja").html.startswith("<b lang=ja>Gatehouse</b>")
    assert sample(library, "recovery", "de").html.startswith("<b lang=de>Gatehouse</b><h1>Ciao</h1>")
    assert sample(library, "welcome", "ja").text == sample(BUILT_IN, "welcome", "ja").text


def test_an_own_template_is_a_section_in_two_files(put: Put) -> None:
    english = (
        '[order_sent]\nsubject = "On its way"\nlead = "Your order {number} is on its way."\nbutton = "Follow it"\n'
    )
    english += 'push = "Order {number} is on its way."\n'
    library, problems = put({"templates.toml": '[order_sent]\nparams = ["link", "number"]\n', "en.toml": english})

    assert problems == []
    mail = library.mail("order_sent", ["ja"], {"link": "https://a.example/?a=1&b=2", "number": "<7>"})
    assert "Your order <7> is on its way." in mail.text and "https://a.example/?a=1&b=2\n" in mail.text
    assert "Your order &lt;7&gt; is" in mail.html and 'href="https://a.example/?a=1&amp;b=2"' in mail.html
    assert library.push("order_sent", [], {"link": "", "number": "7"})[1] == "Order 7 is on its way."
    with pytest.raises(CannotRender, match="parameter number is missing"):
        library.mail("order_sent", [], {"link": ""})
    with pytest.raises(CannotRender, match="not for pushes"):
        library.push("recovery", [], {"link": "", "code": "1"})


@pytest.mark.parametrize(
    ("path", "content", "problem"),
    [
        ("de.toml", "subject = ", "is not TOML"),
        ("de.toml", "deep = " + "[" * 5_000, "is not TOML"),
        ("de.toml", b"\xff\xfe", "is not UTF-8"),
        ("de.toml", b"#" * 200_001, "at most 200000 bytes"),
        ("de.toml", '[recover]\nlead = "x"', "[recover] is no template"),
        ("de.toml", '[recovery]\nintro = "x"', "[recovery] intro is no place"),
        ("de.toml", "[recovery]\nlead = 7", "[recovery] lead is neither"),
        ("de.toml", '[recovery]\nlead = {a = "x"}', "[recovery] lead needs `other`"),
        ("de.toml", '[recovery]\nlead = {a = "x", other = "y"}', "[recovery] lead needs `other`, and `by`"),
        ("de.toml", '[recovery]\nlead = {by = "device", other = "y"}', "{device}, which the template does not get"),
        ("de.toml", '[recovery]\nlead = "{password}"', "{password}, which the template does not get"),
        ("de.toml", '[recovery]\nlead = "{{ name }}"', "a brace that is no {parameter}"),
        ("de.toml", '[recovery]\nlead = "{Name}"', "a brace that is no {parameter}"),
        ("de.toml", '[language]\ntag = "de\\nBcc: all@example.com"', "[language] tag is no language tag"),
        ("de.toml", '[values]\ndevice = "{code}"', "[values] device is said by itself only"),
        ("de.toml", '[values]\ncode = "000000"', "[values] code is said as it is"),
        ("templates.toml", "[recovery]\nparams = 7", "[recovery] `params`"),
        ("templates.toml", '[recovery]\nparamz = ["a"]', "[recovery] has `paramz`"),
        ("templates.toml", "[Recovery]\n", "[Recovery] is no template"),
        ("templates.toml", '[recovery]\nsame = ["a"]', "[recovery] "),
        ("de_DE.toml", "", "nothing reads"),
        ("german.html", "", "nothing reads"),
        ("de/recovery/body.htm", "", "nothing reads"),
        ("recovery/body.html", "", "nothing reads"),
        ("de/recover/body.html", "x", "there is no such template"),
        ("de/recovery/body.html", "{% if %}", "TemplateSyntaxError"),
        ("de/recovery/body.html", "{{ link }} {{ code }} {{ password }}", "UndefinedError"),
        ("de/recovery/body.html", "{{ link }} {{ code }} {{ 1 / 0 }}", "ZeroDivisionError"),
        ("de/recovery/body.html", "{{ link }}", "does not show the code"),
        ("de/recovery/body.html", "{{ code }}", "does not show the link"),
        ("de/recovery/body.txt", "{{ link }} {{ code }} {{ ''.__class__.__mro__ }}", "SecurityError"),
        ("de/recovery/body.txt", "{{ link }} {{ code }} {% for n in range(10 ** 9) %}{% endfor %}", "OverflowError"),
        ("de/recovery/body.txt", "{{ link }} {{ code }} {% include '../../../../etc/passwd' %}", "TemplateNotFound"),
        ("de/recovery/subject.txt", "{# nothing #} ", "is empty"),
        ("layout.html", "{% include 'layout.html' %}", "RecursionError"),
        ("layout.txt", "{{ words.lead }} {{ link }}", "does not show the code"),
    ],
)
def test_what_is_wrong_is_named_and_the_built_in_stands(put: Put, path: str, content: Any, problem: str) -> None:
    library, problems = put({path: content})

    assert len(problems) == 1 and problems[0].startswith(f"{path}: ") and problem in problems[0]
    assert sample(library, "recovery", "de") == sample(BUILT_IN, "recovery", "de")


def test_what_breaks_in_one_language_alone_is_found_before_a_mail_does(put: Put) -> None:
    layout = "{{ link }} {{ code }} {{ words.lead }} {{ 1 / 0 if lang == 'de' else '' }}"
    assert put({"layout.html": layout})[1] == ["de: layout.html: ZeroDivisionError"]


def test_a_common_sentence_that_asks_for_what_a_template_does_not_get_is_named(put: Put) -> None:
    problems = put({"de.toml": '[common]\nor_code = "{ip}"\n'})[1]
    assert "de: recovery: the parameter ip is missing" in problems
    assert all(problem.startswith("de: ") for problem in problems)


def test_a_mounted_config_map_is_read_through_its_links(tmp_path: Path) -> None:
    """Kubernetes mounts `..data` as a link to a dated folder, and everything else as a link through it."""
    dated = tmp_path / "..2026_11_22"
    (dated / "en" / "welcome").mkdir(parents=True)
    (dated / "fr.toml").write_text('[welcome]\nsubject = "Salut"\n')
    (dated / "en" / "welcome" / "subject.txt").write_text("Hi")
    os.symlink(dated.name, tmp_path / "..data")
    for name in ("fr.toml", "en"):
        os.symlink(f"..data/{name}", tmp_path / name)

    shelf, problems = shelves.over_built_in(tmp_path)

    assert problems == []
    assert [sample(Library(shelf, BRAND), "welcome", tag).subject for tag in ("fr", "en")] == ["Salut", "Hi"]


def count(template: str) -> float:
    return REGISTRY.get_sample_value("notify_template_fallbacks_total", {"template": template}) or 0


def test_a_template_that_breaks_when_it_is_used_loses_no_mail(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What no sample foresaw: the built-in one is sent, and the log and a metric say so."""
    file = tmp_path / "de" / "welcome" / "body.html"
    file.parent.mkdir(parents=True)
    file.write_text("{{ 1 / (name | length - 3) }}")
    writer = Writer.of(MailSettings(mail_templates_dir=tmp_path))
    before = count("welcome")

    mail = writer.mail(claimed("welcome", locales=["de"], params={"name": "Bob"}))
    assert mail.html == BUILT_IN.mail("welcome", ["de"], {"name": "Bob"}).html
    assert count("welcome") == before + 1
    assert "the built-in template stands in: de/welcome/body.html: ZeroDivisionError" in caplog.text

    with pytest.raises(CannotRender, match="parameter code is missing"):
        writer.mail(claimed("recovery", locales=["de"], params={"link": "x"}))
    assert count("recovery") == 0, "that is nobody's template"


def test_what_is_wrong_is_in_the_log_and_counted_when_the_worker_starts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "de.toml").write_text('[recovery]\nintro = "x"\nlead = "{passwort}"\n')

    Writer.of(MailSettings(mail_templates_dir=tmp_path))

    assert REGISTRY.get_sample_value("notify_template_problems") == 2
    assert caplog.text.count("a template is left out: de.toml: [recovery] ") == 2


def test_a_language_of_last_resort_that_there_is_not_is_said_too(caplog: pytest.LogCaptureFixture) -> None:
    mail = Writer.of(MailSettings(mail_locale="it-CH")).mail(claimed("welcome"))

    assert (mail.subject, mail.language) == ("Welcome", "en")
    assert REGISTRY.get_sample_value("notify_template_problems") == 1
    assert "no mails in the language of MAIL_LOCALE, it-CH" in caplog.text
    assert Writer.of(MailSettings(mail_locale="pt-BR")).mail(claimed("welcome", locales=["it"])).language == "pt"
    assert REGISTRY.get_sample_value("notify_template_problems") == 0


@pytest.mark.parametrize(
    ("color", "text"), [("#1f5f4a", "#ffffff"), ("#ffd400", "#1c1c1a"), ("#ffffff", "#1c1c1a"), ("#000000", "#ffffff")]
)
def test_a_brand_is_a_few_settings(color: str, text: str) -> None:
    settings = MailSettings(
        smtp_from_name="Acme",
        mail_color=color,
        mail_logo_url="https://acme.example/logo.png?a=1&b=2",
        mail_footer="Acme <Ltd>, 1 Road",
    )
    mail = sample(Library(OURS, settings.brand), "invite", "en")
    assert "an account for you at Acme." in mail.text and mail.text.endswith("-- \nAcme <Ltd>, 1 Road\n")
    assert f"background-color: {color};" in mail.html and f"color: {text}; font: 600 17px" in mail.html
    assert 'src="https://acme.example/logo.png?a=1&amp;b=2" alt="Acme"' in mail.html
    assert "Acme &lt;Ltd&gt;, 1 Road" in mail.html
