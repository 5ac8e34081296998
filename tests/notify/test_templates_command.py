"""`python -m services.notify templates`: for operators, without a server or a setting."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.local.simulators import Simulators
from services.notify import __main__ as command
from services.notify.shelves import built_in
from tests.contracts.components import ROOT

Run = Callable[..., tuple[int, list[str]]]
SHELF = built_in()


@pytest.fixture
def templates(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`templates("check", …)`: the exit status, and the lines that were said."""

    def run(*arguments: object) -> tuple[int, list[str]]:
        monkeypatch.setattr(sys, "argv", ["services.notify", "templates", *map(str, arguments)])
        status = command.main()
        return status, capsys.readouterr().out.splitlines()

    return run


def test_ours_are_in_order_and_need_no_environment() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "services.notify", "templates", "check"],
        env={"PATH": os.environ["PATH"]},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stderr) == (0, "")
    tags = ["en", *sorted(SHELF.catalogues.keys() - {"en"})]
    assert run.stdout == f"{len(SHELF.templates)} templates in {', '.join(tags)}: in order\n"


def test_mistakes_are_named_by_file_and_the_status_says_so(templates: Run, tmp_path: Path) -> None:
    (tmp_path / "de.toml").write_text('[recovery]\nintro = "x"\n')
    (tmp_path / "notes.txt").write_text("")
    status, said = templates("check", "--folder", tmp_path)
    assert status == 1 and len(said) == 2
    assert said[0].startswith("notes.txt: nothing reads") and said[1].startswith(
        "de.toml: [recovery] intro is no place"
    )
    assert templates("check", "--folder", tmp_path / "nowhere")[0] == 2


def test_every_mail_is_written_with_a_page_that_leads_to_it(templates: Run, tmp_path: Path) -> None:
    status, said = templates("preview", "--out", tmp_path)
    assert (status, said[-1]) == (0, f"{(len(list(tmp_path.iterdir())) - 1) // 2} mails: {tmp_path / 'index.html'}")
    written = {path.name for path in tmp_path.iterdir()} - {"index.html"}
    page = (tmp_path / "index.html").read_text()
    assert set(re.findall(r'href="([^"]+)"', page)) == written
    for name in SHELF.templates:
        for tag in SHELF.catalogues:
            assert {f"{name}.{tag}.html", f"{name}.{tag}.txt"} <= written
    assert "482913" in (tmp_path / "recovery.ja.html").read_text()
    assert (tmp_path / "recovery.ja.txt").read_text("utf-8-sig").startswith("新しいパスワードの設定\n\n山田 花子 様\n")


def test_one_mail_is_written_as_the_operator_would_have_it(
    templates: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "fr.toml").write_text('[recovery]\nlead = "Un <b>instant</b>, {name}."\n')
    monkeypatch.setenv("MAIL_APP_NAME", "Acme & Söhne")
    status, _ = templates(
        "preview",
        "--folder",
        tmp_path / "mine",
        "--template",
        "recovery",
        "--locale",
        "fr-CA",
        "--out",
        tmp_path / "out",
    )
    assert status == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "index.html", "recovery.fr-CA.html", "recovery.fr-CA.txt"
    }  # fmt: skip
    html = (tmp_path / "out" / "recovery.fr-CA.html").read_text()
    assert "Un &lt;b&gt;instant&lt;/b&gt;, Zoé Lefèvre." in html and "Acme &amp; Söhne" in html
    assert templates("preview", "--template", "recovry", "--out", tmp_path / "no")[0] == 2


def test_a_trial_mail_goes_through_the_relay(
    templates: Run, simulators: Simulators, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = simulators.credentials
    monkeypatch.setenv("SMTP_HOST", credentials.host)
    monkeypatch.setenv("SMTP_PORT", str(credentials.ports.smtp))
    monkeypatch.setenv("SMTP_CA_FILE", str(credentials.ca_file))
    monkeypatch.setenv("SMTP_FROM", "no-reply@gatehouse.example")

    assert templates("send", "--to", "me@example.com", "--locale", "zh-TW") == (0, ["me@example.com: accepted"])

    (arrived,) = simulators.wait_for(1, channel="smtp", to="me@example.com")
    assert (arrived["title"], arrived["headers"]["content-language"]) == ("請驗證您的電子郵件地址", "zh-Hant")
    assert templates("send", "--to", "me") == (1, ["me: bad_request (ValueError: not a mail)"])
    monkeypatch.delenv("SMTP_HOST")
    assert templates("send", "--to", "me@example.com") == (1, ["me@example.com: not_configured (SMTP_HOST is not set)"])
