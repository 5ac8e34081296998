"""The page shows what strangers wrote, so it may run nothing of theirs."""

import re
import smtplib
from email.message import EmailMessage
from pathlib import Path

import requests

HERE = Path(__file__).parents[2] / "deploy" / "local" / "simulators"


def test_the_page_may_load_only_its_own_files(simulators, credentials):
    response = requests.get(credentials.web_url + "/", timeout=10)
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    for path in re.findall(r'(?:href|src)="(/[^"]+)"', response.text):
        own = requests.get(credentials.web_url + path, timeout=10)
        assert own.status_code == 200, path
        assert "content-security-policy" in own.headers or path.startswith("/api")
    assert not re.findall(r'(?:href|src)="(?:https?:)?//', response.text)


def test_the_page_never_turns_text_into_markup():
    script = (HERE / "page.js").read_text()
    page = (HERE / "page.html").read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|srcdoc|DOMParser", script)
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=", page)


def test_the_html_of_a_mail_is_served_where_it_can_do_nothing(simulators, credentials):
    mail = EmailMessage()
    mail["Subject"] = "<script>alert(1)</script>"
    mail["From"] = mail["To"] = "alice@example.com"
    mail.set_content("text")
    mail.add_alternative("<script>parent.document.title = 'owned'</script><p>hello", subtype="html")
    with smtplib.SMTP(credentials.host, credentials.ports.smtp) as client:
        client.send_message(mail)
    (message,) = simulators.messages()
    response = requests.get(f"{credentials.web_url}/messages/{message['id']}/html", timeout=10)
    policy = response.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "script-src" not in policy
    assert "allow" not in policy
    assert requests.get(f"{credentials.web_url}/messages/1/html", timeout=10).status_code == 404


def test_every_answer_of_the_api_is_json_and_not_sniffed_as_a_page(simulators, credentials):
    response = requests.get(credentials.web_url + "/api/messages", timeout=10)
    assert response.headers["content-type"] == "application/json; charset=UTF-8"


def test_the_page_is_told_when_something_arrives(simulators, credentials):
    with requests.get(credentials.web_url + "/api/stream", stream=True, timeout=10) as stream:
        lines = stream.iter_lines(chunk_size=1, decode_unicode=True)
        assert next(line for line in lines if line.startswith("event:")) == "event: changed"
        mail = b"Subject: x\r\n\r\ny"
        with smtplib.SMTP(credentials.host, credentials.ports.smtp) as client:
            client.sendmail("a@example.org", ["alice@example.com"], mail)
        assert next(line for line in lines if line.startswith("event:")) == "event: changed"
