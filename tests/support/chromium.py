"""A headless Chromium spoken to over its debugging pipe, with an authenticator that is as virtual as it is strict."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

LIFETIME_S = 25
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


class Failed(Exception):
    """What a page's script threw."""


class Page:
    """One tab. Commands are those of the Chrome DevTools Protocol: each has an answer, and events come between them."""

    def __init__(self, to: FileIO, back: FileIO) -> None:
        self._to, self._back = to, back
        self._number = 0
        self._session: str | None = None
        self._rest = b""
        self.authenticator = ""
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def command(self, method: str, **params: Any) -> Any:
        answer = self._answer(method, **params)
        assert "error" not in answer, answer
        return answer["result"]

    def _answer(self, method: str, **params: Any) -> Any:
        self._number += 1
        sent: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            sent["sessionId"] = self._session
        self._to.write(json.dumps(sent).encode() + b"\0")
        return next(message for message in self._messages() if message.get("id") == self._number)

    def open(self, url: str) -> None:
        """Go there and wait until it is loaded."""
        self.command("Page.enable")
        self.command("Page.navigate", url=url)
        next(message for message in self._messages() if message.get("method") == "Page.loadEventFired")

    def run(self, script: str, *arguments: Any) -> Any:
        """What the asynchronous function `script` gives for these arguments. Raise Failed if it throws."""
        call = f"({script})(...{json.dumps(arguments)})"
        result = self.command("Runtime.evaluate", expression=call, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise Failed(result["exceptionDetails"]["exception"].get("description", "it threw"))
        return result["result"].get("value")

    def until(self, expression: str) -> Any:
        """What the expression gives once that is something, on whatever page the tab has by then."""
        while True:
            answer = self._answer("Runtime.evaluate", expression=expression, returnByValue=True)
            value = answer.get("result", {}).get("result", {}).get("value")
            if value:
                return value
            time.sleep(0.02)

    def click(self, selector: str) -> None:
        """Click on what this selects, as soon as it is there."""
        found = f"document.querySelector({json.dumps(selector)})"
        self.until(f"{found} !== null")
        self.command("Runtime.evaluate", expression=f"{found}.click()")

    def type(self, text: str) -> None:
        """Type into whatever has the focus."""
        self.command("Input.insertText", text=text)

    def press(self, key: str) -> None:
        """Press and release `Tab` or `Enter`."""
        code, text = {"Tab": (9, ""), "Enter": (13, "\r")}[key]
        for kind in ("keyDown", "keyUp"):
            self.command("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, text=text)

    def plug_in(self) -> None:
        """A virtual authenticator, which has a user and verifies them until told otherwise."""
        self.command("WebAuthn.enable")
        self.authenticator = self.command("WebAuthn.addVirtualAuthenticator", options=AUTHENTICATOR)["authenticatorId"]

    def is_user_verified(self, value: bool) -> None:
        self.command("WebAuthn.setUserVerified", authenticatorId=self.authenticator, isUserVerified=value)

    def _messages(self) -> Iterator[Any]:
        while True:
            while b"\0" not in self._rest:
                received = self._back.read(65_536)
                assert received, "the browser is gone"
                self._rest += received
            message, _, self._rest = self._rest.partition(b"\0")
            yield json.loads(message)


@contextmanager
def chromium(folder: Path) -> Iterator[Page]:
    """A browser of its own with an empty profile in `folder`; it ends with the block, and by itself soon after."""
    hears, to = os.pipe()
    back, says = os.pipe()
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe"]
    command = f'exec timeout {LIFETIME_S} chromium "$@" 3<&{hears} 4>&{says}'
    process = subprocess.Popen(
        ["bash", "-c", command, "chromium", *flags, f"--user-data-dir={folder}", "about:blank"],
        pass_fds=(hears, says),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(hears)
    os.close(says)
    try:
        with os.fdopen(to, "wb", buffering=0) as commands, os.fdopen(back, "rb", buffering=0) as answers:
            yield Page(commands, answers)
    finally:
        process.terminate()
        process.wait(10)
